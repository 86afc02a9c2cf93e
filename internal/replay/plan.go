package replay

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// plan is what a shadow shall become. Its text lies in the shadow: a rerun of
// the same plan goes on with it, any other plan drops it.
type plan struct {
	Tier    string   `json:"tier"`
	Command string   `json:"command"`
	Bound   string   `json:"bound"`
	Was     uint64   `json:"was_sequence"`
	Resumed uint64   `json:"resumed_at,omitempty"`
	Events  uint64   `json:"events"`
	Steps   []string `json:"steps"`

	bound projector.Bound
	hold  bool
}

func (p plan) text() string { return p.Command + " " + p.Bound }

type rebuildAnswer struct {
	Tier     string `json:"tier"`
	Was      uint64 `json:"was_sequence"`
	Resumed  uint64 `json:"resumed_at,omitempty"`
	Is       uint64 `json:"is_sequence"`
	Rows     int    `json:"rows"`
	Digest   string `json:"digest,omitempty"`
	Held     string `json:"held,omitempty"`
	SwapBack bool   `json:"swapped_back,omitempty"`
}

func (a rebuildAnswer) text(w io.Writer) {
	switch {
	case a.SwapBack:
		fmt.Fprintf(w, "%s: swapped back: was at sequence %d, is at %d\n", a.Tier, a.Was, a.Is)
	case a.Resumed > 0:
		fmt.Fprintf(w, "%s: went on with the shadow at sequence %d; was at %d, is at %d: %d rows, proved\n", a.Tier, a.Resumed, a.Was, a.Is, a.Rows)
	default:
		fmt.Fprintf(w, "%s: was at sequence %d, is at %d: %d rows, proved\n", a.Tier, a.Was, a.Is, a.Rows)
	}
	if a.Held != "" {
		fmt.Fprintf(w, "%s is held there (%s): replay resume --tier %s lets it go on\n", a.Tier, a.Held, a.Tier)
	}
	fmt.Fprintf(w, "what was there before is kept: replay rebuild --tier %s --swap-back\n", a.Tier)
}

