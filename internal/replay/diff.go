package replay

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

type diffCommand struct {
	At      []string `help:"A moment; give it twice, A and B: a sequence (1200; 0 is before the first event), logged:TIME (what the log knew then), time:TIME (events whose own time is up to then; a bare date is the end of that day in Shanghai), or end." required:"" sep:"none" placeholder:"MOMENT"`
	Account []string `help:"Only what is about this account, and the strategies bound to it; may be given several times." placeholder:"ID"`
}

// Help says what the flags cannot.
func (diffCommand) Help() string {
	return `Compares the state after two replays into memory: what must happen to A to become B.

Positions, accounts, strategies, bindings, active parameters (key by key), users and roles are compared value by value. What only grows (trades, daily assets, klines) is counted: events, and the money of trades. Exit code 0: equal, 1: they differ, as diff(1) has it.

  replay diff --at 1200 --at end
  replay diff --at time:2025-06-30 --at "time:2025-07-31 15:00" --account 55009728
  replay diff --at logged:2025-07-01 --at time:2025-06-30    # did anything of June arrive late?`
}

type diffAnswer struct {
	A     diffMoment `json:"a"`
	B     diffMoment `json:"b"`
	Equal bool       `json:"equal"`
	// Changes lead from A to B, Trades and Events are B's minus A's.
	Changes []change     `json:"changes"`
	Trades  []tradeSum   `json:"trades"`
	Events  []eventCount `json:"events"`
}

// diffMoment is a moment as it was asked for and how far the log was read.
type diffMoment struct {
	Moment   string `json:"moment"`
	Sequence uint64 `json:"sequence"`
	Chain    string `json:"chain"`
}

// Run implements the command. Both moments see the log up to the same end.
func (c diffCommand) Run(e *Env) error {
	if len(c.At) != 2 {
		return usage("diff compares two moments: give --at twice, for A and for B")
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
	var moments [2]moment
	for i, text := range c.At {
		if moments[i], err = parseDiffMoment(text, info.Last); err != nil {
			return err
		}
	}
	a, b, err := e.replayBoth(log, moments[0], moments[1], info.Last)
	if err != nil {
		return fmt.Errorf("diff: %w", err)
	}
	scope := newScope(c.Account, a, b)
	if err := scope.unknown(); err != nil {
		return err
	}
	answer := diffAnswer{A: a.moment(c.At[0]), B: b.moment(c.At[1])}
	answer.Changes = changesBetween(a.entities, b.entities, scope)
	if answer.Trades, err = tradesBetween(a.tally, b.tally, scope, false); err != nil {
		return fmt.Errorf("diff: %w", err)
	}
	answer.Events = eventsBetween(a.tally, b.tally, scope)
	answer.Equal = len(answer.Changes) == 0 && len(answer.Trades) == 0 && !grown(answer.Events)
	if err := e.print(answer, answer.text); err != nil {
		return err
	}
	if !answer.Equal {
		return ErrDifferences
	}
	return nil
}

// moment is a bound, or the state before the first event.
type moment struct {
	bound projector.Bound
	start bool
}

// prefix tells whether the events up to the moment are the log's first ones,
// so that a replay can go on from there.
func (m moment) prefix() bool { return m.bound.UntilTime.IsZero() }

// before tells whether m is known to end no later than other.
func (m moment) before(other moment) bool {
	switch {
	case !m.prefix() || !other.prefix():
		return false
	case m.start:
		return true
	case m.bound.UntilSequence > 0:
		return other.bound.UntilSequence >= m.bound.UntilSequence
	}
	return !other.bound.UntilLogged.Before(m.bound.UntilLogged)
}

const momentForms = "write a sequence (1200), logged:TIME, time:TIME, or end"

// parseDiffMoment reads one --at; last is the log's end.
func parseDiffMoment(text string, last uint64) (moment, error) {
	kind, rest, found := strings.Cut(text, ":")
	switch {
	case text == "end":
		return moment{projector.Bound{UntilSequence: last}, last == 0}, nil
	case found && (kind == "logged" || kind == "time"):
		at, err := parseMoment("--at "+kind, rest)
		if err != nil {
			return moment{}, err
		}
		if at.IsZero() {
			return moment{}, usage("--at %s: a time is missing: %s", text, momentForms)
		}
		if kind == "logged" {
			return moment{bound: projector.Bound{UntilLogged: at}}, nil
		}
		return moment{bound: projector.Bound{UntilTime: at}}, nil
	}
	sequence, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return moment{}, usage("--at %q is no moment: %s", text, momentForms)
	}
	if sequence > last {
		return moment{}, usage("--at %d lies beyond the log's end, %d (a day is written time:2025-06-30)", sequence, last)
	}
	return moment{projector.Bound{UntilSequence: sequence}, sequence == 0}, nil
}

