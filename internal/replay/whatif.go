package replay

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

type whatIfCommand struct {
	Params    []string `help:"A strategy and the version of its parameters that shall be the active one, e.g. wencai_v1=3; may be given several times." placeholder:"CODE=VERSION"`
	DropEvent []string `help:"Id of an event to leave out; may be given several times." placeholder:"ID"`
	Account   []string `help:"Only show what is about this account, and the strategies bound to it; may be given several times." placeholder:"ID"`
	boundFlags
}

// Help says what the flags cannot.
func (whatIfCommand) Help() string {
	return `Replays the log into memory twice, as it is and with the change, and shows the difference: positions, accounts, bindings, active parameters, and the shares and cash that recorded trades moved. Nothing is written anywhere. Exit code 0: no difference, 1: a difference.

What it can say: which recorded facts rest on an event, and what the books would hold without it. What it cannot say: what a strategy would have traded. The log records decisions, it does not make them: other parameters change no recorded trade, and a dropped trade closes or opens no position, because positions are events of their own (drop those as well).

Events that lose their ground with a dropped one (those of an account whose account.created is dropped, say) are listed: ingest would have refused them. They are folded as every replay of a part of the log does: what changes something missing does nothing, positions and trades count without their account, a parameter version keeps its number.

  replay what-if --params wencai_v1=3
  replay what-if --drop-event sim-000317 --drop-event sim-000318 --until-time 2025-06-30 --account 55009728`
}

type whatIfAnswer struct {
	Bound    string         `json:"bound"`
	Sequence uint64         `json:"sequence"`
	Chain    string         `json:"chain"`
	Params   []activation   `json:"params"`
	Dropped  []droppedEvent `json:"dropped"`
	// Orphans counts the later events that ingest would have refused without
	// the dropped ones; Listed are the first of them.
	Orphans int           `json:"orphans"`
	Listed  []orphanEvent `json:"orphans_listed"`
	Equal   bool          `json:"equal"`
	// Changes lead from the real state to the other, Trades and Events are
	// the other's minus the real ones.
	Changes []change     `json:"changes"`
	Trades  []tradeSum   `json:"trades"`
	Events  []eventCount `json:"events"`
}

type activation struct {
	StrategyCode string `json:"strategy_code"`
	Version      int64  `json:"version"`
}

type droppedEvent struct {
	Sequence uint64      `json:"sequence"`
	ID       string      `json:"id"`
	Type     events.Type `json:"type"`
	Subject  string      `json:"subject"`
	Time     string      `json:"time"`
}

type orphanEvent struct {
	droppedEvent
	// Rule is what ingest would have answered.
	Rule string `json:"rule"`
}

// listedOrphans bounds what an answer lists.
const listedOrphans = 20

