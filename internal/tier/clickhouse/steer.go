package clickhouse

import (
	"context"
	"fmt"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// shadow is a generation beside the live one: being built, or the previous one.
type shadow struct {
	Tier
	promoted bool
}

var _ projector.Shadow = (*shadow)(nil)

func (s *store) shadow(generation uint64) *shadow {
	return &shadow{Tier: Tier{store: s, generation: generation}}
}

// Shadow implements projector.Live.
func (t *Tier) Shadow(ctx context.Context, plan string) (projector.Shadow, error) {
	const op = "open shadow"
	if err := t.store.ensureOnce(ctx); err != nil {
		return nil, wrap(op, err)
	}
	now, err := t.store.read(ctx)
	if err != nil {
		return nil, wrap(op, err)
	}
	if now.Shadow == nil || now.Shadow.Plan != plan {
		now, err = t.store.change(ctx, func(next *state) error {
			next.Shadow = newPlace()
			next.Shadow.Plan = plan
			return nil
		})
		if err != nil {
			return nil, wrap(op, err)
		}
	}
	return t.store.shadow(now.Shadow.Generation), nil
}

// Previous implements projector.Live.
func (t *Tier) Previous(ctx context.Context) (projector.Shadow, error) {
	const op = "open previous"
	if err := t.store.ensureOnce(ctx); err != nil {
		return nil, wrap(op, err)
	}
	now, err := t.store.read(ctx)
	if err != nil {
		return nil, wrap(op, err)
	}
	if now.Previous == nil {
		return nil, wrap(op, projector.ErrNoPrevious)
	}
	return t.store.shadow(now.Previous.Generation), nil
}

// Close leaves the connections to the live tier.
func (s *shadow) Close() error { return nil }

// Promote implements projector.Shadow. It is one row: the generation that the
// views read, its checkpoint and its hold change together.
func (s *shadow) Promote(ctx context.Context, hold projector.Hold) error {
	const op = "promote"
	if _, err := s.store.change(context.WithoutCancel(ctx), func(next *state) error {
		p := next.of(s.generation)
		switch p {
		case nil, next.Live:
			return errGone
		case next.Shadow:
			next.Shadow = nil
		}
		p.Plan, p.Hold = "", hold.Text()
		next.Live, next.Previous = p, next.Live
		return nil
	}); err != nil {
		return wrap(op, err)
	}
	s.promoted = true
	return wrapIf(op, s.store.dropGenerations(ctx))
}

// Discard implements projector.Shadow.
func (s *shadow) Discard(ctx context.Context) error {
	const op = "discard"
	if s.promoted {
		return nil
	}
	if _, err := s.store.change(ctx, func(next *state) error {
		switch next.of(s.generation) {
		case next.Shadow:
			next.Shadow = nil
		case next.Previous:
			next.Previous = nil
		}
		return nil
	}); err != nil {
		return wrap(op, err)
	}
	return wrapIf(op, s.store.dropGenerations(ctx))
}

// Hold implements projector.Live.
func (t *Tier) Hold(ctx context.Context) (projector.Hold, error) {
	const op = "read hold"
	if err := t.store.ensureOnce(ctx); err != nil {
		return projector.Hold{}, wrap(op, err)
	}
	p, err := t.store.placeNow(ctx, t.generation)
	if err != nil || p == nil {
		return projector.Hold{}, wrapIf(op, err)
	}
	hold, err := projector.ParseHold(p.Hold)
	return hold, wrapIf(op, err)
}

// SetHold implements projector.Live.
func (t *Tier) SetHold(ctx context.Context, was, hold projector.Hold) error {
	const op = "set hold"
	if err := t.store.ensureOnce(ctx); err != nil {
		return wrap(op, err)
	}
	_, err := t.store.change(context.WithoutCancel(ctx), func(next *state) error {
		if next.Live == nil {
			next.Live = newPlace()
		}
		if next.Live.Hold != was.Text() {
			return fmt.Errorf("another hold lies there by now: %w", projector.ErrConflict)
		}
		if !hold.IsZero() && next.Live.Sequence > hold.Until {
			return fmt.Errorf("it is at sequence %d, past the hold's %d: %w", next.Live.Sequence, hold.Until, projector.ErrConflict)
		}
		next.Live.Hold = hold.Text()
		return nil
	})
	return wrapIf(op, err)
}

func wrapIf(op string, err error) error {
	if err == nil {
		return nil
	}
	return wrap(op, err)
}
