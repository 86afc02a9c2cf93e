package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/backup"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

type restoreCommand struct {
	From          string  `help:"Folder of the backup." required:"" placeholder:"DIR"`
	Data          string  `help:"ingest's data folder: a new one, or one whose log the backup continues. ingest must not run." required:"" placeholder:"DIR"`
	UntilSequence *uint64 `help:"Restore up to this sequence, which must end a frame." placeholder:"N"`
	ToNats        string  `help:"Outside NATS to restore into, as ingest's --nats-url; --data then gets what ingest keeps beside it." placeholder:"URL"`
	ToNatsCreds   string  `help:"Credentials file for the outside NATS." type:"existingfile" placeholder:"FILE"`
	ToReplicas    int     `help:"How many servers of the outside NATS hold the log." default:"1"`
}

type restoreAnswer struct {
	From         string    `json:"from"`
	Data         string    `json:"data"`
	Restored     uint64    `json:"restored_events"`
	LastSequence uint64    `json:"last_sequence"`
	Chain        string    `json:"chain"`
	Logged       time.Time `json:"logged"`
}

// Run implements the command: the backup is proved, the frames that the log
// lacks are appended one by one, and the log is read back and compared. A log
// that is longer than the backup, or another one, is refused untouched. What a
// kill leaves is refused by ingest, and the next restore goes on with it.
func (c restoreCommand) Run(e *Env) (err error) {
	set, err := backup.Open(c.From)
	if err != nil {
		return backupRefusal(err)
	}
	target, err := c.target(e.Context, set)
	if err != nil {
		return err
	}
	if err := e.proveSet(set, target.Sequence); err != nil {
		return fmt.Errorf("the backup is not sound, nothing was restored (see --until-sequence): %w", err)
	}
	place, err := c.open(e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, place.close()) }()
	restored, err := c.restore(e, set, place, target)
	if err != nil {
		return err
	}
	last, err := e.compareWithSet(set, place, target)
	if err != nil {
		return fmt.Errorf("prove the restored log: %w", err)
	}
	answer := restoreAnswer{c.From, c.Data, restored, target.Sequence, target.Chain.String(), last.Logged}
	return e.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %d events restored, the log is proved and ends at sequence %d, logged %s, chain %s\n",
			answer.Data, answer.Restored, answer.LastSequence, answer.Logged.Format(time.RFC3339Nano), answer.Chain)
	})
}

// target is where the restored log shall end.
func (c restoreCommand) target(ctx context.Context, set *backup.Set) (eventlog.Checkpoint, error) {
	end := set.End()
	switch {
	case end.Sequence == 0:
		return end, usage("--from %s: the backup is of an empty log", c.From)
	case c.UntilSequence == nil:
		return end, nil
	case *c.UntilSequence < 1 || *c.UntilSequence > end.Sequence:
		return end, usage("--until-sequence %d: the backup holds 1 to %d", *c.UntilSequence, end.Sequence)
	}
	for frame, err := range set.Frames(ctx, *c.UntilSequence-1) {
		if err != nil {
			return end, err
		}
		if frame.Last() != *c.UntilSequence {
			return end, usage("--until-sequence %d lies inside the frame of %d to %d, which is whole or not at all: choose %d or %d",
				*c.UntilSequence, frame.First, frame.Last(), frame.First-1, frame.Last())
		}
		return eventlog.Checkpoint{Sequence: frame.Last(), Chain: frame.Chain}, nil
	}
	return end, nil
}

// restorePlace is where a log is restored: an outside NATS, or a data folder
// with a server of its own for as long as it takes.
type restorePlace struct {
	config eventlog.WriterConfig
	server *embedded.Server
}

func (c restoreCommand) open(e *Env) (*restorePlace, error) {
	logger := e.CLI.Logger(e.Err)
	// What ingest finds there.
	state := filepath.Join(c.Data, "state")
	if err := os.MkdirAll(state, 0o750); err != nil {
		return nil, usage("--data %s: %v", c.Data, err)
	}
	p := &restorePlace{config: eventlog.WriterConfig{
		Config: eventlog.Config{URL: c.ToNats, Credentials: c.ToNatsCreds, Name: "replay restore", Logger: logger},
		Anchor: filepath.Join(state, "anchor"), Replicas: c.ToReplicas,
	}}
	if c.ToNats != "" {
		return p, nil
	}
	var err error
	p.server, err = embedded.Start(e.Context, embedded.Options{Dir: c.Data, Listen: "127.0.0.1:0", Logger: logger})
	if err != nil {
		return nil, fmt.Errorf("--data %s (does ingest run on it?): %w: %w", c.Data, err, projector.ErrRefused)
	}
	p.config.URL = p.server.ClientURL()
	p.config.Conn, err = p.server.WriterConn()
	if err != nil {
		return nil, errors.Join(err, p.server.Shutdown())
	}
	return p, nil
}