// Run implements the command.
func (c whatIfCommand) Run(e *Env) error {
	if len(c.Params)+len(c.DropEvent) == 0 {
		return usage("what-if needs a change: --params CODE=VERSION or --drop-event ID")
	}
	bound, err := c.bound()
	if err != nil {
		return err
	}
	answer := whatIfAnswer{Dropped: []droppedEvent{}, Listed: []orphanEvent{}}
	if answer.Params, err = parseActivations(c.Params); err != nil {
		return err
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
	last, err := endOf(bound, info.Last)
	if err != nil {
		return err
	}
	fork := newForkTier(c.DropEvent, &answer)
	at, err := e.playUntil(log, fork, bound, eventlog.Checkpoint{}, last)
	if err != nil {
		return fmt.Errorf("what-if: %w", err)
	}
	answer.Bound, answer.Sequence, answer.Chain = describe(bound, at.Sequence), at.Sequence, at.Chain.String()
	if err := fork.finish(c.DropEvent); err != nil {
		return err
	}
	if err := c.compare(fork, &answer); err != nil {
		return err
	}
	if err := e.print(answer, answer.text); err != nil {
		return err
	}
	if !answer.Equal {
		return ErrDifferences
	}
	return nil
}

func (c whatIfCommand) compare(fork *forkTier, answer *whatIfAnswer) error {
	real, err := fork.real.state()
	if err != nil {
		return fmt.Errorf("what-if: %w", err)
	}
	other, err := fork.other.state()
	if err != nil {
		return fmt.Errorf("what-if: %w", err)
	}
	scope := newScope(c.Account, real, other)
	if err := scope.unknown(); err != nil {
		return err
	}
	answer.Changes = changesBetween(real.entities, other.entities, scope)
	if answer.Trades, err = tradesBetween(real.tally, other.tally, scope, true); err != nil {
		return fmt.Errorf("what-if: %w", err)
	}
	answer.Events = eventsBetween(real.tally, other.tally, scope)
	answer.Equal = len(answer.Changes) == 0 && len(answer.Trades) == 0 && !grown(answer.Events)
	return nil
}

// parseActivations reads CODE=VERSION.
func parseActivations(texts []string) ([]activation, error) {
	list := []activation{}
	seen := make(map[string]bool)
	for _, text := range texts {
		code, number, ok := strings.Cut(text, "=")
		version, err := strconv.ParseInt(number, 10, 64)
		if !ok || err != nil || version < 1 || code == "" {
			return nil, usage("--params %q: write a strategy's code and a version from 1 on, e.g. wencai_v1=3", text)
		}
		if seen[code] {
			return nil, usage("--params %s: one version at a time can be the active one of %s", text, code)
		}
		seen[code] = true
		list = append(list, activation{code, version})
	}
	return list, nil
}

// branch is one of the two courses of events.
type branch struct {
	book  *book.Book
	tally tally
}

func (b branch) apply(e *events.Event) error {
	b.book.Apply(e)
	return b.tally.add(e)
}

func (b branch) state() (pastState, error) {
	entities, err := entitiesOf(b.book)
	return pastState{entities: entities, tally: b.tally}, err
}

// forkTier is a tier of two books: the real one, and one without the dropped
// events.
type forkTier struct {
	*memory.Tier
	drop        map[string]bool // whether it was found
	real, other branch
	answer      *whatIfAnswer
}

func newForkTier(drop []string, answer *whatIfAnswer) *forkTier {
	f := &forkTier{
		Tier:   memory.New(nil),
		drop:   make(map[string]bool),
		real:   branch{book.New(book.Keep{}), newTally()},
		other:  branch{book.New(book.Keep{}), newTally()},
		answer: answer,
	}
	for _, id := range drop {
		f.drop[id] = false
	}
	return f
}

// Apply implements projector.Tier.
func (f *forkTier) Apply(_ context.Context, b projector.Batch) error {
	for _, e := range b.Events {
		_, dropped := f.drop[e.ID]
		if dropped {
			f.drop[e.ID] = true
			f.answer.Dropped = append(f.answer.Dropped, describeEvent(e))
		} else {
			f.lookForOrphan(e)
			if err := f.other.apply(e); err != nil {
				return err
			}
		}
		if err := f.real.apply(e); err != nil {
			return err
		}
	}
	return nil
}

// lookForOrphan notes an event that only the missing ones make one to refuse.
// On a part of the log some events have no ground in reality either.
func (f *forkTier) lookForOrphan(e *events.Event) {
	if len(f.answer.Dropped) == 0 {
		return
	}
	rule := refusal(f.other.book, e)
	if rule == "" || refusal(f.real.book, e) != "" {
		return
	}
	f.answer.Orphans++
	if len(f.answer.Listed) < listedOrphans {
		f.answer.Listed = append(f.answer.Listed, orphanEvent{describeEvent(e), rule})
	}
}

// refusal is why a book would not take an event, or "".
func refusal(b *book.Book, e *events.Event) string {
	verdict, err := b.Check(e)
	if err != nil {
		return err.Error()
	}
	return verdict.Reason
}

func describeEvent(e *events.Event) droppedEvent {
	return droppedEvent{e.Sequence, e.ID, e.Type(), e.Subject, events.FormatTime(e.Time)}
}

// finish holds the wishes against what the log has, and activates versions.
// What lies between a version's activation and now does not matter: nothing
// else in the fold rests on the active version.
func (f *forkTier) finish(drop []string) error {
	var missing []string
	for _, id := range drop {
		if !f.drop[id] {
			missing = append(missing, id)
		}
	}
	if len(missing) > 0 {
		return usage("--drop-event %s: there is no such id %s", strings.Join(missing, ", "), f.answer.within())
	}
	for _, p := range f.answer.Params {
		for _, side := range []struct {
			of   branch
			hint string
		}{{f.real, ""}, {f.other, " once the dropped events are left out"}} {
			if err := side.of.hasVersion(p, f.answer.within()+side.hint); err != nil {
				return err
			}
		}
		f.other.book.Apply(&events.Event{Data: &events.ParamActivated{StrategyCode: p.StrategyCode, Version: p.Version}})
	}
	return nil
}

func (a whatIfAnswer) within() string { return "among the events replayed: " + a.Bound }

func (b branch) hasVersion(wanted activation, within string) error {
	var versions []string
	for _, p := range b.book.Params() {
		if p.StrategyCode != wanted.StrategyCode {
			continue
		}
		if p.Version == wanted.Version {
			return nil
		}
		versions = append(versions, strconv.FormatInt(p.Version, 10))
	}
	if len(versions) == 0 {
		return usage("--params %s=%d: the strategy has no saved parameters %s", wanted.StrategyCode, wanted.Version, within)
	}
	return usage("--params %s=%d: there are the versions %s, but not this one, %s", wanted.StrategyCode, wanted.Version, strings.Join(versions, ", "), within)
}

func (a whatIfAnswer) text(w io.Writer) {
	fmt.Fprintf(w, "replayed in memory: %s, log read up to sequence %d; nothing was written\n", a.Bound, a.Sequence)
	for _, p := range a.Params {
		fmt.Fprintf(w, "what if: version %d of %s's parameters were the active one (recorded trades stay as they are: they were decided under the versions of their time)\n", p.Version, p.StrategyCode)
	}
	if len(a.Dropped) > 0 {
		fmt.Fprintln(w, "what if: these events were not there")
		table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
		for _, d := range a.Dropped {
			fmt.Fprintf(table, "  %d\t%s\t%s\t%s\t%s\n", d.Sequence, d.ID, d.Type, d.Subject, d.Time)
		}
		table.Flush()
	}
	a.orphanText(w)
	if a.Equal {
		fmt.Fprintln(w, "\nno difference")
	}
	writeChanges(w, a.Changes, "REAL", "WHAT IF")
	writeTrades(w, a.Trades, "TRADES, what if minus real (cash without fees)")
	writeEvents(w, a.Events, "EVENTS, what if minus real")
}

func (a whatIfAnswer) orphanText(w io.Writer) {
	if a.Orphans == 0 {
		return
	}
	fmt.Fprintf(w, "\n%d later events lose their ground; ingest would have refused them. They are folded leniently: what changes\n"+
		"something missing does nothing, positions and trades count without their account, a version keeps its number.\n", a.Orphans)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, o := range a.Listed {
		fmt.Fprintf(table, "  %d\t%s\t%s\t%s\t%s\n", o.Sequence, o.ID, o.Type, o.Subject, o.Rule)
	}
	table.Flush()
	if more := a.Orphans - len(a.Listed); more > 0 {
		fmt.Fprintf(w, "  … and %d more\n", more)
	}
}
