package replay

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/proof"
)

type cutCommand struct {
	Wait time.Duration `help:"How long to wait for every projector to reach the cut." default:"30s"`
	proofFlags
}

type cutAnswer struct {
	Sequence uint64         `json:"sequence"`
	Chain    string         `json:"chain"`
	Equal    bool           `json:"equal"`
	Tiers    []verifyAnswer `json:"tiers"`
}

// errQuiet tells that the log does not come to a cut that was set ahead of it.
var errQuiet = errors.New("the log rests before the cut")

// Run implements the command: every tier is stopped at the same sequence for as
// long as it takes to write its rows down, then compared with the fold there.
// Events flow on meanwhile; the projectors catch up after.
func (c cutCommand) Run(e *Env) error {
	names, err := e.CLI.selectTiers("all")
	if err != nil {
		return err
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	dumps, err := c.stop(e, log, names)
	defer closeAll(dumps)
	if err != nil {
		return err
	}
	at := dumps[names[0]].At
	answer := cutAnswer{Sequence: at.Sequence, Chain: at.Chain.String(), Equal: true}
	for _, name := range names {
		if other := dumps[name].At; other != at {
			return fmt.Errorf("%s is at %d, chain %s, where %s is at %d, chain %s: %w", name, other.Sequence, other.Chain, names[0], at.Sequence, at.Chain, ErrDifferences)
		}
		compared, err := c.compare(e, log, name, dumps[name])
		if err != nil {
			return fmt.Errorf("tier %s: %w", name, err)
		}
		answer.Tiers = append(answer.Tiers, compared)
		answer.Equal = answer.Equal && compared.Equal
	}
	if err := e.print(answer, answer.text); err != nil {
		return err
	}
	if !answer.Equal {
		return ErrDifferences
	}
	return nil
}

const (
	// cutMargin is how far ahead of a log that flows the cut is set when a tier
	// was past the log's end by the time its barrier stood; it doubles.
	cutMargin = 64
	// quietAfter is how long the log may take to come there.
	quietAfter = time.Second
)

// stop dumps all tiers at one sequence.
func (c cutCommand) stop(e *Env, log *eventlog.Log, names []string) (map[string]*proof.Dump, error) {
	margin := uint64(0)
	for {
		info, err := log.Info(e.Context)
		if err != nil {
			return nil, fmt.Errorf("ask the log for its end: %w", err)
		}
		dumps := map[string]*proof.Dump{}
		err = c.stopAt(e, log, names, info.Last+margin, dumps)
		switch {
		case errors.Is(err, projector.ErrConflict):
			margin = max(cutMargin, 2*margin)
		case errors.Is(err, errQuiet):
			margin = 0
		default:
			return dumps, err
		}
		closeAll(dumps)
	}
}

func closeAll(dumps map[string]*proof.Dump) {
	for _, dump := range dumps {
		dump.Close()
	}
}

// stopAt sets one barrier within the other; when all of them stand, every tier
// is dumped behind its own.
func (c cutCommand) stopAt(e *Env, log *eventlog.Log, names []string, until uint64, dumps map[string]*proof.Dump) error {
	if len(names) == 0 {
		return awaitLog(e, log, until)
	}
	return e.behind(barrier{tier: names[0], until: until, reason: "cut"}, func() error {
		if err := c.stopAt(e, log, names[1:], until, dumps); err != nil {
			return err
		}
		dump, err := c.dump(e, names[0], until)
		if err == nil {
			dumps[names[0]] = dump
		}
		return err
	})
}

// awaitLog waits for a cut that was set ahead of the log.
func awaitLog(e *Env, log *eventlog.Log, until uint64) error {
	deadline := time.Now().Add(quietAfter)
	for {
		info, err := log.Info(e.Context)
		if err != nil {
			return fmt.Errorf("ask the log for its end: %w", err)
		}
		if info.Last >= until {
			return nil
		}
		if time.Now().After(deadline) {
			return errQuiet
		}
		if err := pause(e.Context); err != nil {
			return err
		}
	}
}

// dump waits until a tier is at the cut and writes its rows down.
func (c cutCommand) dump(e *Env, name string, until uint64) (*proof.Dump, error) {
	tier, err := e.openTier(name)
	if err != nil {
		return nil, err
	}
	defer tier.Close()
	deadline := time.Now().Add(c.Wait)
	for {
		at, err := tier.Checkpoint(e.Context)
		if err != nil {
			return nil, fmt.Errorf("%s: read checkpoint: %w", name, err)
		}
		if at.Sequence >= until {
			return proof.Take(e.Context, tier)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s rests at sequence %d before the cut at %d: is its projector running, is it held?", name, at.Sequence, until)
		}
		if err := pause(e.Context); err != nil {
			return nil, err
		}
	}
}

func (c cutCommand) compare(e *Env, log *eventlog.Log, name string, dump *proof.Dump) (verifyAnswer, error) {
	answer := verifyAnswer{
		Tier: name, Sequence: dump.At.Sequence, Chain: dump.At.Chain.String(),
		Rows: dump.Rows, Digest: dump.Digest(), Differences: []proof.Difference{},
	}
	tier, err := e.openTier(name)
	if err != nil {
		return answer, err
	}
	kinds := tier.Kinds()
	tier.Close()
	if err := e.compare(log, dump, kinds, projector.Bound{}.Includes, c.proofFlags, &answer); err != nil {
		return answer, err
	}
	answer.Equal = len(answer.Differences) == 0
	return answer, e.explain(log, dump.At, projector.Bound{}.Includes, answer.Differences)
}

func (a cutAnswer) text(w io.Writer) {
	fmt.Fprintf(w, "cut at sequence %d, chain %s\n\n", a.Sequence, a.Chain)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "TIER\tROWS\tDIGEST\tEQUALS THE LOG")
	for _, t := range a.Tiers {
		fmt.Fprintf(table, "%s\t%d\t%s\t%v\n", t.Tier, t.Rows, t.Digest, t.Equal)
	}
	table.Flush()
	for _, t := range a.Tiers {
		if !t.Equal {
			fmt.Fprintln(w)
			t.text(w)
		}
	}
}
