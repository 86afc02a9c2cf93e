package eventlog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	// patience is how long a Reader that does not follow asks again while the
	// log cannot be reached.
	patience = 5 * time.Second
	// settle is how long a replicated log may look shorter than it is, while
	// its servers change the leader.
	settle = 3 * time.Second
	// idle is how often a follower looks at the log without being woken.
	idle = time.Second

	retryFirst, retryMost = 20 * time.Millisecond, time.Second
)

// ReadOptions says how to read.
type ReadOptions struct {
	// Follow goes on at the end of the log and waits for new frames. Without
	// it the Reader ends where the log ended when Read was called.
	Follow bool
}

// Reader yields frames in log order, each proved: contiguous, complete, and
// linked by its chain value to all before it. It holds at most about 8 MiB of
// frames ahead of its consumer (more only when single frames are larger than
// 2 MiB). Use it from one goroutine.
type Reader struct {
	link   *link
	follow bool
	until  uint64 // the last message to read, without follow
	at     cursor
	batch  []Frame
	frames chan []Frame
	woken  chan struct{}
	cancel context.CancelFunc
	done   chan struct{} // closed when the fetching goroutine is gone
	err    error         // why it is gone; read after frames is closed
}

// Read starts reading behind after, which must be the zero Checkpoint or one
// that was once read: the frame that holds after.Sequence must have the chain
// value after.Chain. When after lies inside its frame, that whole frame comes
// first. A log that does not hold after is a *CorruptError that names the
// first sequence missing. The Reader lives until Close, not until ctx ends.
func (l *Log) Read(ctx context.Context, after Checkpoint, options ReadOptions) (*Reader, error) {
	return l.read(ctx, after, options)
}

func (l *link) read(ctx context.Context, after Checkpoint, options ReadOptions) (*Reader, error) {
	r := &Reader{
		link:   l,
		follow: options.Follow,
		frames: make(chan []Frame, 1),
		woken:  make(chan struct{}, 1),
		done:   make(chan struct{}),
	}
	place, f, err := r.start(ctx, after)
	if err != nil {
		return nil, err
	}
	if after.Sequence > 0 && after.Sequence == f.Last() {
		if err := place.advance(f); err != nil {
			return nil, err
		}
	}
	r.at = place

	running, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go r.run(running)
	return r, nil
}

// start finds the reader's place. A replicated log that lacks it is asked
// again for a while.
func (r *Reader) start(ctx context.Context, after Checkpoint) (cursor, Frame, error) {
	deadline := time.Now().Add(settle)
	for {
		si, err := r.link.stream(ctx)
		if err != nil {
			return cursor{}, Frame{}, err
		}
		r.until = si.State.LastSeq
		place, f, err := r.link.seek(ctx, after, r.until)
		if !errors.As(err, new(*CorruptError)) || si.Config.Replicas <= 1 || time.Now().After(deadline) {
			return place, f, err
		}
		if err := pause(ctx, retryMost/4); err != nil {
			return cursor{}, Frame{}, err
		}
	}
}

