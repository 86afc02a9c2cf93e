package projector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Runner keeps a tier up to date for ever: it waits for log and tier in any
// order, resumes from the tier's own checkpoint, retries what is transient and
// stops on what needs a human.
type Runner struct {
	// OpenLog and OpenTier are tried until they succeed.
	OpenLog  func(ctx context.Context) (*eventlog.Log, error)
	OpenTier func(ctx context.Context) (Tier, error)
	Logger   *slog.Logger
	State    *State
}

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 5 * time.Second
	// idleCheck is how often an idle projector looks whether its tier still
	// holds the checkpoint: a tier that lost its data is rebuilt unasked.
	idleCheck = time.Second
)

var errTierMoved = fmt.Errorf("tier's checkpoint moved while idle: %w", ErrConflict)

// Run returns nil when ctx ends, and an error only when retrying cannot help:
// a damaged log, a tier with foreign data, a refusal. A tier that lost its
// checkpoint together with its data is filled again from the first event.
func (r *Runner) Run(ctx context.Context) error {
	backoff := firstBackoff
	for ctx.Err() == nil {
		progressed, err := r.session(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the end was asked for, whatever err says
		}
		if isFatal(err) {
			r.State.stopped(err)
			return err
		}
		r.State.waiting(err)
		if progressed {
			backoff = firstBackoff
		}
		level := slog.LevelWarn
		if errors.Is(err, ErrConflict) {
			level = slog.LevelInfo
		}
		r.Logger.Log(ctx, level, "waiting to go on", "error", err, "retry_in", backoff)
		select {
		case <-time.After(backoff + rand.N(backoff)):
		case <-ctx.Done():
		}
		backoff = min(2*backoff, lastBackoff)
	}
	return nil
}

// isFatal tells errors that stay until a human acts.
func isFatal(err error) bool {
	var corrupt *eventlog.CorruptError
	return errors.As(err, &corrupt) || errors.Is(err, ErrForeignData) || errors.Is(err, ErrRefused)
}

// session opens log and tier and plays until something breaks.
func (r *Runner) session(ctx context.Context) (progressed bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	log, err := r.OpenLog(ctx)
	if err != nil {
		return false, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	tier, err := r.OpenTier(ctx)
	if err != nil {
		return false, fmt.Errorf("open tier: %w", err)
	}
	defer tier.Close()
	from, err := tier.Checkpoint(ctx)
	if err != nil {
		return false, fmt.Errorf("%s: read checkpoint: %w", tier.Name(), err)
	}
	frames, err := log.Read(ctx, from, eventlog.ReadOptions{Follow: true})
	if err != nil {
		return false, fmt.Errorf("read log after sequence %d: %w", from.Sequence, err)
	}
	defer frames.Close()
	r.State.started(from)
	r.Logger.Info("projecting", "tier", tier.Name(), "from_sequence", from.Sequence+1)
	go r.watchLog(ctx, log)

	player := Player{
		Observe:   r.State,
		IdleAfter: idleCheck,
		Idle: func(ctx context.Context, at eventlog.Checkpoint) error {
			now, err := tier.Checkpoint(ctx)
			if err != nil {
				return fmt.Errorf("%s: read checkpoint: %w", tier.Name(), err)
			}
			if now != at {
				return errTierMoved
			}
			return nil
		},
	}
	at, err := player.Play(ctx, frames, tier, from)
	return at != from, err
}

// watchLog keeps the log's end for the lag, also while the tier hangs.
func (r *Runner) watchLog(ctx context.Context, log *eventlog.Log) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if info, err := log.Info(ctx); err == nil {
			r.State.logEnd(info.Last)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}
