package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// errParked ends a session after an event was parked; the next goes on past it.
var errParked = fmt.Errorf("an event was parked: %w", ErrConflict)

// park finds the first event that the tier refuses, has it recorded on the log,
// and makes its subject wait. A kill between the two leaves a record, and the next
// attempt makes another; a kill after them, a parked event that the tier has not
// passed yet.
func (r *Runner) park(ctx context.Context, log *eventlog.Log, player Player, tier Live) error {
	culprit, reason, err := findRefused(ctx, log, player, tier)
	if err != nil || culprit == nil {
		return err
	}
	parked := ParkedSubject{culprit.Data.Subject(), culprit.Sequence, short(reason)}
	if err := RecordParking(ctx, log, "projector/"+tier.Name(), tier.Name(), "parked", parked); err != nil {
		return err
	}
	was, err := tier.Hold(ctx)
	if err != nil {
		return fmt.Errorf("%s: read hold: %w", tier.Name(), err)
	}
	parking, err := was.ReadParking()
	if err != nil {
		return err
	}
	parking.Parked = append(parking.Parked, parked)
	hold, err := was.WithParking(parking)
	if err != nil {
		return err
	}
	if err := tier.SetHold(ctx, was, hold); err != nil {
		return fmt.Errorf("%s: park event %d: %w", tier.Name(), culprit.Sequence, err)
	}
	r.Logger.Error("event parked: a human must act", "tier", tier.Name(), "sequence", culprit.Sequence,
		"subject", culprit.Data.Subject(), "error", reason, "next", "replay parked show --tier "+tier.Name())
	return errParked
}

// RecordParking puts on the log what is done about a parked subject: action is
// parked, retried or discarded. The time makes each a record of its own: an event
// may be parked again after a rollback, and for another reason.
func RecordParking(ctx context.Context, log *eventlog.Log, source, tier, action string, parked ParkedSubject) error {
	now := time.Now()
	record := &events.Event{
		ID:     fmt.Sprintf("%s-%s-%d-%d", action, tier, parked.From, now.UnixMilli()),
		Source: source,
		Time:   now,
		Data:   &events.TierParked{Tier: tier, Action: action, About: parked.Subject, Sequence: int64(parked.From), Reason: parked.Reason},
	}
	line, err := record.AppendJSON(nil)
	if err == nil {
		err = log.Publish(ctx, line)
	}
	if err != nil {
		return fmt.Errorf("record that event %d is %s: %w", parked.From, action, err)
	}
	return nil
}

// short cuts a reason to what an event may hold.
func short(reason error) string {
	text := []rune(reason.Error())
	return string(text[:min(len(text), 500)])
}

// findRefused brings the tier up to right before the first event that it
// refuses, by halving; nil when there is none any more.
func findRefused(ctx context.Context, log *eventlog.Log, player Player, tier Tier) (*events.Event, error, error) {
	info, err := log.Info(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("ask the log for its end: %w", err)
	}
	high, refusal := info.Last, error(nil)
	if until := player.Bound.UntilSequence; until > 0 {
		high = min(high, until)
	}
	for {
		at, err := tier.Checkpoint(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: read checkpoint: %w", tier.Name(), err)
		}
		if at.Sequence+1 >= high && refusal != nil {
			culprit, err := eventAt(ctx, log, player, at)
			return culprit, refusal, err
		}
		if at.Sequence >= high {
			return nil, nil, nil
		}
		middle := at.Sequence + max(1, (high-at.Sequence)/2)
		trial := player
		trial.Bound, trial.Pace, trial.Idle = Bound{UntilSequence: middle}, 0, nil
		switch _, err := play(ctx, log, trial, tier, at, false); {
		case errors.Is(err, ErrRefused):
			high, refusal = middle, err
		case err != nil:
			return nil, nil, err
		}
	}
}

// eventAt is the first event after a checkpoint.
func eventAt(ctx context.Context, log *eventlog.Log, player Player, at eventlog.Checkpoint) (*events.Event, error) {
	frame, err := frameAfter(ctx, log, at)
	if err != nil {
		return nil, fmt.Errorf("read event %d: %w", at.Sequence+1, err)
	}
	player.Only, player.Bound = nil, Bound{UntilSequence: at.Sequence + 1}
	chunk, _, err := player.admit(decode(frame, at.Sequence), at.Sequence)
	if err != nil {
		return nil, err
	}
	return chunk.events[0], nil
}
