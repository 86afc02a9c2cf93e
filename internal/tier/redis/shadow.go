package redis

import (
	"context"
	"crypto/rand"
	_ "embed"

	goredis "github.com/redis/go-redis/v9"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

var (
	//go:embed promote.lua
	promoteSource string
	//go:embed reset.lua
	resetSource string

	promoteScript = goredis.NewScript(promoteSource)
	resetScript   = goredis.NewScript(resetSource)
)

// shadow is a Tier under shadowPrefix. The owner, a random token in its
// checkpoint, keeps two rebuilds at once from mixing: the later one wins.
type shadow struct {
	Tier
	live *Tier
}

// Shadow implements projector.Live. It is refused, as a projector would be,
// where the live place holds foreign data.
func (t *Tier) Shadow(ctx context.Context, _ string) (projector.Shadow, error) {
	if _, err := t.Checkpoint(ctx); err != nil {
		return nil, err
	}
	s := &shadow{Tier: Tier{client: t.client, prefix: shadowPrefix, owner: rand.Text()}, live: t}
	if err := s.reset(ctx, "start shadow", "", s.owner); err != nil {
		return nil, err
	}
	return s, nil
}

// Close leaves the connections to the live tier.
func (s *shadow) Close() error { return nil }

// Promote implements projector.Shadow: one script renames the shadow's keys and
// drops the live ones, in time proportional to the number of accounts.
func (s *shadow) Promote(ctx context.Context, _ projector.Hold) error {
	const op = "promote shadow"
	// The script itself knows every key that a projector wrote; these are for
	// what others put beside them.
	found, err := s.live.dataKeys(ctx)
	if err != nil {
		return wrap(op, err)
	}
	keys := append([]string{checkpointKey, accountsKey, s.prefix + checkpointKey, s.prefix + accountsKey}, found...)
	args := []any{s.owner, schemaVersion, s.prefix}
	for _, prefix := range dataPrefixes {
		args = append(args, prefix)
	}
	return s.run(ctx, op, promoteScript, keys, args)
}

// Discard implements projector.Shadow.
func (s *shadow) Discard(ctx context.Context) error {
	return s.reset(ctx, "discard shadow", s.owner, "")
}

func (s *shadow) reset(ctx context.Context, op, from, to string) error {
	found, err := s.dataKeys(ctx)
	if err != nil {
		return wrap(op, err)
	}
	keys := append([]string{s.prefix + checkpointKey, s.prefix + accountsKey}, found...)
	return s.run(ctx, op, resetScript, keys, []any{from, to, eventlog.Chain{}.String(), schemaVersion})
}
