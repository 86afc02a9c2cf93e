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

// cutMargin is how far ahead of a log that flows the cut is set when a tier was
// past the log's end by the time its barrier stood; it doubles.
const cutMargin = 16

// stop brings all tiers to one sequence, dumps them there, and lets them go.
func (c cutCommand) stop(e *Env, log *eventlog.Log, names []string) (map[string]*proof.Dump, error) {
	if err := c.reachable(e, log, names); err != nil {
		return nil, err
	}
	for margin := uint64(0); ; margin = max(cutMargin, 2*margin) {
		info, err := log.Info(e.Context)
		if err != nil {
			return nil, fmt.Errorf("ask the log for its end: %w", err)
		}
		dumps, err := c.stopAt(e, log, names, info.Last+margin)
		if !errors.Is(err, projector.ErrConflict) {
			return dumps, err
		}
	}
}

// reachable refuses a cut that some tier would only be waited for.
func (c cutCommand) reachable(e *Env, log *eventlog.Log, names []string) error {
	info, err := log.Info(e.Context)
	if err != nil {
		return fmt.Errorf("ask the log for its end: %w", err)
	}
	for _, name := range names {
		tier, err := e.openTier(name)
		if err != nil {
			return fmt.Errorf("open tier %s: %w", name, err)
		}
		err = c.await(e, tier, info.Last)
		tier.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func closeAll(dumps map[string]*proof.Dump) {
	for _, dump := range dumps {
		dump.Close()
	}
}

func (c cutCommand) stopAt(e *Env, log *eventlog.Log, names []string, until uint64) (dumps map[string]*proof.Dump, err error) {
	var barriers []*barrier
	defer func() {
		for _, b := range barriers {
			err = errors.Join(err, b.release())
		}
		if err != nil {
			closeAll(dumps)
			dumps = nil
		}
	}()
	for _, name := range names {
		b, err := e.stop(name, until, "cut")
		if err != nil {
			return nil, err
		}
		barriers = append(barriers, b)
	}
	if until, err = meet(e, log, until, barriers); err != nil {
		return nil, err
	}
	dumps = map[string]*proof.Dump{}
	return dumps, during(func() error {
		for _, name := range names {
			dump, err := c.dump(e, name, until)
			if err != nil {
				return err
			}
			dumps[name] = dump
		}
		return nil
	}, barriers...)
}

// meet waits until the log is at the cut. One that was set ahead of a log that
// flows slowly is moved back to the log's end, if no tier is past that by then.
func meet(e *Env, log *eventlog.Log, until uint64, barriers []*barrier) (uint64, error) {
	for {
		info, err := log.Info(e.Context)
		if err != nil {
			return until, fmt.Errorf("ask the log for its end: %w", err)
		}
		if info.Last >= until {
			return until, nil
		}
		moved := until
		for _, b := range barriers {
			if err = b.move(info.Last); err != nil {
				break
			}
		}
		if err == nil {
			return info.Last, nil
		}
		if !errors.Is(err, projector.ErrConflict) {
			return until, err
		}
		for _, b := range barriers {
			if err := b.move(moved); err != nil {
				return until, err
			}
		}
		if err := pause(e.Context); err != nil {
			return until, err
		}
	}
}

// dump writes a tier's rows down once it is at the cut.
func (c cutCommand) dump(e *Env, name string, until uint64) (*proof.Dump, error) {
	tier, err := e.openTier(name)
	if err != nil {
		return nil, err
	}
	defer tier.Close()
	if err := c.await(e, tier, until); err != nil {
		return nil, err
	}
	return proof.Take(e.Context, tier)
}

// await waits until a tier has come to a sequence.
func (c cutCommand) await(e *Env, tier projector.Live, sequence uint64) error {
	deadline := time.Now().Add(c.Wait)
	for {
		at, err := tier.Checkpoint(e.Context)
		if err != nil {
			return fmt.Errorf("%s: read checkpoint: %w", tier.Name(), err)
		}
		if at.Sequence >= sequence {
			return nil
		}
		hold, err := tier.Hold(e.Context)
		if err != nil {
			return fmt.Errorf("%s: read hold: %w", tier.Name(), err)
		}
		if hold.Stops(sequence, time.Now()) && !hold.IsBarrier() {
			return fmt.Errorf("%s is held at sequence %d (%s): replay resume --tier %s: %w", tier.Name(), at.Sequence, hold.Reason, tier.Name(), errUnhealthy)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s rests at sequence %d before %d: is its projector running?: %w", tier.Name(), at.Sequence, sequence, errUnhealthy)
		}
		if err := pause(e.Context); err != nil {
			return err
		}
	}
}

func (c cutCommand) compare(e *Env, log *eventlog.Log, name string, dump *proof.Dump) (verifyAnswer, error) {
	tier, err := e.openTier(name)
	if err != nil {
		return verifyAnswer{}, err
	}
	defer tier.Close()
	answer, err := e.proveDump(log, tier, dump, projector.Bound{}.Includes, c.proofFlags)
	if err != nil {
		return answer, err
	}
	return answer, e.explain(log, answer)
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
