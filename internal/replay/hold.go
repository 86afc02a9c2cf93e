package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

const (
	// barrierLife is how long a barrier lasts that nobody renews: that long a
	// killed replay keeps a projector waiting.
	barrierLife  = 15 * time.Second
	barrierRenew = barrierLife / 3
)

// behindBarrier runs do while the tier may not pass a sequence, so that what do
// sees stays true. The barrier is renewed while do works and gone when it ends.
// A tier past the sequence gives ErrConflict. One that is held already, by a
// rollback say, is left as it is.
func (e *Env) behindBarrier(name string, until uint64, reason string, do func() error) error {
	// A tier of its own: do uses the other one meanwhile.
	tier, err := e.openTier(name)
	if err != nil {
		return fmt.Errorf("set barrier: %w", err)
	}
	defer tier.Close()
	held, err := tier.Hold(e.Context)
	if err != nil {
		return fmt.Errorf("read hold: %w", err)
	}
	if held.Stops(until+1, time.Now()) && held.Expires.IsZero() {
		return do()
	}
	barrier := func() projector.Hold {
		return projector.Hold{Until: until, Reason: reason, Expires: time.Now().Add(barrierLife).Truncate(time.Millisecond)}
	}
	if err := tier.SetHold(e.Context, barrier()); err != nil {
		return fmt.Errorf("set barrier: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- do() }()
	ticker := time.NewTicker(barrierRenew)
	defer ticker.Stop()
	var renewal error
	for {
		select {
		case err := <-done:
			return errors.Join(err, renewal, e.release(tier, until))
		case <-ticker.C:
			if err := tier.SetHold(e.Context, barrier()); err != nil && renewal == nil {
				renewal = fmt.Errorf("renew barrier: %w", err)
			}
		}
	}
}

// release takes a barrier away, also after Ctrl-C. A hold of someone else's
// that came in its place stays.
func (e *Env) release(tier projector.Steered, until uint64) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.Context), e.CLI.Timeout)
	defer cancel()
	held, err := tier.Hold(ctx)
	if err == nil && held.Until == until && !held.Expires.IsZero() {
		err = tier.SetHold(ctx, projector.Hold{})
	}
	if err != nil {
		return fmt.Errorf("release barrier (it ends by itself in %s): %w", barrierLife, err)
	}
	return nil
}

// poll is how often a command looks again at what it waits for.
const poll = 20 * time.Millisecond

// pause waits for the next look.
func pause(ctx context.Context) error {
	select {
	case <-time.After(poll):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
