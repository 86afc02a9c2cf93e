package ingest

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// take decides the fate of a request's events and puts the accepted ones into
// frames. The error is the log's.
func (c *committer) take(r *request) error {
	if r.atomic {
		return c.takeAtomic(r)
	}
	for i := range r.items {
		it := &r.items[i]
		if it.invalid != nil || !c.judge(it) {
			continue
		}
		line, ok := c.line(r, it, nil)
		if !ok {
			continue
		}
		if err := c.room(len(line), 1); err != nil {
			return err
		}
		c.put(it, line)
		c.book.Apply(it.event)
	}
	return nil
}

// takeAtomic puts all events of a request into one frame, or none of them: one
// that is rejected takes back what those before it did to the book.
func (c *committer) takeAtomic(r *request) error {
	// The frame must have room before anything is applied: sending it may take
	// a snapshot of the book. A version makes a ParamSaved longer.
	const longestVersion = 32
	if err := c.room(len(r.lines)+longestVersion*len(r.items), len(r.items)); err != nil {
		return err
	}
	tx := c.book.Begin()
	seen := make(map[idHash]int, len(r.items))
	ends := make([]int, len(r.items)) // of the lines in c.staged
	c.staged = c.staged[:0]
	next := c.next
	reject := func() error {
		tx.Rollback()
		return nil
	}
	for i := range r.items {
		it := &r.items[i]
		if first, ok := seen[it.mark.id]; ok {
			if original := &r.items[first]; original.mark.content == it.mark.content {
				it.sequence, it.duplicate = original.sequence, true
			} else {
				it.invalid = idTaken(it.event.ID, original.sequence)
			}
		}
		if it.invalid != nil {
			return reject()
		}
		if it.duplicate || !c.judge(it) {
			if it.invalid != nil {
				return reject()
			}
			continue
		}
		line, ok := c.line(r, it, c.staged)
		if !ok {
			return reject()
		}
		if len(line) > c.maxPayload {
			it.invalid = &events.InvalidError{Rule: fmt.Sprintf("must, with the rest of its atomic request, be at most %d bytes", c.maxPayload)}
			return reject()
		}
		c.staged, ends[i] = line, len(line)
		it.sequence, it.event.Sequence = next, next
		seen[it.mark.id] = i
		next++
		tx.Apply(it.event)
	}
	c.putStaged(r, ends)
	return nil
}

// putStaged moves an accepted atomic request's lines into the frame.
func (c *committer) putStaged(r *request, ends []int) {
	start := 0
	for i := range r.items {
		if ends[i] > 0 {
			c.put(&r.items[i], c.staged[start:ends[i]])
			start = ends[i]
		}
	}
}

// judge holds one event against the known ids and the book. It tells whether
// the event is to be appended; if not, the item says what became of it.
func (c *committer) judge(it *item) bool {
	sequence, content, ok := c.known.find(it.mark.id)
	switch {
	case ok && content == it.mark.content:
		it.sequence, it.duplicate = sequence, true
		c.metrics.duplicates.Inc()
		return false
	case ok:
		c.reject(it, "id_reused", idTaken(it.event.ID, sequence))
		return false
	}
	verdict, err := c.book.Check(it.event)
	if err != nil {
		c.reject(it, "state", err)
		return false
	}
	if !verdict.Applied {
		it.skipped = verdict.Reason
		c.metrics.skipped.Inc()
	}
	return verdict.Applied
}

func idTaken(id string, sequence uint64) *events.InvalidError {
	return &events.InvalidError{
		Field: "id",
		Rule:  fmt.Sprintf("must not be used again for another event; it belongs to sequence %d", sequence),
		Value: id,
	}
}

func (c *committer) reject(it *item, reason string, err error) {
	if !errors.As(err, &it.invalid) {
		it.invalid = &events.InvalidError{Rule: err.Error()}
	}
	c.metrics.rejected.WithLabelValues(reason).Inc()
}

// line appends an accepted event's canonical line to dst (a slice of the
// request's own when dst is nil). A ParamSaved is encoded anew: Check gave it
// its version. ok is false when the line is too long for the log.
func (c *committer) line(r *request, it *item, dst []byte) (line []byte, ok bool) {
	start := len(dst)
	if _, versioned := it.event.Data.(*events.ParamSaved); versioned {
		var err error
		if line, err = it.event.AppendJSON(dst); err != nil {
			c.reject(it, "too_large", err)
			return nil, false
		}
		line = append(line, '\n')
	} else if dst == nil {
		line = r.lines[it.start:it.end]
	} else {
		line = append(dst, r.lines[it.start:it.end]...)
	}
	if len(line)-start > c.maxPayload {
		c.reject(it, "too_large", &events.InvalidError{Rule: fmt.Sprintf("must be at most %d bytes, the log's server takes no more", c.maxPayload)})
		return nil, false
	}
	return line, true
}

// room sends the frame being gathered when it cannot take more events of so
// many bytes.
func (c *committer) room(bytes, count int) error {
	f := c.frame
	if f.count == 0 || f.count+count <= eventlog.MaxFrameEvents &&
		len(f.payload)+bytes <= min(frameBytes, c.maxPayload) {
		return nil
	}
	return c.send()
}

// put numbers an event and adds its line to the frame.
func (c *committer) put(it *item, line []byte) {
	f := c.frame
	if f.count == 0 {
		f.first, f.begun = c.next, time.Now()
	}
	it.sequence, it.event.Sequence = c.next, c.next
	f.payload = append(f.payload, line...)
	f.count++
	f.types[string(it.event.Type())]++
	c.known.add(c.next, it.mark)
	c.next++
}