// run carries a plan out, or shows it.
func (e *Env) run(log *eventlog.Log, tier projector.Live, p plan, dryRun bool, flags proofFlags) error {
	info, err := log.Info(e.Context)
	if err != nil {
		return fmt.Errorf("ask the log for its end: %w", err)
	}
	if p.bound.UntilSequence > info.Last {
		return usage("--until-sequence %d lies beyond the log's end, %d", p.bound.UntilSequence, info.Last)
	}
	// A damaged tier cannot say where it is, and is rebuilt all the same.
	at, err := tier.Checkpoint(e.Context)
	if err != nil && !errors.Is(err, projector.ErrRefused) {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	p.Was, p.Events = at.Sequence, info.Last
	if p.bound.UntilSequence > 0 {
		p.Events = p.bound.UntilSequence
	}
	if dryRun {
		p.Steps = p.steps()
		return e.print(p, p.print)
	}
	answer, err := e.build(log, tier, p, flags)
	if err != nil {
		return err
	}
	answer.Was = p.Was
	return e.print(answer, answer.text)
}

func (p plan) steps() []string {
	steps := []string{
		fmt.Sprintf("fill a shadow beside the live tier with events 1 to %d (%s)", p.Events, p.Bound),
		"compare every row of the shadow with the fold of the log",
	}
	if p.bound.IsZero() {
		steps = append(steps, "hold the live tier for an instant, so that nothing read after the swap is older than what was read before, and catch up")
	}
	steps = append(steps, "swap live and shadow in one step; what was live stays as previous")
	if p.hold {
		steps = append(steps, "hold the tier there until replay resume")
	}
	return steps
}

func (p plan) print(w io.Writer) {
	fmt.Fprintf(w, "%s of %s, now at sequence %d:\n", p.Command, p.Tier, p.Was)
	for i, step := range p.steps() {
		fmt.Fprintf(w, "  %d. %s\n", i+1, step)
	}
	fmt.Fprintln(w, "nothing was changed (--dry-run)")
}

// build fills, proves and promotes the shadow.
func (e *Env) build(log *eventlog.Log, tier projector.Live, p plan, flags proofFlags) (rebuildAnswer, error) {
	answer := rebuildAnswer{Tier: tier.Name()}
	shadow, err := e.openShadow(log, tier, p)
	if err != nil {
		return answer, err
	}
	defer shadow.Close()
	from, err := shadow.Checkpoint(e.Context)
	if err != nil {
		return answer, fmt.Errorf("read the shadow's checkpoint: %w", err)
	}
	answer.Resumed = from.Sequence
	if _, err := e.play(e.Context, log, shadow, p.bound); err != nil {
		return answer, err
	}
	proved, err := e.prove(log, shadow, p.bound.Includes, flags)
	if err != nil {
		return answer, err
	}
	if !proved.Equal {
		proved.text(e.Err)
		return answer, fmt.Errorf("the shadow differs from the log and was not promoted: %w", ErrDifferences)
	}
	answer.Rows, answer.Digest = proved.Rows, proved.Digest
	if p.bound.IsZero() {
		answer.Is, err = e.swapFresh(log, tier, shadow)
		return answer, err
	}
	hold := projector.Hold{}
	if p.hold {
		hold = projector.Hold{Until: proved.Sequence, Reason: p.text()}
		if !p.bound.IsPrefix() {
			hold.Bound = p.Bound
		}
	}
	answer.Is, answer.Held = proved.Sequence, hold.Reason
	return answer, shadow.Promote(e.Context, hold)
}

// openShadow goes on with the plan's shadow, or begins it anew when what lies
// there is of another log.
func (e *Env) openShadow(log *eventlog.Log, tier projector.Live, p plan) (projector.Shadow, error) {
	for {
		shadow, err := tier.Shadow(e.Context, p.text())
		if err != nil {
			return nil, fmt.Errorf("open shadow: %w", err)
		}
		at, err := shadow.Checkpoint(e.Context)
		if err == nil && at.Sequence > 0 {
			err = proveAnchor(e.Context, log, at)
		}
		var corrupt *eventlog.CorruptError
		if !errors.As(err, &corrupt) {
			return shadow, err
		}
		fmt.Fprintf(e.Err, "what an earlier %s left at sequence %d is of another log: beginning anew\n", p.Command, at.Sequence)
		if err := discard(e, shadow, nil); err != nil {
			return nil, err
		}
	}
}

// swapFresh promotes a shadow that is at the log's end, or further than the
// live tier ever was: the live one waits at a barrier for the last few events.
func (e *Env) swapFresh(log *eventlog.Log, tier projector.Live, shadow projector.Shadow) (uint64, error) {
	for {
		at, err := e.play(e.Context, log, shadow, projector.Bound{})
		if err != nil {
			return at.Sequence, err
		}
		info, err := log.Info(e.Context)
		if err != nil {
			return at.Sequence, fmt.Errorf("ask the log for its end: %w", err)
		}
		swap := func() error {
			if info.Last > at.Sequence {
				if at, err = e.play(e.Context, log, shadow, projector.Bound{UntilSequence: info.Last}); err != nil {
					return err
				}
			}
			return shadow.Promote(e.Context, projector.Hold{})
		}
		err = e.behind(barrier{tier: tier.Name(), until: info.Last, reason: "swap of a rebuild"}, swap)
		if errors.Is(err, projector.ErrRefused) {
			// A tier so damaged that it takes no hold takes no events either.
			err = swap()
		}
		if !errors.Is(err, projector.ErrConflict) {
			return at.Sequence, err
		}
		// The live tier went past the barrier before it stood. A shadow that lost
		// its place to another rebuild says so when it is asked.
		if _, err := shadow.Checkpoint(e.Context); err != nil {
			return at.Sequence, err
		}
	}
}

// discard drops a shadow after a failure, also when the failure was Ctrl-C.
func discard(e *Env, shadow projector.Shadow, err error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.Context), e.CLI.Timeout)
	defer cancel()
	return errors.Join(err, shadow.Discard(ctx))
}
