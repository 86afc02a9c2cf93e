package file

import (
	"context"
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Hold implements projector.Live.
func (t *Tier) Hold(ctx context.Context) (hold projector.Hold, err error) {
	if err := ctx.Err(); err != nil {
		return hold, err
	}
	err = t.locked(func() error {
		m, err := t.settle()
		if err != nil {
			return err
		}
		hold, err = projector.ParseHold(m.Hold)
		return err
	})
	if err != nil {
		return hold, fmt.Errorf("file: hold on %s: %w", t.dir, err)
	}
	return hold, nil
}

// SetHold implements projector.Live. It writes the manifest and nothing
// else, so it works where files are damaged.
func (t *Tier) SetHold(ctx context.Context, was, hold projector.Hold) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := t.locked(func() error {
		m, err := t.settle()
		if err != nil {
			return err
		}
		if m.Hold != was.Text() {
			return fmt.Errorf("another hold lies there by now: %w", projector.ErrConflict)
		}
		if !hold.IsZero() && m.Sequence > hold.Until {
			return fmt.Errorf("at %d, past %d: %w", m.Sequence, hold.Until, projector.ErrConflict)
		}
		if m.Hold == hold.Text() {
			return nil
		}
		next := m.next()
		next.Hold = hold.Text()
		return t.putManifest(next)
	})
	if err != nil {
		return fmt.Errorf("file: set hold on %s: %w", t.dir, err)
	}
	return nil
}

// obey is an error when the hold keeps the known contents from a batch. It
// binds the live tier only: a shadow is built past it.
func (t *Tier) obey(b projector.Batch) error {
	if t.plan != nil {
		return nil
	}
	hold, err := projector.ParseHold(t.known.manifest.Hold)
	if err != nil {
		return err
	}
	return hold.Admits(b, time.Now())
}
