package eventlog

import (
	"context"
	"fmt"
)

const restoreHint = "stop all writers, keep the data for inspection, and restore the log from a backup or a replica"

func corrupt(sequence uint64, reason string) *CorruptError {
	return &CorruptError{Sequence: sequence, Reason: reason, Hint: restoreHint}
}

// cursor is a place between two frames.
type cursor struct {
	message uint64 // the stream's number of the next frame
	first   uint64 // the sequence that it must begin with
	chain   Chain  // the chain value that it must link to
}

var startOfLog = cursor{message: 1, first: 1}

// advance proves that f is the frame at c and moves c behind it.
func (c *cursor) advance(f Frame) error {
	if f.First != c.first {
		return corrupt(c.first, fmt.Sprintf("message %d begins with sequence %d", c.message, f.First))
	}
	if err := checkPayload(f.Payload, f.Count); err != nil {
		return corrupt(c.first, fmt.Sprintf("message %d has %v", c.message, err))
	}
	if chain := c.chain.Next(f.First, f.Payload); chain != f.Chain {
		return corrupt(c.first, fmt.Sprintf("the chain of message %d is broken: it says %s, its contents give %s", c.message, f.Chain, chain))
	}
	*c = cursor{message: c.message + 1, first: f.Last() + 1, chain: f.Chain}
	return nil
}

// frame reads the message that must exist with the number seq. It proves
// nothing beyond well-formed headers.
func (l *link) frame(ctx context.Context, seq uint64) (Frame, error) {
	run, _, err := l.fetch(ctx, seq, 1)
	if err != nil {
		return Frame{}, err
	}
	if len(run) == 1 && run[0].err == nil {
		return run[0].frame, nil
	}
	reason := fmt.Sprintf("message %d cannot be read", seq)
	if len(run) == 1 {
		reason = fmt.Sprintf("message %d is no frame: %v", seq, run[0].err)
	}
	sequence, err := l.firstLost(ctx, seq)
	if err != nil {
		return Frame{}, err
	}
	return Frame{}, corrupt(sequence, reason)
}

// firstLost walks back from the unreadable message seq to name the first
// sequence that is lost with it.
func (l *link) firstLost(ctx context.Context, seq uint64) (uint64, error) {
	for s := seq - 1; s > 0; s-- {
		run, _, err := l.fetch(ctx, s, 1)
		if err != nil {
			return 0, err
		}
		if len(run) == 1 && run[0].err == nil {
			return run[0].frame.Last() + 1, nil
		}
	}
	return 1, nil
}

// seek finds the frame that holds after.Sequence among the messages up to
// last and proves that its chain value is after.Chain, recomputed from its
// contents. It returns the place before that frame, and the frame; for the
// zero Checkpoint the log's start.
func (l *link) seek(ctx context.Context, after Checkpoint, last uint64) (cursor, Frame, error) {
	if after.Sequence == 0 {
		return startOfLog, Frame{}, nil
	}
	at, f, err := l.find(ctx, after.Sequence, last)
	if err != nil {
		return cursor{}, Frame{}, err
	}
	place := startOfLog
	if at > 1 {
		previous, err := l.frame(ctx, at-1)
		if err != nil {
			return cursor{}, Frame{}, err
		}
		place = cursor{message: at, first: previous.Last() + 1, chain: previous.Chain}
	}
	if f.Chain != after.Chain {
		return cursor{}, Frame{}, corrupt(place.first, fmt.Sprintf(
			"the frame that holds sequence %d has the chain %s, but %s was once read or acknowledged: the log was cut or replaced here or earlier, and grew again",
			after.Sequence, f.Chain, after.Chain))
	}
	proof := place
	if err := proof.advance(f); err != nil {
		return cursor{}, Frame{}, err
	}
	return place, f, nil
}

// find is the message up to last that holds sequence. An unreadable message
// on its way is taken as lying behind: if it does not, the search ends there.
func (l *link) find(ctx context.Context, sequence, last uint64) (uint64, Frame, error) {
	low, high := uint64(1), last
	var end, unreadable uint64 // end is the last sequence of message low-1
	at := last                 // most readers resume near the end
	for low <= high {
		run, _, err := l.fetch(ctx, at, 1)
		if err != nil {
			return 0, Frame{}, err
		}
		switch {
		case len(run) == 0 || run[0].err != nil:
			unreadable, high = at, at-1
		case run[0].frame.First > sequence:
			high = at - 1
		case run[0].frame.Last() < sequence:
			low, end = at+1, run[0].frame.Last()
		default:
			return at, run[0].frame, nil
		}
		at = low + (high-low)/2
	}
	switch {
	case low == unreadable:
		return 0, Frame{}, corrupt(end+1, fmt.Sprintf("message %d cannot be read", low))
	case low > last:
		return 0, Frame{}, corrupt(end+1, fmt.Sprintf("the log ends at %d, but sequence %d was once read or acknowledged", end, sequence))
	}
	return 0, Frame{}, corrupt(end+1, fmt.Sprintf("message %d begins behind sequence %d", low, sequence))
}
