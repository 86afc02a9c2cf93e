// Package eventlog is the only package that knows JetStream: it keeps the log
// as one stream of hash-chained frames, appends to it and reads it back with
// proof. Writer is the single appender; Log gives Readers. Both work against
// the embedded server (package embedded) and against an outside NATS. DESIGN.md
// beside this file tells how, and what a crash leaves.
package eventlog

import (
	"fmt"
	"time"
)

// MaxFrameEvents is how many events one frame may hold.
const MaxFrameEvents = 1000

// Frame is one message of the log: one write, one fsync, all or nothing.
type Frame struct {
	// First is the sequence of the first event; the others follow without gap.
	First uint64
	// Count is how many events the payload holds, 1 to MaxFrameEvents.
	Count int
	// Chain is this frame's chain value.
	Chain Chain
	// Logged is when the log stored the frame first, UTC: a restore keeps it.
	Logged time.Time
	// Payload is the events, one JSON a line, each line ended by '\n'.
	Payload []byte
}

// Last is the sequence of the frame's last event.
func (f Frame) Last() uint64 { return f.First + uint64(f.Count) - 1 }

// Info describes the log as a whole.
type Info struct {
	// First is 1, or 0 on an empty log. Last is the newest event's sequence.
	First, Last uint64
	// Bytes is what the stream occupies.
	Bytes uint64
	// Chain is the chain value of the last frame.
	Chain Chain
	// Logged is when the last frame was stored; zero on an empty log.
	Logged time.Time
}

// CorruptError tells that the log is not what was once acknowledged. It is
// never transient: whoever meets it stops.
type CorruptError struct {
	// Sequence is the first event that is lost or damaged.
	Sequence uint64
	// Reason says what was found, Hint what to do about it.
	Reason, Hint string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("log damaged at sequence %d: %s; %s", e.Sequence, e.Reason, e.Hint)
}
