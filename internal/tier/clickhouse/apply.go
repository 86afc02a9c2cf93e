package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Apply implements projector.Tier: it inserts the batch's rows under a fresh
// attempt, which nobody sees, and then makes the attempt count together with
// the checkpoint, in one row of tapedeck_state.
func (t *Tier) Apply(ctx context.Context, b projector.Batch) error {
	op := fmt.Sprintf("apply %d–%d", b.From.Sequence+1, b.To.Sequence)
	rows := gather(b.Events)
	now, err := t.start(ctx, b)
	if err == nil && !rows.empty() && !t.holds(&now) {
		now, err = t.begin(ctx, now, b)
	}
	if err == nil {
		now, err = t.bring(ctx, now, b, rows)
	}
	if err != nil {
		t.attempt, t.known = attempt{}, state{}
		return wrap(op, err)
	}
	t.known = now
	t.sweepNowAndThen(ctx)
	return nil
}

// start is a state that the batch fits: the one that our last batch made, or
// else what counts now. One that is outdated loses the race for the next.
func (t *Tier) start(ctx context.Context, b projector.Batch) (state, error) {
	if t.known.Revision > 0 {
		if _, err := t.fits(&t.known, b); err == nil {
			return t.known, nil
		}
	}
	now, err := t.store.read(ctx)
	if err != nil {
		return state{}, err
	}
	next := now.next()
	_, err = t.fits(&next, b)
	return now, err
}

// fits is the place that the batch goes to, if it may.
func (t *Tier) fits(s *state, b projector.Batch) (*place, error) {
	p := s.of(t.generation)
	if p == nil {
		if t.generation != 0 {
			return nil, errGone
		}
		p = newPlace()
		s.Live = p
	}
	at, err := p.checkpoint()
	if err != nil {
		return nil, err
	}
	if at != b.From {
		return nil, fmt.Errorf("the checkpoint is %d: %w", at.Sequence, projector.ErrConflict)
	}
	hold, err := projector.ParseHold(p.Hold)
	if err != nil {
		return nil, err
	}
	if err := hold.Admits(b, time.Now()); err != nil {
		return nil, err
	}
	return p, nil
}

// holds tells that our attempt is pending still.
func (t *Tier) holds(s *state) bool {
	p := s.of(t.generation)
	return p != nil && p.Generation == t.attempt.generation && slices.Contains(p.Pending, t.attempt.number)
}

// begin takes the number of an attempt. Numbers are revisions: each is given
// out once, and is greater than all that counted when it was.
func (t *Tier) begin(ctx context.Context, now state, b projector.Batch) (state, error) {
	return t.store.changeFrom(ctx, now, func(next *state) error {
		p, err := t.fits(next, b)
		if err != nil {
			return err
		}
		t.give(next, p)
		return nil
	})
}

func (t *Tier) give(next *state, p *place) {
	p.Pending = append(p.Pending, next.Revision)
	t.attempt = attempt{next.Revision, p.Generation}
}

// bring inserts the rows and makes them count.
func (t *Tier) bring(ctx context.Context, now state, b projector.Batch, rows rows) (state, error) {
	var revised []string
	if !rows.empty() {
		var err error
		if revised, err = t.revised(ctx, now.of(t.generation), rows.stocks); err != nil {
			return state{}, err
		}
		if err := t.store.insertRows(ctx, t.attempt, rows); err != nil {
			return state{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return state{}, err
	}
	brought := t.attempt
	// Whoever gives up waiting must not leave the step to be taken later: it is
	// one small row, so the end of ctx does not cut it short.
	now, err := t.store.changeFrom(context.WithoutCancel(ctx), now, func(next *state) error {
		t.attempt = brought
		p, err := t.fits(next, b)
		if err != nil {
			return err
		}
		p.moveTo(b.To)
		if rows.empty() {
			return nil
		}
		if !t.holds(next) {
			return fmt.Errorf("another writer made our rows void: %w", projector.ErrConflict)
		}
		p.count(brought.number, len(rows.stocks) > 0)
		p.Stocks = mark(p.Stocks, revised, brought.number)
		t.give(next, p) // for the next batch, so that it needs no step of its own
		return nil
	})
	if err == nil && !rows.empty() {
		t.learn(brought, rows.stocks)
	}
	return now, err
}

// revised names the stocks of which a day that comes may be there already. It
// may name one too many, never one too few.
func (t *Tier) revised(ctx context.Context, p *place, stocks []stockBars) ([]string, error) {
	if len(stocks) == 0 {
		return nil, nil
	}
	if as := (attempt{p.Upto, p.Generation}); t.newest.days == nil || t.newest.of != as {
		days, err := t.store.newestDays(ctx, p)
		if err != nil {
			return nil, err
		}
		t.newest = newest{as, days}
	}
	var names []string
	for _, s := range stocks {
		if s.bars[0].Date <= t.newest.days[s.code] {
			names = append(names, s.code)
		}
	}
	return names, nil
}

// learn keeps newest true after our own batch.
func (t *Tier) learn(brought attempt, stocks []stockBars) {
	if t.newest.days == nil {
		return
	}
	for _, s := range stocks {
		t.newest.days[s.code] = max(t.newest.days[s.code], s.bars[len(s.bars)-1].Date)
	}
	t.newest.of = brought
}
