package eventlog

import (
	"context"
	"errors"
	"fmt"
)

// Backup is what a Restorer asks about the frames that it is to put back.
type Backup interface {
	// Holds tells whether a frame of the backup holds the checkpoint's sequence
	// and has its chain value.
	Holds(ctx context.Context, at Checkpoint) (bool, error)
}

// Restorer puts frames that were once on a log back behind the end of one: with
// the boundaries, chain values and Logged times that they had. It stands in the
// Writer's place and fences it. Use it from one goroutine.
type Restorer struct {
	w      *Writer
	target Checkpoint
}

// NewRestorer opens a log as NewWriter does, to bring it up to target, a place
// of the backup.
//
// From the first Append on, the anchor stands at target, before the frames are
// there: a restore that was killed leaves a log that NewWriter refuses as cut
// short. Here such a log is welcome, as long as the anchor is a place of the
// backup and not behind target.
func NewRestorer(ctx context.Context, c WriterConfig, from Backup, target Checkpoint) (*Restorer, error) {
	if target.Sequence == 0 {
		return nil, errors.New("eventlog: restore: no sequence to restore up to")
	}
	owed := func(anchored Checkpoint) (bool, error) {
		if anchored.Sequence == 0 || anchored.Sequence > target.Sequence {
			return false, nil
		}
		return from.Holds(ctx, anchored)
	}
	w, err := newWriter(ctx, c, owed)
	if err != nil {
		return nil, err
	}
	return &Restorer{w, target}, nil
}

// Info describes the log up to the last frame that is on disk.
func (r *Restorer) Info() Info { return r.w.Info() }

// Append returns when the frame is on disk. The frame must be the one that
// follows the log's end, by its sequence and its chain value, and must not pass
// the target; one that does not fit leaves the Restorer as it was. After any
// other error a new Restorer must be opened.
func (r *Restorer) Append(ctx context.Context, f Frame) error {
	w, target := r.w, r.target
	w.mu.Lock()
	next, begun := w.next, w.floor >= target.Sequence
	w.mu.Unlock()
	switch {
	case f.Last() > target.Sequence:
		return fmt.Errorf("eventlog: restore sequences %d to %d: they lie behind sequence %d, which the restore goes up to", f.First, f.Last(), target.Sequence)
	case f.First != next.first:
		return fmt.Errorf("eventlog: restore sequence %d: the log goes on with %d", f.First, next.first)
	case next.chain.Next(f.First, f.Payload) != f.Chain:
		return fmt.Errorf("eventlog: restore sequence %d: the frame does not link to the log's end", f.First)
	case f.Last() == target.Sequence && f.Chain != target.Chain:
		return fmt.Errorf("eventlog: restore sequence %d: the chain is %s, want %s", f.First, f.Chain, target.Chain)
	case f.Logged.IsZero():
		return fmt.Errorf("eventlog: restore sequence %d: it is not known when it was logged", f.First)
	}
	if !begun {
		if err := w.raise(target); err != nil {
			return err
		}
	}
	p, err := w.begin(f.Payload, f.Count, f.Logged)
	if err != nil {
		return err
	}
	_, err = p.Wait(ctx)
	return err
}

// Close ends the connection.
func (r *Restorer) Close(ctx context.Context) error { return r.w.Close(ctx) }

// raise puts the anchor at a place that the log has yet to reach.
func (w *Writer) raise(target Checkpoint) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.anchor.move(target); err != nil {
		return err
	}
	// Unlike other moves this one must not be lost: a power cut would leave
	// half a log that looks whole.
	if err := w.anchor.file.Sync(); err != nil {
		return fmt.Errorf("eventlog: sync anchor at sequence %d: %w", target.Sequence, err)
	}
	w.floor = target.Sequence
	return nil
}

// remember moves the anchor to the last acknowledged frame, but not back
// before the place that a restore raised it to.
func (w *Writer) remember(at Checkpoint) error {
	if at.Sequence < w.floor {
		return nil
	}
	return w.anchor.move(at)
}
