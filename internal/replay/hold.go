package replay

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

const (
	// barrierLife is how long a barrier lasts that nobody renews: that long a
	// killed replay keeps a projector waiting.
	barrierLife  = 15 * time.Second
	barrierRenew = barrierLife / 3
)

// barrier keeps a tier from passing a sequence while a command works.
type barrier struct {
	tier   string
	until  uint64
	reason string
	// parking is what the tier leaves out once the work is done; nil leaves that
	// as it is.
	parking *projector.Parking
}

// behind runs do while the tier may not pass the barrier, so that what do sees
// stays true. The barrier is renewed while do works and gone when it ends. A tier
// past the sequence gives ErrConflict. A hold that stops the tier already, of a
// rollback say, is left in place.
func (e *Env) behind(b barrier, do func() error) error {
	// A tier of its own: do uses another one meanwhile.
	tier, err := e.openTier(b.tier)
	if err != nil {
		return fmt.Errorf("set barrier: %w", err)
	}
	defer tier.Close()
	held, err := tier.Hold(e.Context)
	if err != nil {
		return fmt.Errorf("read hold: %w", err)
	}
	standing := held
	if !held.Expires.IsZero() {
		standing = held.Released() // another command's barrier, dead or about to end
	}
	if standing.Stops(b.until+1, time.Now()) {
		if err := do(); err != nil {
			return err
		}
		return b.release(e, tier, standing)
	}
	stop := func() error {
		return tier.SetHold(e.Context, projector.Hold{
			Until: b.until, Reason: b.reason, Parking: held.Parking,
			Expires: time.Now().Add(barrierLife).Truncate(time.Millisecond),
		})
	}
	if err := stop(); err != nil {
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
			if err != nil {
				b.parking = nil
			}
			return errors.Join(err, renewal, b.release(e, tier, standing))
		case <-ticker.C:
			if err := stop(); err != nil && renewal == nil {
				renewal = fmt.Errorf("renew barrier: %w", err)
			}
		}
	}
}

// release puts back what lay on the tier before, also after Ctrl-C. What a
// promotion put in the barrier's place stays.
func (b barrier) release(e *Env, tier projector.Live, standing projector.Hold) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(e.Context), e.CLI.Timeout)
	defer cancel()
	now, err := tier.Hold(ctx)
	if err == nil && b.parking != nil {
		standing, err = standing.WithParking(*b.parking)
	}
	if err == nil && (b.parking != nil || now.Reason == b.reason && !now.Expires.IsZero()) {
		err = tier.SetHold(ctx, standing)
	}
	if err != nil {
		return fmt.Errorf("release barrier (it ends by itself in %s): %w", barrierLife, err)
	}
	return nil
}

// standing runs do while the tier stands still at the checkpoint that do gets.
func (e *Env) standing(b barrier, tier projector.Live, do func(at eventlog.Checkpoint) error) error {
	b.tier = tier.Name()
	for {
		at, err := tier.Checkpoint(e.Context)
		if err != nil {
			return fmt.Errorf("read checkpoint: %w", err)
		}
		b.until = at.Sequence
		err = e.behind(b, func() error {
			if now, err := tier.Checkpoint(e.Context); err != nil || now != at {
				return errors.Join(err, projector.ErrConflict)
			}
			return do(at)
		})
		if !errors.Is(err, projector.ErrConflict) {
			return err
		}
	}
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
