package replay

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/proof"
)

type rebuildCommand struct {
	Tier     string   `help:"Tier to build anew: redis, mysql, clickhouse, file or all." enum:"redis,mysql,clickhouse,file,all" required:""`
	Account  []string `help:"Only the rows of these accounts, in place." placeholder:"ID"`
	Kind     []string `help:"Only the rows of these kinds (held_days, account, trade, …), in place." placeholder:"KIND"`
	Since    uint64   `help:"Only the rows that events from this sequence on are about, in place." placeholder:"N"`
	SwapBack bool     `help:"Put back what the last rebuild or rollback replaced." xor:"bound"`
	DryRun   bool     `help:"Only show the plan."`
	boundFlags
	proofFlags
}

// Run implements the command: per tier a shadow is filled beside the live one,
// proved, and promoted in one atomic step; the live projector goes on from
// there. kill -9 leaves a shadow that the same command goes on with.
func (c rebuildCommand) Run(e *Env) error {
	bound, err := c.bound()
	if err != nil {
		return err
	}
	if !bound.IsPrefix() {
		return usage("--until-time leaves events out in the middle, and no projector could go on from there: use replay rollback")
	}
	within, partial, err := c.scope()
	if err != nil {
		return err
	}
	if partial && (c.SwapBack || !bound.IsZero()) {
		return usage("--account, --kind and --since rebuild rows in place, up to where the tier is: leave bound and --swap-back away")
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	p, err := e.newPlan(log, "rebuild", bound)
	if err != nil {
		return err
	}
	return e.eachTier(c.Tier, func(tier projector.Live) error {
		hold, err := tier.Hold(e.Context)
		if err == nil && hold.Holds(time.Now()) && !hold.IsBarrier() && !c.DryRun && !c.SwapBack {
			return usage("it is held (%s): replay resume --tier %s first", hold.Reason, tier.Name())
		}
		switch {
		case c.SwapBack:
			return e.swapBack(tier, c.DryRun)
		case partial:
			return e.rebuildRows(log, tier, c, within)
		}
		return e.run(log, tier, p, c.DryRun, c.proofFlags)
	})
}

// scope is what the filters say.
func (c rebuildCommand) scope() (within rowFilter, partial bool, err error) {
	kinds := map[book.Kind]bool{}
	for _, name := range c.Kind {
		kinds[book.Kind(name)] = true
	}
	for _, kind := range book.AllKinds() {
		delete(kinds, kind)
	}
	for unknown := range kinds {
		return rowFilter{}, false, usage("--kind %s: the kinds are %v", unknown, book.AllKinds())
	}
	partial = len(c.Account) > 0 || len(c.Kind) > 0 || c.Since > 0
	match := func(d proof.Difference) bool {
		return (len(c.Kind) == 0 || slices.Contains(c.Kind, string(d.Kind))) &&
			(len(c.Account) == 0 || slices.Contains(c.Account, accountOf(d))) && d.Sequence >= c.Since
	}
	return rowFilter{match, c.Since > 0}, partial, nil
}

// accountOf is the account of a row, "" when the row is of no account.
func accountOf(d proof.Difference) string {
	switch d.Kind {
	case book.KindStrategy, book.KindParam, book.KindUser, book.KindUserRole, book.KindKline:
		return ""
	case book.KindTrade:
		var trade struct {
			AccountID string `json:"account_id"`
		}
		for _, value := range []*string{d.Expected, d.Found} {
			if value != nil && json.Unmarshal([]byte(*value), &trade) == nil && trade.AccountID != "" {
				break
			}
		}
		return trade.AccountID
	}
	owner, _, _ := strings.Cut(d.Key, "/")
	return owner
}

// swapBack puts the previous contents in the live ones' place, with the hold
// that lay on them.
func (e *Env) swapBack(tier projector.Live, dryRun bool) error {
	previous, err := tier.Previous(e.Context)
	if errors.Is(err, projector.ErrNoPrevious) {
		return usage("%v", err)
	}
	if err != nil {
		return err
	}
	defer previous.Close()
	was, err := tier.Checkpoint(e.Context)
	if err != nil && !errors.Is(err, projector.ErrRefused) {
		return fmt.Errorf("read checkpoint: %w", err)
	}
	is, err := previous.Checkpoint(e.Context)
	if err != nil {
		return fmt.Errorf("read the previous contents' checkpoint: %w", err)
	}
	hold, err := previous.Hold(e.Context)
	if err != nil {
		return fmt.Errorf("read the previous contents' hold: %w", err)
	}
	if hold.IsBarrier() {
		hold = hold.Released() // a barrier of the swap that replaced them
	}
	answer := rebuildAnswer{Tier: tier.Name(), Was: was.Sequence, Is: is.Sequence, Held: hold.Reason, SwapBack: true, DryRun: dryRun}
	if !dryRun {
		if err := previous.Promote(e.Context, hold); err != nil {
			return err
		}
	}
	return e.print(answer, answer.text)
}

// rebuildRows rewrites the rows of a scope.
func (e *Env) rebuildRows(log *eventlog.Log, tier projector.Live, c rebuildCommand, within rowFilter) error {
	var answer verifyAnswer
	var err error
	if c.DryRun {
		answer, err = e.verify(log, tier, c.proofFlags)
	} else {
		answer, err = e.repair(log, tier, c.proofFlags, within)
	}
	if err == nil {
		err = e.explain(log, answer)
	}
	if err != nil {
		return err
	}
	if c.DryRun {
		answer.Differences = slices.DeleteFunc(answer.Differences, func(d proof.Difference) bool { return !within.match(d) })
	}
	return e.print(answer, answer.text)
}
