package redis

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// otherHoldError tells that another hold lies on the tier than the one that
// the caller knows. It does not leave Apply.
type otherHoldError struct{ text string }

func (e *otherHoldError) Error() string { return "another hold: " + e.text }

// Apply implements projector.Tier: one script for the whole batch. Contents
// that the script cannot go on from, such as held days that are no number,
// wrap projector.ErrRefused and nothing is applied.
//
// Redis carries at most a million arguments a command: about 170,000 events in
// the worst case. The runner's batches are far below.
func (t *Tier) Apply(ctx context.Context, b projector.Batch) error {
	op := fmt.Sprintf("apply %d–%d", b.From.Sequence+1, b.To.Sequence)
	p := program{
		keys: []string{t.prefix + checkpointKey, t.prefix + accountsKey},
		args: []any{b.From.Sequence, b.From.Chain.String(), b.To.Sequence, b.To.Chain.String(), schemaVersion, t.owner, "", 0},
	}
	p.encode(t.prefix, coalesce(b.Events))
	if t.takeOver && b.From.Sequence == 0 {
		foreign, err := t.dataKeys(ctx)
		if err != nil {
			return wrap(op, err)
		}
		p.keys = append(p.keys, foreign...)
		p.args[7] = 1
	}
	// The script applies under no other hold than the one given here, so only
	// one that lets the batch pass is ever given.
	if hold, err := projector.ParseHold(t.hold); err == nil && hold.Admits(b, time.Now()) == nil {
		p.args[6] = t.hold
	}
	for {
		err := t.run(ctx, op, applyScript, p.keys, p.args)
		var other *otherHoldError
		if !errors.As(err, &other) {
			return err
		}
		hold, err := projector.ParseHold(other.text)
		if err == nil {
			err = hold.Admits(b, time.Now())
		}
		if err != nil {
			return fmt.Errorf("redis: %s: %w", op, err)
		}
		t.hold, p.args[6] = other.text, other.text
	}
}
