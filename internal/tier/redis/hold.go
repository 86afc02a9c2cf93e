package redis

import (
	"context"
	"fmt"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Hold implements projector.Live.
func (t *Tier) Hold(ctx context.Context) (projector.Hold, error) {
	const op = "read hold"
	found, err := t.read(ctx, op)
	if err != nil {
		return projector.Hold{}, err
	}
	hold, err := projector.ParseHold(found.hold)
	if err != nil {
		return hold, fmt.Errorf("redis: %s: %w", op, err)
	}
	return hold, nil
}

// SetHold implements projector.Live. On an empty tier it leaves a
// checkpoint at zero to carry the hold.
func (t *Tier) SetHold(ctx context.Context, was, hold projector.Hold) error {
	if _, err := t.Checkpoint(ctx); err != nil {
		return err
	}
	return t.run(ctx, "set hold", holdScript, []string{t.prefix + checkpointKey},
		[]any{schemaVersion, t.owner, hold.Text(), hold.Until, was.Text()})
}
