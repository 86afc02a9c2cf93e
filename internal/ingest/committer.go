package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	// framesInFlight is one on its way to the disk, which is what the Writer
	// allows, and one gathered behind it.
	framesInFlight = 2
	// frameBytes closes a frame; a single longer event still gets its own.
	frameBytes = 1 << 20

	reopenFirst, reopenMost = 100 * time.Millisecond, 5 * time.Second
)

// committer is the one goroutine that numbers events and writes frames. It
// takes all that waits, so that one fsync serves everybody who waited.
type committer struct {
	queue    chan *request
	limit    int64                  // of waiting
	waiting  atomic.Int64           // events in requests that are not answered yet
	obstacle atomic.Pointer[string] // why nothing is taken now; nil when ready
	writing  atomic.Pointer[eventlog.Writer]

	openWriter func(ctx context.Context) (*eventlog.Writer, error)
	state      *stateStore
	stopping   chan struct{} // closed when nothing more will be submitted
	metrics    *metrics
	logger     *slog.Logger
	feed       *feed // nil without a live feed

	// Only the committing goroutine touches what follows.
	writer     *eventlog.Writer
	maxPayload int // of one frame, in bytes
	book       *book.Book
	known      *known
	next       uint64 // the next event's sequence
	frame      *frame // being gathered
	current    *request
	staged     []byte // lines of the request at hand that are not in a frame yet
	flights    chan *frame
	slots      chan struct{}
	holding    bool   // a slot for the frame being gathered
	marked     uint64 // the sequence of the newest state snapshot
	markedAt   time.Time
}

// frame is events on their way to the log and the requests that wait for them.
type frame struct {
	payload  []byte // nil once sent
	types    map[string]int
	count    int
	bytes    int
	requests []*request
	pending  *eventlog.Pending // nil when the frame holds no events
	begun    time.Time
	first    uint64
	feed     []byte         // the payload, when somebody listens to the live feed
	snapshot *book.Snapshot // to be written once the frame is stored
}

// submit hands a request over; it is answered when r.done is closed. The error
// is a *refusal, and then r stays the caller's.
func (c *committer) submit(r *request) error {
	if reason := c.obstacle.Load(); reason != nil {
		return notReady(*reason)
	}
	n := int64(len(r.items))
	if after := c.waiting.Add(n); after > c.limit && after > n {
		c.waiting.Add(-n)
		return errBusy
	}
	select {
	case c.queue <- r:
		return nil
	default:
		c.waiting.Add(-n)
		return errBusy
	}
}

// finish answers a request; err is why its items do not tell its fate.
func (c *committer) finish(r *request, err error) {
	r.err = err
	c.waiting.Add(-int64(len(r.items)))
	close(r.done)
}

func (c *committer) hinder(reason string) { c.obstacle.Store(&reason) }

// run commits until ingest stops and the queue is empty. When the log fails, it
// opens the log again and rebuilds its state from it before it takes more. It
// returns an error that a human must look at: the log is damaged, or the
// state's files cannot be used.
func (c *committer) run(ctx context.Context) error {
	for {
		err := c.commit()
		if err == nil {
			return c.leave(ctx)
		}
		c.hinder("the log failed and is being opened again")
		c.logger.Error("log failed; opening it again", "error", err)
		c.metrics.failures.Inc()
		if closeErr := c.writer.Close(ctx); closeErr != nil {
			c.logger.Warn("close the failed writer", "error", closeErr)
		}
		stop, err := c.reopen(ctx)
		if stop || err != nil {
			return err
		}
		c.logger.Info("log open again", "sequence", c.next-1)
	}
}

// open connects to the log and brings the state up to its end.
func (c *committer) open(ctx context.Context) error {
	w, err := c.openWriter(ctx)
	if err != nil {
		return err
	}
	c.book, c.known, c.marked, err = c.state.load(ctx, w.Info())
	if err != nil {
		return errors.Join(err, w.Close(ctx))
	}
	c.writer, c.next, c.markedAt = w, w.Info().Last+1, time.Now()
	c.maxPayload = w.MaxPayload()
	c.writing.Store(w)
	c.obstacle.Store(nil)
	return nil
}

// reopen tries until it succeeds, the damage is permanent, or ingest stops.
// Whoever is in the queue meanwhile is told to come again.
func (c *committer) reopen(ctx context.Context) (stop bool, err error) {
	for wait := reopenFirst; ; wait = min(2*wait, reopenMost) {
		err := c.open(ctx)
		if err == nil {
			return false, nil
		}
		if errors.As(err, new(*eventlog.CorruptError)) {
			c.hinder("the log is damaged; see ingest's own log")
			return true, err
		}
		c.logger.Warn("cannot open the log yet", "error", err, "retry_in", wait)
		if c.turnAway(time.After(wait)) {
			return true, nil
		}
	}
}

