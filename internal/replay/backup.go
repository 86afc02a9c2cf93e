package replay

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/backup"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

type backupCommand struct {
	Out         string `help:"Folder of the backup: a new one, or with --incremental one to go on with." placeholder:"DIR" xor:"what" required:""`
	Incremental bool   `help:"Add what the log got since the last run into --out."`
	Verify      string `help:"Only prove the backup in this folder; no server is asked." placeholder:"DIR" xor:"what" required:""`
}

type backupAnswer struct {
	Dir           string    `json:"dir"`
	FirstSequence uint64    `json:"first_sequence"`
	LastSequence  uint64    `json:"last_sequence"`
	Chain         string    `json:"chain"`
	Logged        time.Time `json:"logged,omitzero"`
	Segments      int       `json:"segments"`
	Bytes         int64     `json:"bytes"`
	// AddedEvents are this run's; nil when the backup was only verified.
	AddedEvents *uint64 `json:"added_events,omitempty"`
}

func backupOf(set *backup.Set) backupAnswer {
	m := set.Manifest()
	return backupAnswer{
		Dir: set.Dir(), FirstSequence: min(1, m.Last), LastSequence: m.Last, Chain: m.Chain, Logged: m.Logged,
		Segments: len(m.Segments), Bytes: m.Bytes(),
	}
}

// Run implements the command. A kill leaves the backup as of the last completed
// segment.
func (c backupCommand) Run(e *Env) error {
	if c.Verify != "" {
		return c.verify(e)
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Info(e.Context)
	if err != nil {
		return fmt.Errorf("ask the log for its end: %w", err)
	}
	todo := info.Last
	if set, err := backup.Open(c.Out); err == nil {
		todo -= min(todo, set.End().Sequence)
	}
	bar := e.progress("backing up", int64(todo))
	result, err := backup.Take(e.Context, log, c.Out, backup.Options{
		Incremental: c.Incremental,
		Observe:     func(events int) { _ = bar.Add(events) }, // a bar that cannot be drawn stops nothing
	})
	bar.Close()
	if err != nil {
		return backupRefusal(err)
	}
	answer := backupOf(result.Set)
	answer.AddedEvents = &result.Events
	return e.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d events added, now 1 to %d in %d segments, %.1f MB, chain %s\n",
			answer.Dir, result.Events, answer.LastSequence, answer.Segments, float64(answer.Bytes)/1e6, answer.Chain)
	})
}

func (c backupCommand) verify(e *Env) error {
	set, err := backup.Open(c.Verify)
	if err != nil {
		return backupRefusal(err)
	}
	if err := e.proveSet(set, set.End().Sequence); err != nil {
		return err
	}
	answer := backupOf(set)
	return e.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s: sound, events 1 to %d in %d segments, %.1f MB, chain %s\n",
			answer.Dir, answer.LastSequence, answer.Segments, float64(answer.Bytes)/1e6, answer.Chain)
	})
}

// proveSet reads a set up to a sequence, which ends a frame.
func (e *Env) proveSet(set *backup.Set, until uint64) error {
	bar := e.progress("proving the backup", int64(until))
	defer bar.Close()
	for frame, err := range set.Frames(e.Context, 0) {
		if err != nil {
			return err
		}
		_ = bar.Add(frame.Count) // a bar that cannot be drawn stops nothing
		if frame.Last() >= until {
			return nil
		}
	}
	return nil
}

// backupRefusal tells what trying again does not help.
func backupRefusal(err error) error {
	if errors.Is(err, backup.ErrExists) || errors.Is(err, backup.ErrBusy) || errors.Is(err, backup.ErrNone) {
		return fmt.Errorf("%w: %w", err, projector.ErrRefused)
	}
	return err
}