func (p *restorePlace) close() error {
	if p.server == nil {
		return nil
	}
	return p.server.Shutdown()
}

// restore appends what the log lacks and returns how many events that were.
func (c restoreCommand) restore(e *Env, set *backup.Set, place *restorePlace, target eventlog.Checkpoint) (restored uint64, err error) {
	restorer, err := eventlog.NewRestorer(e.Context, place.config, set, target)
	if errors.As(err, new(*eventlog.CorruptError)) {
		return 0, fmt.Errorf("the log at %s is damaged or lacks what it acknowledged beyond this restore's end, %d: restore into a new folder: %w", c.where(), target.Sequence, err)
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		err = errors.Join(err, restorer.Close(context.WithoutCancel(e.Context)))
	}()
	info := restorer.Info()
	if err := c.admit(e.Context, set, info, target); err != nil {
		return 0, err
	}
	if info.Last == target.Sequence {
		return 0, nil
	}
	bar := e.progress("restoring", int64(target.Sequence-info.Last))
	defer bar.Close()
	for frame, err := range set.Frames(e.Context, info.Last) {
		if err != nil {
			return 0, err
		}
		if err := restorer.Append(e.Context, frame); err != nil {
			return 0, fmt.Errorf("stopped before sequence %d, run the same command again to go on: %w", frame.First, err)
		}
		_ = bar.Add(frame.Count) // a bar that cannot be drawn stops nothing
		if frame.Last() == target.Sequence {
			break
		}
	}
	return target.Sequence - info.Last, nil
}

// admit refuses a log that is not a beginning of what is to be restored.
func (c restoreCommand) admit(ctx context.Context, set *backup.Set, log eventlog.Info, target eventlog.Checkpoint) error {
	ends := fmt.Sprintf("it ends at sequence %d with the chain %s, this restore at %d with %s; nothing was changed, restore into a new folder",
		log.Last, log.Chain, target.Sequence, target.Chain)
	if log.Last > target.Sequence {
		return fmt.Errorf("the log at %s is longer: %s: %w", c.where(), ends, projector.ErrRefused)
	}
	same, err := set.Holds(ctx, eventlog.Checkpoint{Sequence: log.Last, Chain: log.Chain})
	if err != nil {
		return err
	}
	if !same {
		return fmt.Errorf("the log at %s is another one: %s: %w", c.where(), ends, projector.ErrRefused)
	}
	return nil
}

func (c restoreCommand) where() string {
	if c.ToNats != "" {
		return settings.Redact(c.ToNats)
	}
	return c.Data
}

// compareWithSet reads the log from its first event and holds each frame
// against the backup's, times included.
func (e *Env) compareWithSet(set *backup.Set, place *restorePlace, target eventlog.Checkpoint) (last eventlog.Frame, err error) {
	log, err := eventlog.Open(e.Context, place.config.Config)
	if err != nil {
		return last, err
	}
	defer log.Close()
	frames, err := log.Read(e.Context, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	if err != nil {
		return last, err
	}
	defer frames.Close()
	bar := e.progress("proving the log", int64(target.Sequence))
	defer bar.Close()
	for want, err := range set.Frames(e.Context, 0) {
		if err != nil {
			return last, err
		}
		last, err = frames.Next(e.Context)
		if err != nil {
			return last, fmt.Errorf("sequence %d: %w", want.First, err)
		}
		if last.First != want.First || last.Chain != want.Chain || !last.Logged.Equal(want.Logged) {
			return last, fmt.Errorf("sequence %d: the log has chain %s, logged %s; the backup %s, %s: %w",
				want.First, last.Chain, last.Logged, want.Chain, want.Logged, ErrDifferences)
		}
		_ = bar.Add(last.Count) // a bar that cannot be drawn stops nothing
		if want.Last() == target.Sequence {
			break
		}
	}
	if extra, err := frames.Next(e.Context); !errors.Is(err, io.EOF) {
		return last, errors.Join(err, fmt.Errorf("the log goes on with sequence %d: %w", extra.First, projector.ErrRefused))
	}
	return last, nil
}
