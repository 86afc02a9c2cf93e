package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/file"
)

type snapshotCommand struct {
	Out      string `help:"Folder to write; it must not exist or be empty." xor:"target" required:"" placeholder:"DIR"`
	To       string `help:"Instead of a folder an empty database, e.g. mysql=user:password@tcp(127.0.0.1:3306)/june: redis=URL, mysql=DSN or clickhouse=DSN." xor:"target" required:"" placeholder:"TIER=PLACE"`
	Encoding string `help:"Encoding of deal_hist.csv: ${enum}; gbk is what Python on Chinese Windows reads." enum:"utf-8,gbk" default:"utf-8"`
	boundFlags
}

type snapshotAnswer struct {
	Out      string `json:"out"`
	Bound    string `json:"bound"`
	Sequence uint64 `json:"sequence"`
	Chain    string `json:"chain"`
}

// Run implements the command. The folder appears whole or not at all: it is
// built beside its place and renamed into it.
func (c snapshotCommand) Run(e *Env) error {
	bound, err := c.bound()
	if err != nil {
		return err
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	if c.To != "" {
		return c.intoDatabase(e, log, bound)
	}
	return c.intoFolder(e, log, bound)
}

func (c snapshotCommand) intoFolder(e *Env, log *eventlog.Log, bound projector.Bound) error {
	if err := requireEmpty(c.Out); err != nil {
		return err
	}
	building := c.Out + ".building"
	if err := os.RemoveAll(building); err != nil {
		return fmt.Errorf("clear what an earlier snapshot left: %w", err)
	}
	options := file.Options{Encoding: silverquant.Encoding(c.Encoding)}
	if !bound.UntilTime.IsZero() {
		options.Bound = bound.String()
	}
	tier, err := file.Open(building, options)
	if err != nil {
		return fmt.Errorf("open %s: %w", building, err)
	}
	at, err := e.play(e.Context, log, tier, bound, nil)
	if err == nil && at.Sequence == 0 {
		// Nothing was played: an empty step still writes the folder.
		err = tier.Apply(e.Context, projector.Batch{})
	}
	err = errors.Join(err, tier.Close(), os.RemoveAll(building+".lock"))
	if err != nil {
		return errors.Join(err, os.RemoveAll(building))
	}
	if err := os.Remove(c.Out); err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("put snapshot in place: %w", err)
	}
	if err := os.Rename(building, c.Out); err != nil {
		return fmt.Errorf("put snapshot in place: %w", err)
	}
	answer := snapshotAnswer{c.Out, describe(bound, at.Sequence), at.Sequence, at.Chain.String()}
	return e.print(answer, answer.text)
}

func (a snapshotAnswer) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %s, log read up to sequence %d\n", a.Out, a.Bound, a.Sequence)
}

// intoDatabase fills an empty database and holds it there, so that no projector
// carries it on by mistake. The hold comes first: a rerun after kill -9 knows
// by it what was begun, and goes on.
func (c snapshotCommand) intoDatabase(e *Env, log *eventlog.Log, bound projector.Bound) error {
	name, place, _ := strings.Cut(c.To, "=")
	kind, ok := kindNamed(name)
	if !ok || place == "" {
		return usage("--to %s: write TIER=PLACE, TIER being redis, mysql, clickhouse or file", settings.Redact(c.To))
	}
	text := describe(bound, 0)
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	tier, err := kind.open(ctx, place)
	if err != nil {
		return fmt.Errorf("--to %s: %w", name, err)
	}
	defer tier.Close()
	if bound.UntilSequence, err = beginSnapshot(e, log, tier, bound); err != nil {
		return fmt.Errorf("--to %s: %w", name, err)
	}
	at, err := e.play(e.Context, log, tier, bound, nil)
	if err != nil {
		return fmt.Errorf("--to %s: (run it again to go on) %w", name, err)
	}
	proved, err := e.prove(log, tier, bound.Includes, proofFlags{Memory: 1024})
	if err != nil {
		return fmt.Errorf("--to %s: %w", name, err)
	}
	if !proved.Equal {
		if err := e.explain(log, proved); err != nil {
			return err
		}
		proved.text(e.Err)
		return ErrDifferences
	}
	answer := snapshotAnswer{settings.Redact(c.To), text, at.Sequence, at.Chain.String()}
	return e.print(answer, answer.text)
}

// beginSnapshot holds an empty tier for a snapshot, or finds that one of the
// same bound was begun there.
func beginSnapshot(e *Env, log *eventlog.Log, tier projector.Live, bound projector.Bound) (until uint64, err error) {
	at, err := tier.Checkpoint(e.Context)
	if err != nil {
		return 0, err
	}
	held, err := tier.Hold(e.Context)
	if err != nil {
		return 0, err
	}
	reason := "snapshot, " + bound.String()
	if held.Reason == reason && !held.IsZero() {
		return held.Until, nil
	}
	if at.Sequence > 0 || !held.IsZero() {
		return 0, usage("it holds events up to %d already: name an empty database", at.Sequence)
	}
	pinned, err := e.pin(log, bound)
	if err != nil {
		return 0, err
	}
	hold := projector.Hold{Until: pinned.UntilSequence, Reason: reason}
	if !bound.IsPrefix() {
		hold.Bound = bound.String()
	}
	return hold.Until, tier.SetHold(e.Context, held, hold)
}

func requireEmpty(dir string) error {
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil {
		return usage("--out %s: %v", dir, err)
	}
	if len(entries) > 0 {
		return usage("--out %s is not empty: name a new folder", dir)
	}
	return nil
}
