package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"

	"github.com/seed-744e3d1b/tapedeck/events"
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
	Events  uint64   `json:"events"`
	Steps   []string `json:"steps"`

	// pinned is the bound with the sequence that the log ends at for this plan; a
	// rebuild without bound has none and catches up.
	pinned projector.Bound
	fresh  bool
	hold   bool
	// parking is what the tier leaves out, before as after.
	parking projector.Parking
}

// text is what the shadow keeps: the same text goes on with it.
func (p plan) text() string {
	text := p.Command + " " + p.Bound
	for _, parked := range p.parking.Parked {
		text += fmt.Sprintf(", without %s from %d on", parked.Subject, parked.From)
	}
	for _, sequence := range p.parking.Discarded {
		text += fmt.Sprintf(", without event %d", sequence)
	}
	return text
}

// includes tells which events the shadow gets.
func (p plan) includes(e *events.Event) bool { return p.pinned.Includes(e) && !p.parking.Excludes(e) }

// newPlan is the plan of a command for a bound; the zero bound catches up.
func (e *Env) newPlan(log *eventlog.Log, command string, bound projector.Bound) (plan, error) {
	p := plan{Command: command, Bound: bound.String(), fresh: bound.IsZero()}
	var err error
	if !p.fresh {
		p.pinned, err = e.pin(log, bound)
	}
	return p, err
}

type rebuildAnswer struct {
	Tier    string `json:"tier"`
	Was     uint64 `json:"was_sequence"`
	Resumed uint64 `json:"resumed_at,omitempty"`
	Is      uint64 `json:"is_sequence"`
	// Rows and Digest are of the shadow at the sequence where it was proved.
	Rows     int    `json:"rows"`
	Digest   string `json:"digest,omitempty"`
	Proved   uint64 `json:"proved_sequence,omitempty"`
	Held     string `json:"held,omitempty"`
	SwapBack bool   `json:"swapped_back,omitempty"`
	DryRun   bool   `json:"dry_run,omitempty"`
}

func (a rebuildAnswer) text(w io.Writer) {
	switch {
	case a.DryRun:
		fmt.Fprintf(w, "%s: would swap back from sequence %d to %d; nothing was changed (--dry-run)\n", a.Tier, a.Was, a.Is)
		return
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

// run carries a plan out on a tier, or shows it.
func (e *Env) run(log *eventlog.Log, tier projector.Live, p plan, dryRun bool, flags proofFlags) error {
	info, err := log.Info(e.Context)
	if err != nil {
		return fmt.Errorf("ask the log for its end: %w", err)
	}
	p.Tier, p.Events = tier.Name(), info.Last
	if !p.fresh {
		p.Events = p.pinned.UntilSequence
	}
	// A damaged tier cannot say where it is, and is rebuilt all the same.
	at, err := tier.Checkpoint(e.Context)
	if err == nil {
		p.Was = at.Sequence
		p.parking, err = readParking(e, tier)
	}
	if err != nil && !errors.Is(err, projector.ErrRefused) {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	if dryRun {
		p.Steps = p.steps()
		return e.print(p, p.print)
	}
	answer, err := e.build(log, tier, p, flags)
	if errors.Is(err, errShadow) {
		fmt.Fprintf(e.Err, "%s: %v: beginning anew\n", p.Tier, err)
		answer, err = e.build(log, tier, p, flags)
	}
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
	if p.fresh {
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

// errShadow tells that a shadow was not what it should be, and is gone.
var errShadow = errors.New("the shadow was no good")

// build fills, proves and promotes the shadow.
func (e *Env) build(log *eventlog.Log, tier projector.Live, p plan, flags proofFlags) (rebuildAnswer, error) {
	answer := rebuildAnswer{Tier: tier.Name()}
	shadow, err := tier.Shadow(e.Context, p.text())
	if err != nil {
		return answer, fmt.Errorf("open shadow: %w", err)
	}
	defer shadow.Close()
	from, err := shadow.Checkpoint(e.Context)
	if err == nil && from.Sequence > 0 {
		err = proveAnchor(e.Context, log, from)
	}
	answer.Resumed = from.Sequence
	var proved verifyAnswer
	if err == nil {
		proved, err = e.fill(log, shadow, p, flags)
	}
	switch {
	case err == nil && !proved.Equal:
		if err := e.explain(log, proved); err != nil {
			return answer, err
		}
		proved.text(e.Err)
		err = fmt.Errorf("it differs from the log in %d rows: %w", len(proved.Differences)+proved.More, errShadow)
	case err != nil && from.Sequence > 0 && e.Context.Err() == nil && !errors.Is(err, projector.ErrConflict):
		// What an earlier run left may be damaged in any way.
		err = errors.Join(err, errShadow)
	}
	if errors.Is(err, errShadow) {
		return answer, discard(e, shadow, err)
	}
	if err != nil {
		return answer, err
	}
	answer.Rows, answer.Digest, answer.Proved = proved.Rows, proved.Digest, proved.Sequence
	if p.fresh {
		answer.Is, err = e.swapFresh(log, tier, shadow, p)
		return answer, err
	}
	hold := projector.Hold{}
	if p.hold {
		hold = projector.Hold{Until: proved.Sequence, Reason: p.text()}
		if !p.pinned.IsPrefix() {
			hold.Bound = p.Bound
		}
	}
	if hold, err = hold.WithParking(p.parking); err != nil {
		return answer, err
	}
	answer.Is, answer.Held = proved.Sequence, hold.Reason
	return answer, shadow.Promote(e.Context, hold)
}

// fill brings a shadow to where its plan ends, or to the log's end, and proves
// it.
func (e *Env) fill(log *eventlog.Log, shadow projector.Shadow, p plan, flags proofFlags) (verifyAnswer, error) {
	if p.fresh || p.pinned.UntilSequence > 0 {
		if _, err := e.play(e.Context, log, shadow, p.pinned, p.includes); err != nil {
			return verifyAnswer{}, err
		}
	}
	return e.prove(log, shadow, p.includes, flags)
}

// swapFresh promotes a shadow that is at the log's end, or further than the
// live tier ever was: the live one waits at a barrier for the last few events.
func (e *Env) swapFresh(log *eventlog.Log, tier projector.Live, shadow projector.Shadow, p plan) (uint64, error) {
	hold, err := projector.Hold{}.WithParking(p.parking)
	if err != nil {
		return 0, err
	}
	for {
		at, err := e.play(e.Context, log, shadow, projector.Bound{}, p.includes)
		if err != nil {
			return at.Sequence, err
		}
		info, err := log.Info(e.Context)
		if err != nil {
			return at.Sequence, fmt.Errorf("ask the log for its end: %w", err)
		}
		swap := func() error {
			if now, err := readParking(e, tier); err == nil && !reflect.DeepEqual(now, p.parking) {
				return fmt.Errorf("events were parked meanwhile: run this again: %w", errUnhealthy)
			}
			if info.Last > at.Sequence {
				if at, err = e.play(e.Context, log, shadow, projector.Bound{UntilSequence: info.Last}, p.includes); err != nil {
					return err
				}
			}
			return shadow.Promote(e.Context, hold)
		}
		err = e.behind(tier.Name(), info.Last, "swap of a rebuild", swap)
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