// Next waits for the next frame. Without Follow it returns io.EOF at the end.
// It returns *CorruptError on the first frame that is not what was once
// acknowledged, after all sound frames before it. A lost connection is
// restored: a following Reader waits for it without end, others give up after
// 5 s with ErrUnreachable. An error other than ctx's is final.
func (r *Reader) Next(ctx context.Context) (Frame, error) {
	for len(r.batch) == 0 {
		if err := ctx.Err(); err != nil {
			return Frame{}, err
		}
		select {
		case batch, ok := <-r.frames:
			if !ok {
				return Frame{}, r.err
			}
			r.batch = batch
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
	f := r.batch[0]
	r.batch[0] = Frame{} // let the payload go
	r.batch = r.batch[1:]
	return f, nil
}

// Close stops reading. A Next that waits fails.
func (r *Reader) Close() error {
	r.cancel()
	<-r.done
	return nil
}

// run fetches and proves batches until the end, an error or Close.
func (r *Reader) run(ctx context.Context) {
	defer close(r.done)
	defer close(r.frames)
	r.err = r.pump(ctx)
	if ctx.Err() != nil {
		r.err = errors.New("eventlog: reader is closed")
	}
}

func (r *Reader) pump(ctx context.Context) error {
	if r.follow {
		sub, err := r.link.nc.Subscribe(HeadSubject, func(*nats.Msg) {
			select {
			case r.woken <- struct{}{}:
			default:
			}
		})
		if err != nil {
			return fmt.Errorf("eventlog: subscribe to %s: %w", HeadSubject, err)
		}
		defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is gone
	}
	var failing time.Time // since when, zero while all is well
	wait := retryFirst
	for r.follow || r.at.message <= r.until {
		end, err := r.step(ctx)
		switch {
		case errors.Is(err, ErrUnreachable):
			if failing.IsZero() {
				failing, wait = time.Now(), retryFirst
			}
			if r.link.nc.IsClosed() || !r.follow && time.Since(failing) > patience {
				return fmt.Errorf("eventlog: read sequence %d: %w", r.at.first, err)
			}
			if err := pause(ctx, wait); err != nil {
				return err
			}
			wait = min(2*wait, retryMost)
			continue
		case err != nil:
			return err
		}
		failing = time.Time{}
		if end && r.follow {
			if err := r.rest(ctx); err != nil {
				return err
			}
		}
	}
	return io.EOF
}

// step reads one batch and hands it on. end tells that nothing follows yet.
func (r *Reader) step(ctx context.Context) (end bool, err error) {
	run, pending, err := r.link.fetch(ctx, r.at.message, batchFrames)
	if err != nil {
		return false, err
	}
	if len(run) == 0 {
		return true, r.missing(ctx)
	}
	batch := make([]Frame, 0, len(run))
	for _, m := range run {
		if !r.follow && m.seq > r.until {
			break
		}
		if m.err != nil {
			err = corrupt(r.at.first, fmt.Sprintf("message %d is no frame: %v", m.seq, m.err))
			break
		}
		if err = r.at.advance(m.frame); err != nil {
			break
		}
		batch = append(batch, m.frame)
	}
	if len(batch) > 0 {
		select {
		case r.frames <- batch:
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
	return pending == 0, err
}

// missing decides what it means that the next message is not there: the end
// of the log, or damage.
func (r *Reader) missing(ctx context.Context) error {
	deadline := time.Now().Add(settle)
	for {
		si, err := r.link.stream(ctx)
		if err != nil {
			return err
		}
		var damage error
		switch {
		case si.State.LastSeq == r.at.message-1:
			return nil
		case si.State.LastSeq < r.at.message-1:
			lost, err := r.link.firstLost(ctx, si.State.LastSeq+1)
			if err != nil {
				return err
			}
			damage = corrupt(lost, fmt.Sprintf("the log now ends at message %d, but message %d was read before", si.State.LastSeq, r.at.message-1))
		default:
			run, _, err := r.link.fetch(ctx, r.at.message, 1)
			if err != nil || len(run) > 0 {
				return err
			}
			damage = corrupt(r.at.first, fmt.Sprintf("message %d of %d cannot be read", r.at.message, si.State.LastSeq))
		}
		if si.Config.Replicas <= 1 || time.Now().After(deadline) {
			return damage
		}
		if err := pause(ctx, retryMost/4); err != nil {
			return err
		}
	}
}

// rest waits at the end of the log until a frame is announced, or until a look
// now and then finds that the log no longer ends where it did.
func (r *Reader) rest(ctx context.Context) error {
	ticker := time.NewTicker(idle)
	defer ticker.Stop()
	for {
		select {
		case <-r.woken:
			return nil
		case <-ticker.C:
			if si, err := r.link.stream(ctx); err != nil || si.State.LastSeq != r.at.message-1 {
				return nil // the next step finds out what that means
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// pause waits for d or ctx's end.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
