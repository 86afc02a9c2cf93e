package projectortest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"

	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// tape is a history cut into frames as the log holds them, and into batches as
// a projector takes them: of whole frames, or of parts where a bound cut one.
type tape struct {
	frames  []eventlog.Frame
	events  []*events.Event
	batches []projector.Batch
}

// drawTape cuts a history at random.
func drawTape(t *rapid.T, history []*events.Event) *tape {
	tp := &tape{events: history}
	var chain eventlog.Chain
	at := eventlog.Checkpoint{}
	for rest := history; len(rest) > 0; {
		n := rapid.IntRange(1, min(len(rest), 40)).Draw(t, "frame")
		var payload []byte
		for _, e := range rest[:n] {
			line, err := e.AppendJSON(payload)
			if err != nil {
				t.Fatalf("encode event %d: %v", e.Sequence, err)
			}
			payload = append(line, '\n')
		}
		chain = chain.Next(rest[0].Sequence, payload)
		tp.frames = append(tp.frames, eventlog.Frame{First: rest[0].Sequence, Count: n, Chain: chain, Payload: payload, Logged: rest[0].Time})
		cut := rapid.IntRange(1, n).Draw(t, "cut")
		for _, part := range [][]*events.Event{rest[:cut], rest[cut:n]} {
			if len(part) == 0 {
				continue
			}
			to := eventlog.Checkpoint{Sequence: part[len(part)-1].Sequence, Chain: chain}
			tp.batches = append(tp.batches, projector.Batch{From: at, To: to, Events: part})
			at = to
		}
		rest = rest[n:]
	}
	return tp
}

// end is the checkpoint after the last batch.
func (tp *tape) end() eventlog.Checkpoint {
	if len(tp.batches) == 0 {
		return eventlog.Checkpoint{}
	}
	return tp.batches[len(tp.batches)-1].To
}

// eventsUntil are the events that a checkpoint covers.
func (tp *tape) eventsUntil(at eventlog.Checkpoint) []*events.Event { return tp.events[:at.Sequence] }

// batchAt is the index of the batch that goes on from a checkpoint.
func (tp *tape) batchAt(at eventlog.Checkpoint) int {
	for i, b := range tp.batches {
		if b.From == at {
			return i
		}
	}
	return len(tp.batches)
}

// reader plays the frames as the log's reader would.
type reader struct {
	frames []eventlog.Frame
}

func (tp *tape) after(at eventlog.Checkpoint) *reader {
	for i, f := range tp.frames {
		if f.Last() > at.Sequence {
			return &reader{tp.frames[i:]}
		}
	}
	return &reader{}
}

// Next implements projector.Frames.
func (r *reader) Next(context.Context) (eventlog.Frame, error) {
	if len(r.frames) == 0 {
		return eventlog.Frame{}, io.EOF
	}
	f := r.frames[0]
	f.Payload = bytes.Clone(f.Payload)
	r.frames = r.frames[1:]
	return f, nil
}

// Checkpoint is one whose chain belongs to its sequence alone.
func Checkpoint(sequence int) eventlog.Checkpoint {
	at := eventlog.Checkpoint{Sequence: uint64(sequence)}
	if sequence > 0 {
		binary.BigEndian.PutUint64(at.Chain[:], uint64(sequence))
		at.Chain[31] = 1
	}
	return at
}

// Batch is the events of a tape after from up to to.
func Batch(tape []*events.Event, from, to int) projector.Batch {
	return projector.Batch{From: Checkpoint(from), To: Checkpoint(to), Events: tape[from:to]}
}
