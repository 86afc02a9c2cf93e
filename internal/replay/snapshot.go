package replay

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/file"
)

type snapshotCommand struct {
	Out      string `help:"Folder to write; it must not exist or be empty." required:"" placeholder:"DIR"`
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
	if err := requireEmpty(c.Out); err != nil {
		return err
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
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
	at, err := e.play(e.Context, log, tier, bound)
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
	return e.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "%s: %s, log read up to sequence %d\n", answer.Out, answer.Bound, answer.Sequence)
	})
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