// turnAway refuses queued requests until a moment; it tells whether ingest
// stops.
func (c *committer) turnAway(until <-chan time.Time) (stop bool) {
	for {
		select {
		case r := <-c.queue:
			c.finish(r, notReady(*c.obstacle.Load()))
		case <-until:
			return false
		case <-c.stopping:
			return true
		}
	}
}

// commit writes frames with one Writer until it fails, or ingest stops and the
// queue is empty (nil). When it returns, every request that it took is answered.
func (c *committer) commit() (err error) {
	c.flights = make(chan *frame, framesInFlight)
	c.slots = make(chan struct{}, framesInFlight)
	c.holding = false
	c.frame = newFrame()
	var completing sync.WaitGroup
	failing := make(chan error, 1)
	completing.Go(func() { c.complete(c.flights, failing) })
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		if err != nil {
			c.abandon()
		}
		close(c.flights)
		completing.Wait()
		if err == nil {
			err = c.writer.Err() // of the last frames
		}
	}()
	for {
		var r *request
		select {
		case r = <-c.queue:
		case err := <-failing:
			return err
		case <-c.writer.Failed():
			return c.writer.Err()
		case <-c.stopping:
			select {
			case r = <-c.queue:
			default:
				return nil
			}
		}
		if err := c.takeAll(r); err != nil {
			return err
		}
	}
}

// takeAll takes r and all that waits behind it, and sends what is left in the
// last frame. Waiting for a slot comes first: those who arrive meanwhile go
// into the same frame.
func (c *committer) takeAll(r *request) error {
	c.current = r
	if err := c.hold(); err != nil {
		return err
	}
	for r != nil {
		c.current = r
		if err := c.take(r); err != nil {
			return err
		}
		c.frame.requests = append(c.frame.requests, r)
		c.current = nil
		select {
		case r = <-c.queue:
		default:
			r = nil
		}
	}
	return c.send()
}

// abandon answers the requests whose events are not on their way to the log
// as a whole.
func (c *committer) abandon() {
	if c.current != nil {
		c.finish(c.current, errUnknown)
		c.current = nil
	}
	for _, r := range c.frame.requests {
		c.finish(r, errUnknown)
	}
	c.frame.requests = nil
}

// hold waits until one more frame may be in flight.
func (c *committer) hold() error {
	if c.holding {
		return nil
	}
	select {
	case c.slots <- struct{}{}:
		c.holding = true
		return nil
	case <-c.writer.Failed():
		return c.writer.Err()
	}
}

// send begins the gathered frame and starts a new one. A frame without events
// waits for those before it, which the answers in it may rest on.
func (c *committer) send() error {
	f := c.frame
	if f.count > 0 {
		if err := c.hold(); err != nil {
			return err
		}
		pending, err := c.writer.Begin(f.payload, f.count)
		if err != nil {
			return err
		}
		f.pending, f.bytes, c.holding = pending, len(f.payload), false
		f.feed = c.feed.copyOf(f.payload)
		f.snapshot = c.snapshotWhenDue()
	}
	c.frame = newFrame()
	c.frame.payload, f.payload = f.payload[:0], nil
	c.flights <- f
	return nil
}

func newFrame() *frame {
	return &frame{types: make(map[string]int), begun: time.Now()}
}

// complete answers the frames' requests in order as they reach the disk.
func (c *committer) complete(flights <-chan *frame, failing chan<- error) {
	var failed error
	for f := range flights {
		var stored eventlog.Frame
		if f.pending != nil {
			// The Writer itself bounds how long an append may take.
			var err error
			stored, err = f.pending.Wait(context.Background())
			if err == nil && stored.First != f.first {
				err = fmt.Errorf("ingest: events numbered from %d were stored from %d", f.first, stored.First)
			}
			if err != nil && failed == nil {
				failed = err
				failing <- err
			}
			<-c.slots
		}
		if failed != nil {
			for _, r := range f.requests {
				c.finish(r, errUnknown)
			}
			if f.snapshot != nil {
				c.state.drop()
			}
			continue
		}
		for _, r := range f.requests {
			c.finish(r, nil)
		}
		if f.pending != nil {
			c.metrics.stored(f)
			c.feed.offer(feedFrame{f.first, f.count, f.feed})
		}
		if f.snapshot != nil {
			f.snapshot.Chain = stored.Chain
			c.state.save(f.snapshot)
		}
	}
}

// leave is the end of a graceful stop: all is answered, the state is saved.
func (c *committer) leave(ctx context.Context) error {
	c.hinder("ingest is stopping")
	info := c.writer.Info()
	c.state.wait()
	var err error
	if info.Last > c.marked {
		s := c.book.Snapshot(info.Last, info.Chain)
		s.Extra = c.known.encode()
		err = c.state.write(s)
	}
	return errors.Join(err, c.writer.Close(ctx))
}