// pastState is what is kept of one moment.
type pastState struct {
	at       eventlog.Checkpoint
	entities []entity
	tally    tally
}

func (s pastState) moment(text string) diffMoment {
	return diffMoment{text, s.at.Sequence, s.at.Chain.String()}
}

// replayBoth replays into memory up to two moments; where one begins what the
// other goes on with, in one pass over the log.
func (e *Env) replayBoth(log *eventlog.Log, a, b moment, last uint64) (atA, atB pastState, err error) {
	if !a.before(b) && b.before(a) {
		atB, atA, err = e.replayBoth(log, b, a, last)
		return atA, atB, err
	}
	tier := newTallyTier()
	if atA, err = e.replayTo(log, tier, a, last); err != nil {
		return atA, atB, err
	}
	if !a.before(b) {
		tier = newTallyTier()
	}
	atB, err = e.replayTo(log, tier, b, last)
	return atA, atB, err
}

func (e *Env) replayTo(log *eventlog.Log, tier *tallyTier, to moment, last uint64) (pastState, error) {
	at, err := tier.Checkpoint(e.Context)
	if err != nil {
		return pastState{}, err
	}
	if !to.start && at.Sequence < last {
		if at, err = e.playUntil(log, tier, to.bound, at, last); err != nil {
			return pastState{}, err
		}
	}
	entities, err := entitiesOf(tier.Book())
	return pastState{at, entities, tier.tally.clone()}, err
}

// playUntil plays a bound of the log as it was when its last sequence was
// last: events that arrive meanwhile are in none of what is compared.
func (e *Env) playUntil(log *eventlog.Log, tier projector.Tier, bound projector.Bound, from eventlog.Checkpoint, last uint64) (eventlog.Checkpoint, error) {
	frames, err := log.Read(e.Context, from, eventlog.ReadOptions{})
	if err != nil {
		return from, fmt.Errorf("read log after sequence %d: %w", from.Sequence, err)
	}
	defer frames.Close()
	bar := e.progress("replaying into "+tier.Name(), int64(last-from.Sequence))
	defer bar.Close()
	player := projector.Player{Bound: bound, Observe: bar}
	return player.Play(e.Context, shortened{frames, last}, tier, from)
}

// shortened is a log that ends with the frame whose last event is last.
type shortened struct {
	projector.Frames
	last uint64
}

// Next implements projector.Frames.
func (s shortened) Next(ctx context.Context) (eventlog.Frame, error) {
	frame, err := s.Frames.Next(ctx)
	if err == nil && frame.First > s.last {
		return eventlog.Frame{}, io.EOF
	}
	return frame, err
}

// tallyTier is the memory tier, with a tally of what it keeps no rows of.
type tallyTier struct {
	*memory.Tier
	tally tally
}

func newTallyTier() *tallyTier {
	return &tallyTier{memory.New(stateKinds), newTally()}
}

// Apply implements projector.Tier.
func (t *tallyTier) Apply(ctx context.Context, b projector.Batch) error {
	for _, e := range b.Events {
		if err := t.tally.add(e); err != nil {
			return err
		}
	}
	return t.Tier.Apply(ctx, b)
}

func (a diffAnswer) text(w io.Writer) {
	fmt.Fprintf(w, "A: %s (log read up to sequence %d)\nB: %s (log read up to sequence %d)\n", a.A.Moment, a.A.Sequence, a.B.Moment, a.B.Sequence)
	if a.Equal {
		fmt.Fprintln(w, "equal")
	}
	writeChanges(w, a.Changes, "A", "B")
	writeTrades(w, a.Trades, "TRADES, B minus A")
	writeEvents(w, a.Events, "EVENTS, B minus A")
}
