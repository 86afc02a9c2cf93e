package clickhouse

import (
	"context"
	"sync"
	"time"
)

// background runs one task at a time beside whoever starts it.
type background struct {
	mu      sync.Mutex
	stop    context.CancelFunc // of the task that runs
	done    chan struct{}      // closed when that ends
	began   time.Time          // the last one
	closed  bool
	running sync.WaitGroup
}

// start runs f unless another task runs still; ctx gives its values only.
func (b *background) start(ctx context.Context, f func(ctx context.Context)) bool {
	return b.startEvery(ctx, 0, f)
}

// startEvery is start, unless the last task began less than a while ago.
func (b *background) startEvery(ctx context.Context, while time.Duration, f func(ctx context.Context)) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.stop != nil || time.Since(b.began) < while {
		return false
	}
	b.began = time.Now()
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	b.done = make(chan struct{})
	b.running.Go(func() {
		defer b.ended()
		f(ctx)
	})
	return true
}

func (b *background) ended() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stop()
	b.stop = nil
	close(b.done)
}

// wait returns when the task that runs has ended, or with the error of ctx.
func (b *background) wait(ctx context.Context) error {
	b.mu.Lock()
	running, done := b.stop != nil, b.done
	b.mu.Unlock()
	if !running {
		return ctx.Err()
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close ends the task that runs, waits for it and lets no other begin.
func (b *background) close() {
	b.mu.Lock()
	b.closed = true
	if b.stop != nil {
		b.stop()
	}
	b.mu.Unlock()
	b.running.Wait()
}
