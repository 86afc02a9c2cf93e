package projector

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Frames is a run of log frames in order; *eventlog.Reader is one. Next
// answers io.EOF at the end of a bounded read.
type Frames interface {
	Next(ctx context.Context) (eventlog.Frame, error)
}

// Player moves events from the log into a tier: the one loop behind every
// projector and every replay command.
type Player struct {
	// Bound ends or filters the run.
	Bound Bound
	// Only keeps the events for which it is true; nil keeps all.
	Only func(*events.Event) bool
	// Parking is the Batch's.
	Parking string
	// BatchRows is how many rows a batch aims at while there is a backlog: an
	// event counts as one, a kline event as many as it has bars. It may be
	// exceeded by one frame. Default 5,000.
	BatchRows int
	// Pace is the shortest time between the beginnings of two batches, unless
	// BatchRows wait: a tier that pays for each batch gets fewer, larger ones,
	// and a lone event after a quiet time still goes at once. Default 0.
	Pace time.Duration
	// Idle is called when nothing arrived for IdleAfter; an error ends Play.
	// Both are optional.
	Idle      func(ctx context.Context, at eventlog.Checkpoint) error
	IdleAfter time.Duration
	// Observe sees progress: the first frame that waits, then each applied
	// batch. Optional; called from Play's goroutines, must not block.
	Observe Observer
}

// Observer watches a Player.
type Observer interface {
	// Waiting tells that events up to last, stored by the log at logged, are
	// read and wait to be applied.
	Waiting(last uint64, logged time.Time)
	// Applied tells that a batch is in the tier.
	Applied(b Batch, took time.Duration)
}

// chunk is one decoded frame, or the admitted part of one.
type chunk struct {
	events []*events.Event
	rows   int
	to     eventlog.Checkpoint
	logged time.Time
}

// Play applies what frames yields after the checkpoint from, batch by batch,
// until frames or the bound ends; it returns the checkpoint reached, also
// beside an error. Reading and decoding run ahead of applying by a bounded
// number of frames, of which some are decoded at the same time.
func (p Player) Play(ctx context.Context, frames Frames, tier Tier, from eventlog.Checkpoint) (eventlog.Checkpoint, error) {
	at := from
	group, ctx := errgroup.WithContext(ctx)
	chunks := make(chan chunk, 32)
	group.Go(func() error {
		defer close(chunks)
		return p.read(ctx, frames, from, chunks)
	})
	group.Go(func() error {
		var began time.Time
		for {
			batch, ok, err := p.gather(ctx, chunks, at, began.Add(p.Pace))
			if err != nil || !ok {
				return err
			}
			began = time.Now()
			if err := tier.Apply(ctx, batch); err != nil {
				return fmt.Errorf("%s: apply events %d to %d: %w", tier.Name(), at.Sequence+1, batch.To.Sequence, err)
			}
			at = batch.To
			if p.Observe != nil {
				p.Observe.Applied(batch, time.Since(began))
			}
		}
	})
	err := group.Wait()
	return at, err
}

// decoders is how many frames are decoded at a time.
var decoders = min(runtime.GOMAXPROCS(0), 4)

