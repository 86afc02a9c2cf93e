package replay

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
	"text/tabwriter"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/proof"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

type verifyCommand struct {
	Tier   string `help:"Tier to verify: redis, mysql, clickhouse, file or all." enum:"redis,mysql,clickhouse,file,all" default:"all"`
	Repair bool   `help:"Rewrite the rows that differ, and no others, as the log says."`
	proofFlags
}

// proofFlags bound what a proof takes.
type proofFlags struct {
	Memory int64 `help:"Megabytes of memory for the fold; with less the log is read several times." default:"1024" placeholder:"MB"`
}

type verifyAnswer struct {
	Tier     string `json:"tier"`
	Sequence uint64 `json:"sequence"`
	Chain    string `json:"chain"`
	Rows     int    `json:"rows"`
	// Digest is over the rows that the tier holds.
	Digest string `json:"digest"`
	Equal  bool   `json:"equal"`
	// Bound is set when the tier is held with only some of the events.
	Bound       string             `json:"bound,omitempty"`
	Differences []proof.Difference `json:"differences"`
	// More counts differences beyond those listed.
	More     int `json:"more_differences,omitempty"`
	Repaired int `json:"repaired,omitempty"`

	// at and includes are what was compared with, for explain.
	at       eventlog.Checkpoint
	includes func(*events.Event) bool
}

const (
	// maxDifferences is how many a proof lists and repairs: a tier with more is
	// rebuilt sooner than repaired.
	maxDifferences = 100_000
	// leastMemory is what a proof in many parts takes, too.
	leastMemory = 128 << 20
	// maxPrinted is how many are printed for people.
	maxPrinted = 100
)

// Run implements the command.
func (c verifyCommand) Run(e *Env) error {
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	equal := true
	err = e.eachTier(c.Tier, func(tier projector.Live) error {
		answer, err := e.verify(log, tier, c.proofFlags)
		if err != nil {
			return err
		}
		if c.Repair && !answer.Equal {
			if answer, err = e.repair(log, tier, c.proofFlags, everyRow); err != nil {
				return err
			}
		}
		equal = equal && (answer.Equal || c.Repair && answer.Repaired == len(answer.Differences))
		if err := e.explain(log, answer); err != nil {
			return err
		}
		return e.print(answer, answer.text)
	})
	if err != nil {
		return err
	}
	if !equal {
		return ErrDifferences
	}
	return nil
}

// verify compares what a tier holds with the fold at its checkpoint; a tier
// that is held with only some of the events, with the fold of those.
func (e *Env) verify(log *eventlog.Log, tier projector.Live, flags proofFlags) (verifyAnswer, error) {
	hold, err := tier.Hold(e.Context)
	if err != nil {
		return verifyAnswer{}, fmt.Errorf("read hold: %w", err)
	}
	includes, err := included(hold)
	if err != nil {
		return verifyAnswer{}, err
	}
	answer, err := e.prove(log, tier, includes, flags)
	answer.Bound = hold.Bound
	return answer, err
}

// included tells which events up to its checkpoint a tier under a hold has.
func included(hold projector.Hold) (func(*events.Event) bool, error) {
	bound, err := projector.ParseBound(hold.Bound)
	if err != nil {
		return nil, err
	}
	parking, err := hold.ReadParking()
	if err != nil {
		return nil, err
	}
	return func(event *events.Event) bool { return bound.Includes(event) && !parking.Excludes(event) }, nil
}

// prove compares what a tier holds with the fold of the events up to its
// checkpoint that are included.
func (e *Env) prove(log *eventlog.Log, tier projector.Tier, includes func(*events.Event) bool, flags proofFlags) (verifyAnswer, error) {
	dump, err := proof.Take(e.Context, tier)
	if err != nil {
		return verifyAnswer{Tier: tier.Name()}, err
	}
	defer dump.Close()
	return e.proveDump(log, tier, dump, includes, flags)
}

// proveDump compares what a tier held when it was dumped.
func (e *Env) proveDump(log *eventlog.Log, tier projector.Tier, dump *proof.Dump, includes func(*events.Event) bool, flags proofFlags) (verifyAnswer, error) {
	answer := verifyAnswer{
		Tier: tier.Name(), Sequence: dump.At.Sequence, Chain: dump.At.Chain.String(), Rows: dump.Rows, Digest: dump.Digest(),
		Differences: []proof.Difference{}, at: dump.At, includes: includes,
	}
	err := e.compare(log, dump, tier.Kinds(), includes, flags, &answer)
	answer.Equal = len(answer.Differences) == 0
	return answer, err
}

