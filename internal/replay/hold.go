package replay

import (
	"context"
	"crypto/rand"
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
	// poll is how often a command looks again at what it waits for.
	poll = 20 * time.Millisecond
)

// pause waits for the next look.
func pause(ctx context.Context) error {
	select {
	case <-time.After(poll):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// changeHold replaces a tier's hold by what next makes of it, however often
// somebody else changes it meanwhile.
func changeHold(ctx context.Context, tier projector.Live, next func(was projector.Hold) (projector.Hold, error)) error {
	for {
		was, err := tier.Hold(ctx)
		if err != nil {
			return fmt.Errorf("read hold: %w", err)
		}
		hold, err := next(was)
		if err != nil {
			return err
		}
		err = tier.SetHold(ctx, was, hold)
		if !errors.Is(err, projector.ErrConflict) {
			return err
		}
		now, readErr := tier.Hold(ctx)
		if readErr != nil || now == was {
			return errors.Join(err, readErr) // the tier is past it, not the hold another
		}
	}
}

// barrier keeps a tier from passing a sequence while a command works. It has a
// tier of its own: the command uses another one meanwhile.
type barrier struct {
	env   *Env
	tier  projector.Live
	owner string
	// before is what lay on the tier.
	before projector.Hold
	// none tells that a hold without end stops the tier anyway, so that no
	// barrier was needed.
	none bool
}

// stop sets a barrier. A tier past the sequence gives ErrConflict; another
// command's barrier is waited for.
func (e *Env) stop(name string, until uint64, reason string) (*barrier, error) {
	tier, err := e.openTier(name)
	if err != nil {
		return nil, fmt.Errorf("set barrier: %w", err)
	}
	b := &barrier{env: e, tier: tier, owner: rand.Text()}
	if err := b.set(until, reason); err != nil {
		tier.Close()
		return nil, fmt.Errorf("set barrier on %s: %w", name, err)
	}
	return b, nil
}

var errBusy = errors.New("another command works on the tier")

func (b *barrier) set(until uint64, reason string) error {
	for {
		err := changeHold(b.env.Context, b.tier, func(was projector.Hold) (projector.Hold, error) {
			now := time.Now()
			b.before = was
			switch {
			case was.IsBarrier() && !was.Expired(now):
				return was, errBusy
			case was.IsBarrier():
				b.before = was.Released()
			case was.Stops(until+1, now):
				b.none = true
				return was, nil
			}
			return projector.Hold{
				Until: until, Reason: reason, Owner: b.owner, Bound: was.Bound, Parking: was.Parking,
				Expires: time.Now().Add(barrierLife).Truncate(time.Millisecond),
			}, nil
		})
		if !errors.Is(err, errBusy) {
			return err
		}
		if err := pause(b.env.Context); err != nil {
			return err
		}
	}
}

// move sets the barrier to another sequence and lets it live on. It wraps
// ErrConflict when the tier is past it.
func (b *barrier) move(until uint64) error {
	return b.change(b.env.Context, func(was projector.Hold) (projector.Hold, error) {
		was.Until, was.Expires = until, time.Now().Add(barrierLife).Truncate(time.Millisecond)
		return was, nil
	})
}

// renew lets the barrier live on.
func (b *barrier) renew() error {
	return b.change(b.env.Context, func(was projector.Hold) (projector.Hold, error) {
		was.Expires = time.Now().Add(barrierLife).Truncate(time.Millisecond)
		return was, nil
	})
}

// release puts back what lay on the tier before, also after Ctrl-C. Events that
// were parked behind the barrier stay so. What a promotion put in the barrier's
// place stays.
func (b *barrier) release() error {
	defer b.tier.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.env.Context), b.env.CLI.Timeout)
	defer cancel()
	err := b.change(ctx, func(was projector.Hold) (projector.Hold, error) {
		parking, err := was.ReadParking()
		if err != nil {
			return was, err
		}
		return b.before.WithParking(parking)
	})
	if err != nil && !errors.Is(err, errNotOurs) {
		return fmt.Errorf("release barrier (it ends by itself in %s): %w", barrierLife, err)
	}
	return nil
}

var errNotOurs = errors.New("the barrier is gone")

// change replaces the barrier by another hold, if it is there.
func (b *barrier) change(ctx context.Context, next func(was projector.Hold) (projector.Hold, error)) error {
	if b.none {
		return nil
	}
	return changeHold(ctx, b.tier, func(was projector.Hold) (projector.Hold, error) {
		if was.Owner != b.owner {
			return was, errNotOurs
		}
		return next(was)
	})
}

// during runs do while the barriers stand, renews them, and tells when one was
// lost.
func during(do func() error, barriers ...*barrier) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	ticker := time.NewTicker(barrierRenew)
	defer ticker.Stop()
	var lost error
	for {
		select {
		case err := <-done:
			return errors.Join(err, lost)
		case <-ticker.C:
			for _, b := range barriers {
				if err := b.renew(); err != nil && !errors.Is(err, errNotOurs) && lost == nil {
					lost = fmt.Errorf("renew barrier on %s: %w", b.tier.Name(), err)
				}
			}
		}
	}
}

// behind runs do while the tier may not pass a sequence, so that what do sees
// stays true.
func (e *Env) behind(name string, until uint64, reason string, do func() error) error {
	b, err := e.stop(name, until, reason)
	if err != nil {
		return err
	}
	err = during(do, b)
	return errors.Join(err, b.release())
}

// standing runs do while the tier stands still at the checkpoint that do gets.
func (e *Env) standing(tier projector.Live, reason string, do func(at eventlog.Checkpoint) error) error {
	for {
		at, err := tier.Checkpoint(e.Context)
		if err != nil {
			return fmt.Errorf("read checkpoint: %w", err)
		}
		err = e.behind(tier.Name(), at.Sequence, reason, func() error {
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