// read turns frames into chunks until the frames or the bound end. Frames are
// decoded side by side; all else happens in their order.
func (p Player) read(ctx context.Context, frames Frames, from eventlog.Checkpoint, out chan<- chunk) error {
	if p.Bound.reached(from.Sequence) {
		return nil
	}
	ctx, end := context.WithCancel(ctx)
	ahead := make(chan (<-chan decoded), decoders-1)
	go decodeAhead(ctx, frames, from.Sequence, ahead)
	defer func() {
		end()
		for range ahead { //nolint:revive // until nobody reads frames any more
		}
	}()
	for next := range ahead {
		d := <-next
		c, done, err := p.admit(d, from.Sequence)
		if err != nil {
			return err
		}
		// A bound that stops before a frame's first event does not reach its chain.
		if c.to.Sequence > from.Sequence && c.to.Sequence >= d.frame.First {
			if p.Observe != nil {
				p.Observe.Waiting(c.to.Sequence, c.logged)
			}
			select {
			case out <- c:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if done {
			return nil
		}
	}
	return ctx.Err()
}

// decoded is a frame with its events after a sequence: all of them, or those
// before the error.
type decoded struct {
	frame  eventlog.Frame
	events []*events.Event
	err    error
}

// decodeAhead reads frames until they end or ctx does, and closes out.
func decodeAhead(ctx context.Context, frames Frames, after uint64, out chan<- (<-chan decoded)) {
	defer close(out)
	for {
		frame, err := frames.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		result := make(chan decoded, 1)
		if err != nil {
			result <- decoded{err: err}
		} else {
			go func() { result <- decode(frame, after) }()
		}
		select {
		case out <- result:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// decode decodes the events of a frame after the given sequence.
func decode(frame eventlog.Frame, after uint64) decoded {
	d := decoded{frame: frame, events: make([]*events.Event, 0, frame.Count)}
	payload := frame.Payload
	for sequence := frame.First; len(payload) > 0; sequence++ {
		var line []byte
		line, payload, _ = bytes.Cut(payload, []byte{'\n'})
		if sequence <= after {
			continue
		}
		event, err := events.DecodeStored(line)
		if err != nil {
			d.err = &eventlog.CorruptError{Sequence: sequence, Reason: err.Error(),
				Hint: "the event cannot be read by this version: upgrade, or restore the log from a backup"}
			return d
		}
		event.Sequence, event.Logged = sequence, frame.Logged
		d.events = append(d.events, event)
	}
	return d
}

// admit makes the chunk of the events that the bound admits, and tells whether
// the bound is reached.
func (p Player) admit(d decoded, after uint64) (chunk, bool, error) {
	c := chunk{events: d.events[:0], logged: d.frame.Logged}
	c.to = eventlog.Checkpoint{Sequence: max(d.frame.First-1, after), Chain: d.frame.Chain}
	for _, event := range d.events {
		switch p.Bound.admits(event) {
		case stop:
			return c, true, nil
		case admit:
			if p.Only == nil || p.Only(event) {
				c.events = append(c.events, event)
				c.rows += rowsOf(event)
			}
		case skip:
		}
		c.to.Sequence = event.Sequence
	}
	return c, d.err == nil && p.Bound.reached(c.to.Sequence), d.err
}

func rowsOf(e *events.Event) int {
	if d, ok := e.Data.(*events.KlineRecorded); ok {
		return len(d.Bars)
	}
	return 1
}

// gather waits for one chunk, takes along what is there already, and waits for
// more until the batch is full or may go.
func (p Player) gather(ctx context.Context, chunks <-chan chunk, at eventlog.Checkpoint, goes time.Time) (Batch, bool, error) {
	want := p.BatchRows
	if want <= 0 {
		want = 5000
	}
	batch := Batch{From: at, To: at, Parking: p.Parking}
	first, ok, err := p.first(ctx, chunks, at)
	if err != nil || !ok {
		return batch, false, err
	}
	batch.Events, batch.To = first.events, first.to
	due := time.NewTimer(time.Until(goes))
	defer due.Stop()
	rows := first.rows
	for paced := true; rows < want; {
		var c chunk
		select {
		case c, ok = <-chunks:
		default:
			if !paced {
				return batch, true, nil
			}
			select {
			case c, ok = <-chunks:
			case <-due.C:
				paced = false
				continue
			case <-ctx.Done():
				return batch, false, ctx.Err()
			}
		}
		if !ok {
			break
		}
		batch.Events, batch.To = append(batch.Events, c.events...), c.to
		rows += c.rows
	}
	return batch, true, nil
}

// first waits for the chunk that begins a batch.
func (p Player) first(ctx context.Context, chunks <-chan chunk, at eventlog.Checkpoint) (chunk, bool, error) {
	var idle <-chan time.Time
	if p.Idle != nil && p.IdleAfter > 0 {
		ticker := time.NewTicker(p.IdleAfter)
		defer ticker.Stop()
		idle = ticker.C
	}
	for {
		select {
		case c, ok := <-chunks:
			return c, ok, nil
		case <-idle:
			if err := p.Idle(ctx, at); err != nil {
				return chunk{}, false, err
			}
		case <-ctx.Done():
			return chunk{}, false, ctx.Err()
		}
	}
}