func (e *Env) compare(log *eventlog.Log, dump *proof.Dump, kinds []book.Kind, includes func(*events.Event) bool, flags proofFlags, answer *verifyAnswer) error {
	if err := proveAnchor(e.Context, log, dump.At); err != nil {
		return err
	}
	info, err := log.Info(e.Context)
	if err != nil {
		return fmt.Errorf("ask the log for its end: %w", err)
	}
	fold := func(_ context.Context, only func(*events.Event) bool) (projector.Tier, error) {
		reference := memory.New(kinds)
		if dump.At.Sequence == 0 {
			return reference, nil
		}
		return reference, e.playOnly(log, reference, dump.At.Sequence, func(event *events.Event) bool {
			return includes(event) && only(event)
		})
	}
	memory := max(flags.Memory, 1) << 20
	// An eighth is left to what the collector does not see.
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(max(memory-memory/8, leastMemory)))
	parts := proof.Parts(max(dump.Bytes, int64(info.Bytes)), memory)
	return dump.Compare(e.Context, kinds, parts, fold, func(d proof.Difference) error {
		if len(answer.Differences) < maxDifferences {
			answer.Differences = append(answer.Differences, d)
		} else {
			answer.More++
		}
		return nil
	})
}

// explain finds the last event about each row that differs: one more reading of
// the log, for which no projector need wait.
func (e *Env) explain(log *eventlog.Log, answer verifyAnswer) error {
	if len(answer.Differences) == 0 || answer.at.Sequence == 0 {
		return nil
	}
	explainer := proof.NewExplainer(answer.Differences)
	return e.playOnly(log, memory.New(nil), answer.at.Sequence, func(event *events.Event) bool {
		if answer.includes(event) {
			explainer.See(event)
		}
		return false
	})
}

// rowFilter tells which rows a repair is about.
type rowFilter struct {
	match func(d proof.Difference) bool
	// explained tells that match needs the events of the differences.
	explained bool
}

var everyRow = rowFilter{match: func(proof.Difference) bool { return true }}

// repair rewrites what differs, while the projector waits: what is compared is
// what is repaired.
func (e *Env) repair(log *eventlog.Log, tier projector.Live, flags proofFlags, within rowFilter) (answer verifyAnswer, err error) {
	err = e.standing(tier, "repair", func(at eventlog.Checkpoint) error {
		if answer, err = e.verify(log, tier, flags); err != nil {
			return err
		}
		if within.explained {
			if err := e.explain(log, answer); err != nil {
				return err
			}
		}
		answer.Repaired, err = e.rewrite(tier, at, answer, within)
		return err
	})
	return answer, err
}

// rewrite changes the rows that differ and are asked for.
func (e *Env) rewrite(tier projector.Live, at eventlog.Checkpoint, answer verifyAnswer, within rowFilter) (int, error) {
	if answer.More > 0 {
		return 0, usage("%d rows differ: rebuild the tier instead (replay rebuild --tier %s)", len(answer.Differences)+answer.More, tier.Name())
	}
	var changes []projector.Change
	for _, d := range answer.Differences {
		if within.match(d) {
			changes = append(changes, d.Change())
		}
	}
	if len(changes) == 0 {
		return 0, nil
	}
	return len(changes), tier.Repair(e.Context, at, changes)
}

func (a verifyAnswer) text(w io.Writer) {
	what := "the log"
	if a.Bound != "" {
		what = "the log " + a.Bound + ","
	}
	if a.Equal {
		fmt.Fprintf(w, "%s equals %s at sequence %d: %d rows, digest %.12s…\n", a.Tier, what, a.Sequence, a.Rows, a.Digest)
		return
	}
	fmt.Fprintf(w, "%s differs from %s at sequence %d in %d rows (it holds %d):\n", a.Tier, what, a.Sequence, len(a.Differences)+a.More, a.Rows)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tKEY\tEXPECTED\tFOUND\tEVENT")
	for _, d := range a.Differences[:min(len(a.Differences), maxPrinted)] {
		event := "none"
		if d.Sequence > 0 {
			event = fmt.Sprint(d.Sequence)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\n", d.Kind, d.Key, orNone(d.Expected), orNone(d.Found), event)
	}
	table.Flush()
	if more := len(a.Differences) + a.More - maxPrinted; more > 0 {
		fmt.Fprintf(w, "and %d more (--json lists up to %d)\n", more, maxDifferences)
	}
	if a.Repaired > 0 {
		fmt.Fprintf(w, "repaired %d rows\n", a.Repaired)
		return
	}
	fmt.Fprintf(w, "mend it with: replay verify --tier %s --repair\n", a.Tier)
}

func orNone(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}
