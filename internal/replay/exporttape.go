package replay

import (
	"bytes"
	"context"
	"sync"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// tape hands the log's frames to a Player and keeps their text until the
// events decoded from it come out at the other end: what is exported are the
// log's own bytes, not an encoding of them. A Player reads ahead by a bounded
// number of frames, and so much is kept.
type tape struct {
	frames projector.Frames

	mu   sync.Mutex
	kept []eventlog.Frame

	// rest is what is left of the frame in hand, beginning with sequence next.
	rest []byte
	next uint64
	last uint64
}

var _ projector.Frames = (*tape)(nil)

// Next implements projector.Frames.
func (t *tape) Next(ctx context.Context) (eventlog.Frame, error) {
	frame, err := t.frames.Next(ctx)
	if err != nil {
		return frame, err
	}
	t.mu.Lock()
	t.kept = append(t.kept, frame)
	t.mu.Unlock()
	return frame, nil
}

// line is an event's text, without newline. Sequences must be asked for in
// ascending order, and only those that a frame was read with.
func (t *tape) line(sequence uint64) []byte {
	for t.next > t.last || t.last < sequence {
		frame := t.take()
		t.rest, t.next, t.last = frame.Payload, frame.First, frame.Last()
	}
	for {
		line, rest, _ := bytes.Cut(t.rest, []byte{'\n'})
		t.rest = rest
		if t.next++; t.next > sequence {
			return line
		}
	}
}

func (t *tape) take() eventlog.Frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	frame := t.kept[0]
	t.kept[0] = eventlog.Frame{} // let the payload go
	t.kept = t.kept[1:]
	return frame
}

// forget lets go of frames up to a sequence that nobody will ask for.
func (t *tape) forget(sequence uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for len(t.kept) > 0 && t.kept[0].Last() <= sequence {
		t.kept[0] = eventlog.Frame{}
		t.kept = t.kept[1:]
	}
}
