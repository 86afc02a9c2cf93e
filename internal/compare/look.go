package compare

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

const (
	// unitsAtOnce bounds what is in memory, and how long nothing is compared
	// while a tier catches up.
	unitsAtOnce = 64
	// readBound is how long a tier may take to answer.
	readBound = 700 * time.Millisecond
	// patience is how long a tier may take to reach what the log said.
	patience = 2 * time.Second
	// Meanwhile it is asked again and again.
	pollFirst, pollLast = 2 * time.Millisecond, 40 * time.Millisecond
)

// verdict is what one look at a unit found.
type verdict struct {
	rows    int
	differs []finding
	// open are the ids of what cannot be decided: events changed it meanwhile.
	open   []string
	unread bool
}

// finding is a row that differs.
type finding struct {
	id, unit, kind, account, key string
	// What the tier has, and what the log says; nil is nothing.
	tier, log *string
}

func differing(u unit, account string, r book.Row, tier, log *string) finding {
	return finding{string(r.Kind) + "/" + r.Key, u.name(), string(r.Kind), account, r.Key, tier, log}
}

// look compares units. The log is read first, as of A. The tier is read once it
// has reached A, as of S. Then the log says what changed after A, up to B, not
// before S. What no event from A to B is about was the same all the while, so
// the tier must have had it: whatever else was on its way.
func (c *Comparer) look(ctx context.Context, tier query.Tier, units []unit) (verdicts []verdict, at uint64, err error) {
	said, found := make([]contents, len(units)), make([]contents, len(units))
	var first, floor, last uint64
	for i, u := range units {
		if said[i], err = u.read(ctx, c.log); err != nil {
			return nil, 0, fmt.Errorf("ask the log: %w", err)
		}
		if i == 0 {
			first = said[i].from
		}
		floor = max(floor, said[i].to)
	}
	if err := c.reach(ctx, tier, floor); err != nil {
		return nil, 0, err
	}
	for i, u := range units {
		if found[i], err = ask(ctx, tier, u, floor); err != nil {
			return nil, 0, err
		}
		last = max(last, found[i].to)
	}
	if err := c.reach(ctx, c.log, last); err != nil {
		return nil, 0, err
	}
	changes, now, all := c.log.Changes(first)
	for i, u := range units {
		var v verdict
		switch {
		case found[i].unreadable != nil:
			// A projector that is writing may be why, unless there is nothing to write.
			v = unreadable(u, said[i], found[i], now == said[i].from)
		case u.trades:
			later, err := u.read(ctx, c.log)
			if err != nil {
				return nil, 0, fmt.Errorf("ask the log: %w", err)
			}
			v = judgeTrades(u, said[i].trades, found[i].trades, later.trades)
		default:
			v = judge(u, said[i].rows, found[i].rows, func(r book.Row) bool {
				return !all || slices.ContainsFunc(changes, func(e *events.Event) bool { return book.Concerns(e, r.Kind, r.Key) })
			})
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, last, nil
}

// reach waits until a tier has a sequence.
func (c *Comparer) reach(ctx context.Context, tier query.Tier, sequence uint64) error {
	began, pause := time.Now(), pollFirst
	for {
		at, err := where(ctx, tier)
		switch {
		case err != nil:
			return err
		case at.Held:
			return errHeld
		case at.Sequence >= sequence:
			return nil
		case time.Since(began) >= patience:
			return fmt.Errorf("%s is at %d, the log was at %d %s ago: %w", tier.Name(), at.Sequence, sequence, time.Since(began).Round(100*time.Millisecond), errBehind)
		}
		if err := c.pause(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, pollLast)
	}
}

// sleep waits, no longer than ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
	return ctx.Err()
}

func where(ctx context.Context, tier query.Tier) (query.At, error) {
	ctx, cancel := context.WithTimeout(ctx, readBound)
	defer cancel()
	return tier.At(ctx)
}

// ask reads a unit of a tier, which must be at a sequence at least.
func ask(ctx context.Context, tier query.Tier, u unit, floor uint64) (contents, error) {
	bounded, cancel := context.WithTimeout(query.Afresh(ctx), readBound)
	defer cancel()
	found, fault := u.read(bounded, tier)
	if fault != nil {
		// Is it the tier that is lost, or is it this that cannot be read?
		at, err := where(ctx, tier)
		if err != nil || errors.Is(fault, context.DeadlineExceeded) {
			return found, fault
		}
		found = contents{from: at.Sequence, to: at.Sequence, held: at.Held, unreadable: fault}
	}
	switch {
	case found.held:
		return found, errHeld
	case found.from < floor:
		return found, fmt.Errorf("%s went back to %d: %w", tier.Name(), found.from, errBehind)
	}
	return found, nil
}

func unreadable(u unit, said, found contents, still bool) verdict {
	tier, log := "cannot be read: "+found.unreadable.Error(), fmt.Sprintf("%d rows", len(said.rows)+len(said.trades))
	f := differing(u, u.account(), book.Row{Kind: book.Kind(u.kind), Key: u.owner}, &tier, &log)
	if !still {
		return verdict{open: []string{f.id}, unread: true}
	}
	return verdict{differs: []finding{f}, unread: true}
}

// judge holds rows of a tier against those of the log. Those that events may have
// changed meanwhile cannot be told to differ.
func judge(u unit, said, found map[string]row, changed func(book.Row) bool) (v verdict) {
	note := func(r row, tier, log *string) {
		f := differing(u, r.account, r.Row, tier, log)
		if changed(r.Row) {
			v.open = append(v.open, f.id)
			return
		}
		v.rows++
		v.differs = append(v.differs, f)
	}
	for id, log := range said {
		tier, there := found[id]
		switch {
		case !there:
			note(log, nil, &log.Value)
		case tier.Value != log.Value:
			note(log, &tier.Value, &log.Value)
		default:
			v.rows++
		}
	}
	for id, tier := range found {
		if _, there := said[id]; !there {
			note(tier, &tier.Value, nil)
		}
	}
	return v
}
