package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Runner keeps a tier up to date for ever: it waits for log and tier in any
// order, resumes from the tier's own checkpoint, retries what is transient and
// stops on what needs a human.
type Runner struct {
	// OpenLog and OpenTier are tried until they succeed.
	OpenLog  func(ctx context.Context) (*eventlog.Log, error)
	OpenTier func(ctx context.Context) (Live, error)
	// Pace and BatchRows are the Player's.
	Pace      time.Duration
	BatchRows int

	// Park makes an event that the tier refuses wait, with all later ones of
	// its subject, instead of stopping the projector.
	Park   bool
	Logger *slog.Logger
	State  *State

	wasHeld bool
}

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// idleCheck is how often an idle projector looks whether its tier still
	// holds the checkpoint: a tier that lost its data is rebuilt unasked. Looking
	// costs ClickHouse 10 ms, which whoever reads at that moment waits for.
	idleCheck = 2 * time.Second
	// holdCheck is how often a held tier is looked at.
	holdCheck = 100 * time.Millisecond
)

var errTierMoved = fmt.Errorf("tier's checkpoint or hold changed while idle: %w", ErrConflict)

// Run returns nil when ctx ends, and an error only when retrying cannot help:
// a damaged log, a tier with foreign data, a refusal. A tier that lost its
// checkpoint together with its data is filled again from the first event.
func (r *Runner) Run(ctx context.Context) error {
	var log *eventlog.Log
	err := r.retry(ctx, func() (_ bool, err error) {
		log, err = r.OpenLog(ctx)
		if err != nil {
			err = fmt.Errorf("open log: %w", err)
		}
		return false, err
	})
	if err != nil || log == nil {
		return err
	}
	defer log.Close()
	// Not bound to a session: the lag must show while the tier hangs or is gone.
	watching, stop := context.WithCancel(ctx)
	var watch sync.WaitGroup
	watch.Go(func() { r.watchLag(watching, log) })
	defer watch.Wait()
	defer stop()
	return r.retry(ctx, func() (bool, error) { return r.session(ctx, log) })
}

// retry tries until there is no error, ctx ends or a human must act. The wait
// between starts anew with progress.
func (r *Runner) retry(ctx context.Context, try func() (progressed bool, err error)) error {
	backoff := firstBackoff
	for ctx.Err() == nil {
		progressed, err := try()
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for, whatever err says
		}
		if err == nil {
			return nil
		}
		if isFatal(err) {
			r.State.stopped(err)
			return err
		}
		r.State.waiting(err)
		if progressed || errors.Is(err, ErrHeld) {
			backoff = firstBackoff
		}
		r.log(ctx, err, backoff)
		select {
		case <-time.After(backoff + rand.N(backoff)):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
	return nil
}

// log tells of a wait. A hold is told once, not at every look.
func (r *Runner) log(ctx context.Context, err error, backoff time.Duration) {
	held := errors.Is(err, ErrHeld)
	if held && r.wasHeld {
		return
	}
	r.wasHeld = held
	level := slog.LevelWarn
	if held || errors.Is(err, ErrConflict) {
		level = slog.LevelInfo
	}
	r.Logger.Log(ctx, level, "waiting to go on", "error", err, "retry_in", backoff)
}

// isFatal tells errors that stay until a human acts.
func isFatal(err error) bool {
	var corrupt *eventlog.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, ErrForeignData) || errors.Is(err, ErrRefused)
}

// session opens the tier and plays until something breaks or holds it.
func (r *Runner) session(ctx context.Context, log *eventlog.Log) (progressed bool, err error) {
	tier, err := r.OpenTier(ctx)
	if err != nil {
		return false, fmt.Errorf("open tier: %w", err)
	}
	defer tier.Close()
	from, hold, err := position(ctx, tier)
	if err != nil {
		return false, err
	}
	if hold.Stops(from.Sequence+1, time.Now()) {
		return false, r.stand(ctx, tier, from, hold)
	}
	parking, err := hold.ReadParking()
	if err != nil {
		return false, err
	}
	r.wasHeld = false
	r.State.started(from, len(parking.Parked))
	r.Logger.Info("projecting", "tier", tier.Name(), "from_sequence", from.Sequence+1)
	player := Player{
		// Up to a hold that lies ahead exactly; the next session waits there.
		Bound:     Bound{UntilSequence: hold.Until},
		Parking:   hold.Parking,
		Only:      func(e *events.Event) bool { return !parking.Excludes(e) },
		Pace:      r.Pace,
		BatchRows: r.BatchRows,
		Observe:   r.State,
		IdleAfter: idleCheck,
		Idle: func(ctx context.Context, at eventlog.Checkpoint) error {
			now, is, err := position(ctx, tier)
			if err == nil && (now != at || is != hold) {
				err = errTierMoved
			}
			return err
		},
	}
	at, err := play(ctx, log, player, tier, from, true)
	if r.Park && errors.Is(err, ErrRefused) {
		err = r.park(ctx, log, player, tier)
	}
	if err == nil {
		err = fmt.Errorf("%s: %w", tier.Name(), hold.Err())
	}
	return at != from, err
}

// stand waits while a hold keeps the tier where it is.
func (r *Runner) stand(ctx context.Context, tier Live, at eventlog.Checkpoint, hold Hold) error {
	held := fmt.Errorf("%s: %w", tier.Name(), hold.Err())
	r.State.waitingAt(at)
	r.State.waiting(held)
	r.log(ctx, held, 0)
	ticker := time.NewTicker(holdCheck)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		now, is, err := position(ctx, tier)
		if err != nil {
			return err
		}
		if now != at || is != hold {
			return errTierMoved
		}
	}
}

// play plays what the log holds after a checkpoint.
func play(ctx context.Context, log *eventlog.Log, player Player, tier Tier, from eventlog.Checkpoint, follow bool) (eventlog.Checkpoint, error) {
	frames, err := log.Read(ctx, from, eventlog.ReadOptions{Follow: follow})
	if err != nil {
		return from, fmt.Errorf("read log after sequence %d: %w", from.Sequence, err)
	}
	defer frames.Close()
	return player.Play(ctx, frames, tier, from)
}

// position is where a tier is and what holds it. An expired hold is none.
func position(ctx context.Context, tier Live) (eventlog.Checkpoint, Hold, error) {
	at, err := tier.Checkpoint(ctx)
	if err != nil {
		return at, Hold{}, fmt.Errorf("%s: read checkpoint: %w", tier.Name(), err)
	}
	hold, err := tier.Hold(ctx)
	if err != nil {
		return at, hold, fmt.Errorf("%s: read hold: %w", tier.Name(), err)
	}
	if hold.Expired(time.Now()) {
		hold = hold.Released()
	}
	return at, hold, nil
}
