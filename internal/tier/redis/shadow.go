package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// shadow is a Tier beside the live one: a rebuild, or the previous contents. The
// owner, a random token in its checkpoint, tells that it is still the one that
// was opened: every step compares it. Of two rebuilds at once the later wins.
type shadow struct {
	Tier
	live *Tier
}

func (t *Tier) beside(prefix, owner string) *shadow {
	return &shadow{Tier: Tier{client: t.client, prefix: prefix, owner: owner}, live: t}
}

// Shadow implements projector.Live. It is refused, as a projector would be,
// where the live place holds foreign data.
func (t *Tier) Shadow(ctx context.Context, plan string) (projector.Shadow, error) {
	if _, err := t.Checkpoint(ctx); err != nil {
		return nil, err
	}
	s := t.beside(shadowPrefix, rand.Text())
	if err := s.runOver(ctx, "open shadow", beginScript, schemaVersion, s.owner, plan, s.prefix); err != nil {
		return nil, err
	}
	return s, nil
}

// Previous implements projector.Live. After the next Promote, whoever does
// it, what is returned here meets projector.ErrConflict.
func (t *Tier) Previous(ctx context.Context) (projector.Shadow, error) {
	const op = "open previous contents"
	owner, err := t.client.HGet(ctx, previousPrefix+checkpointKey, "owner").Result()
	if errors.Is(err, goredis.Nil) {
		return nil, fmt.Errorf("redis: %s: %w", op, projector.ErrNoPrevious)
	}
	if err != nil {
		return nil, wrap(op, err)
	}
	return t.beside(previousPrefix, owner), nil
}

// Close leaves the connections to the live tier.
func (s *shadow) Close() error { return nil }

// Promote implements projector.Shadow: one script that renames keys, in time
// proportional to the number of accounts.
func (s *shadow) Promote(ctx context.Context, hold projector.Hold) error {
	const op = "promote"
	// The script itself knows every account that a projector wrote; these are
	// for what others put beside them.
	found, err := s.live.foundAccounts(ctx)
	if err != nil {
		return wrap(op, err)
	}
	return s.run(ctx, op, promoteScript, nil,
		withAccounts(found, schemaVersion, s.owner, s.prefix, previousPrefix, rand.Text(), hold.Text()))
}

// Discard implements projector.Shadow.
func (s *shadow) Discard(ctx context.Context) error {
	return s.runOver(ctx, "discard", discardScript, s.owner, s.prefix)
}

// runOver runs a script whose arguments end with the accounts that a scan finds.
func (s *shadow) runOver(ctx context.Context, op string, script *goredis.Script, args ...any) error {
	found, err := s.foundAccounts(ctx)
	if err != nil {
		return wrap(op, err)
	}
	return s.run(ctx, op, script, nil, withAccounts(found, args...))
}

func withAccounts(accounts []string, args ...any) []any {
	for _, account := range accounts {
		args = append(args, account)
	}
	return args
}
