package events

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// ErrClosed is the error of a publisher that was closed.
var ErrClosed = errors.New("events: publisher is closed")

// Ack is the future receipt of an event that PublishAsync took.
type Ack struct {
	id      string
	line    []byte // nil for the marker of a Flush
	done    chan struct{}
	receipt Receipt
	err     error
}

// ID is the id under which the event is sent.
func (a *Ack) ID() string { return a.id }

// Done is closed when the event's fate is known.
func (a *Ack) Done() <-chan struct{} { return a.done }

// Wait waits for the receipt. Errors are as those of Publish; an error of ctx
// says nothing about the event, which is sent nevertheless.
func (a *Ack) Wait(ctx context.Context) (Receipt, error) {
	select {
	case <-a.done:
		return a.receipt, a.err
	case <-ctx.Done():
		return Receipt{}, ctx.Err()
	}
}

func (a *Ack) resolve(receipt Receipt, err error) {
	a.receipt, a.err, a.line = receipt, err, nil
	close(a.done)
}

// async is the bounded queue and its one sender, which puts all that waits
// into the next request. One request is under way at a time: order is kept.
type async struct {
	queue   chan *Ack
	closing chan struct{} // closed by the first Close
	stopped chan struct{} // closed when the sender has ended
	cancel  context.CancelFunc

	mu      sync.Mutex
	closed  bool
	senders sync.WaitGroup // PublishAsync and Flush calls under way
}

func (q *async) start(p *Publisher) {
	ctx, cancel := context.WithCancel(context.Background())
	q.closing = make(chan struct{})
	q.stopped = make(chan struct{})
	q.cancel = cancel
	go func() {
		defer close(q.stopped)
		defer cancel()
		for batch := range q.batches {
			p.deliver(ctx, batch)
		}
	}()
}

// PublishAsync validates e and queues it; it blocks while the queue is full,
// until there is room or ctx ends. Events are sent in the order in which
// PublishAsync returned; e may be changed afterwards. Failed tries are repeated
// until Close's context ends.
func (p *Publisher) PublishAsync(ctx context.Context, e *Event) (*Ack, error) {
	line, err := encodeValid(e)
	if err != nil {
		return nil, err
	}
	a := &Ack{id: e.ID, line: line, done: make(chan struct{})}
	return a, p.enqueue(ctx, a)
}

// Flush waits until the fate of every event that PublishAsync took before is
// known. Each Ack tells its own event's fate.
func (p *Publisher) Flush(ctx context.Context) error {
	marker := &Ack{done: make(chan struct{})}
	if err := p.enqueue(ctx, marker); err != nil {
		return err
	}
	_, err := marker.Wait(ctx)
	return err
}

// Close sends what is queued and stops. When ctx ends first, the tries under
// way are given up and the Acks left get an error: the fate of their events is
// unknown, and publishing them again under the same ids is safe.
func (p *Publisher) Close(ctx context.Context) error {
	p.mu.Lock()
	first := !p.closed
	p.closed = true
	p.mu.Unlock()
	if first {
		close(p.closing)
		p.senders.Wait()
		close(p.queue)
	}
	defer p.client.CloseIdleConnections()
	select {
	case <-p.stopped:
		return nil
	case <-ctx.Done():
		p.cancel()
		<-p.stopped
		return fmt.Errorf("events: close publisher: %w", ctx.Err())
	}
}

func (q *async) enqueue(ctx context.Context, a *Ack) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	q.senders.Add(1)
	q.mu.Unlock()
	defer q.senders.Done()
	select {
	case q.queue <- a:
		return nil
	case <-q.closing:
		return ErrClosed
	case <-ctx.Done():
		return fmt.Errorf("events: publish: the queue is full: %w", ctx.Err())
	}
}

// batches yields all that waits, as much as fits one request at a time.
func (q *async) batches(yield func([]*Ack) bool) {
	var next *Ack
	for {
		if next == nil {
			var ok bool
			if next, ok = <-q.queue; !ok {
				return
			}
		}
		batch, size := []*Ack{next}, len(next.line)
		next = nil
	fill:
		for len(batch) < MaxBatch {
			select {
			case a, ok := <-q.queue:
				if !ok {
					break fill
				}
				if size += len(a.line) + 1; size > batchBytes {
					next = a
					break fill
				}
				batch = append(batch, a)
			default:
				break fill
			}
		}
		if !yield(batch) {
			return
		}
	}
}

// deliver sends one batch and resolves its Acks in order.
func (p *Publisher) deliver(ctx context.Context, batch []*Ack) {
	var r request
	for i, a := range batch {
		if a.line != nil {
			r.add(i, a.id, a.line)
		}
	}
	var fates []fate
	var err error
	if len(r.ids) > 0 {
		fates, err = p.send(ctx, &r, false)
	}
	for _, a := range batch {
		switch {
		case err != nil:
			a.resolve(Receipt{}, err)
		case a.line == nil:
			a.resolve(Receipt{}, nil)
		default:
			if fates[0].err != nil {
				fates[0].err = &RejectedError{ID: a.id, Err: fates[0].err}
			}
			a.resolve(fates[0].receipt, fates[0].err)
			fates = fates[1:]
		}
	}
}
