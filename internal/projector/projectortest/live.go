package projectortest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

func (h Harness) shadowAndPromote(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		live := open().(projector.Live)
		half := rapid.IntRange(0, len(tp.batches)).Draw(t, "live is here")
		for _, b := range tp.batches[:half] {
			require.NoError(t, live.Apply(ctx, b))
		}
		before, err := live.Checkpoint(ctx)
		require.NoError(t, err)

		abandoned, err := live.Shadow(ctx, "abandoned")
		require.NoError(t, err)
		if len(tp.batches) > 0 {
			require.NoError(t, abandoned.Apply(ctx, tp.batches[0]))
		}
		require.NoError(t, abandoned.Close())

		shadow, err := live.Shadow(ctx, "whole")
		require.NoError(t, err)
		requireCheckpoint(ctx, t, shadow, eventlog.Checkpoint{})
		for _, b := range tp.batches {
			require.NoError(t, shadow.Apply(ctx, b))
			requireCheckpoint(ctx, t, live, before)
		}
		requireFold(ctx, t, shadow, tp.events)
		requireFold(ctx, t, live, tp.eventsUntil(before))
		require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
		require.NoError(t, shadow.Discard(ctx))
		require.NoError(t, shadow.Close())

		fresh := open()
		requireCheckpoint(ctx, t, fresh, tp.end())
		requireFold(ctx, t, fresh, tp.events)
		if half < len(tp.batches) {
			require.ErrorIs(t, live.Apply(ctx, tp.batches[half]), projector.ErrConflict, "the old projector is fenced")
		}
	})
}

// shadowResumes leaves a rebuild in the middle and goes on with it, once from a
// tier of its own, as a rerun after kill -9 does.
func (h Harness) shadowResumes(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		const plan = "until the end"
		half := rapid.IntRange(0, len(tp.batches)).Draw(t, "left after")
		first, err := open().(projector.Live).Shadow(ctx, plan)
		require.NoError(t, err)
		for _, b := range tp.batches[:half] {
			require.NoError(t, first.Apply(ctx, b))
		}
		reached, err := first.Checkpoint(ctx)
		require.NoError(t, err)

		live := open().(projector.Live)
		second, err := live.Shadow(ctx, plan)
		require.NoError(t, err)
		requireCheckpoint(ctx, t, second, reached)
		requireFold(ctx, t, second, tp.eventsUntil(reached))
		for _, b := range tp.batches[half:] {
			require.NoError(t, second.Apply(ctx, b))
		}
		require.NoError(t, second.Promote(ctx, projector.Hold{}))
		requireCheckpoint(ctx, t, live, tp.end())
		requireFold(ctx, t, live, tp.events)

		third, err := live.Shadow(ctx, plan)
		require.NoError(t, err)
		requireCheckpoint(ctx, t, third, eventlog.Checkpoint{})
		requireFold(ctx, t, third, nil)
		require.NoError(t, third.Discard(ctx))
	})
}

// swapBack promotes a prefix over the whole and takes it back.
func (h Harness) swapBack(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		live := open().(projector.Live)
		_, err := live.Previous(ctx)
		require.ErrorIs(t, err, projector.ErrNoPrevious)
		for _, b := range tp.batches {
			require.NoError(t, live.Apply(ctx, b))
		}
		half := rapid.IntRange(0, len(tp.batches)).Draw(t, "promoted")
		shadow, err := live.Shadow(ctx, "prefix")
		require.NoError(t, err)
		for _, b := range tp.batches[:half] {
			require.NoError(t, shadow.Apply(ctx, b))
		}
		prefix, err := shadow.Checkpoint(ctx)
		require.NoError(t, err)
		require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
		requireFold(ctx, t, live, tp.eventsUntil(prefix))

		for _, want := range []eventlog.Checkpoint{tp.end(), prefix, tp.end()} {
			previous, err := live.Previous(ctx)
			require.NoError(t, err)
			requireCheckpoint(ctx, t, previous, want)
			requireFold(ctx, t, previous, tp.eventsUntil(want))
			require.NoError(t, previous.Promote(ctx, projector.Hold{}))
			requireCheckpoint(ctx, t, live, want)
			requireFold(ctx, t, live, tp.eventsUntil(want))
		}
		previous, err := live.Previous(ctx)
		require.NoError(t, err)
		require.NoError(t, previous.Discard(ctx))
		_, err = open().(projector.Live).Previous(ctx)
		require.ErrorIs(t, err, projector.ErrNoPrevious)
		requireFold(ctx, t, live, tp.events)
	})
}

// hold sets holds here and there: what passes them is refused, also for a
// tier that was open before, and lets everything pass when released or expired.
func (h Harness) hold(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		worker, steering := open(), open().(projector.Live)
		for i, b := range tp.batches {
			at := b.From.Sequence
			hold := projector.Hold{Until: at, Reason: "测试 'quoted' \"hold\"", Bound: "until time x"}
			require.NoError(t, PutHold(ctx, steering, hold))
			got, err := worker.(projector.Live).Hold(ctx)
			require.NoError(t, err)
			require.Equal(t, hold, got)
			require.ErrorIs(t, worker.Apply(ctx, b), projector.ErrHeld)
			requireCheckpoint(ctx, t, worker, b.From)
			switch rapid.IntRange(0, 2).Draw(t, "way on") {
			case 0:
				require.NoError(t, PutHold(ctx, steering, projector.Hold{}))
			case 1:
				require.NoError(t, PutHold(ctx, steering, projector.Hold{Until: at, Reason: "over", Expires: time.Now().Add(-time.Second)}))
			case 2:
				require.NoError(t, PutHold(ctx, steering, projector.Hold{Until: b.To.Sequence, Reason: "later"}))
			}
			require.NoError(t, worker.Apply(ctx, b))
			if b.To.Sequence > 1 {
				require.ErrorIs(t, PutHold(ctx, steering, projector.Hold{Until: b.To.Sequence - 1, Reason: "too late"}), projector.ErrConflict)
			}
			stale := projector.Hold{Until: b.To.Sequence, Reason: "never there"}
			require.ErrorIs(t, steering.SetHold(ctx, stale, projector.Hold{}), projector.ErrConflict)
			if i%2 == 0 {
				require.NoError(t, PutHold(ctx, steering, projector.Hold{}))
			}
		}
		requireFold(ctx, t, worker, tp.events)

		shadow, err := steering.Shadow(ctx, "rollback")
		require.NoError(t, err)
		promoted := projector.Hold{Until: tp.end().Sequence, Reason: "rollback"}
		for _, b := range tp.batches {
			require.NoError(t, shadow.Apply(ctx, b))
		}
		require.NoError(t, shadow.Promote(ctx, promoted))
		got, err := open().(projector.Live).Hold(ctx)
		require.NoError(t, err)
		require.Equal(t, promoted, got)
		beyond := projector.Batch{From: tp.end(), To: tp.end()}
		beyond.To.Sequence++
		require.ErrorIs(t, open().Apply(ctx, beyond), projector.ErrHeld)
	})
}

// repair damages random rows by Repair itself and mends them again.
func (h Harness) repair(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		live := open().(projector.Live)
		for _, b := range tp.batches {
			require.NoError(t, live.Apply(ctx, b))
		}
		var rows []book.Row
		_, err := live.Dump(ctx, collect(&rows))
		require.NoError(t, err)
		var removals, changes []projector.Change
		for _, row := range rows {
			if rapid.Bool().Draw(t, "damage") && repairable(row) {
				removals = append(removals, projector.Change{Kind: row.Kind, Key: row.Key})
				changes = append(changes, projector.Change{Kind: row.Kind, Key: row.Key, Value: &row.Value})
			}
		}
		elsewhere := tp.end()
		elsewhere.Sequence++
		require.ErrorIs(t, live.Repair(ctx, elsewhere, removals), projector.ErrConflict)
		requireFold(ctx, t, live, tp.events)

		require.NoError(t, live.Repair(ctx, tp.end(), removals))
		var left []book.Row
		_, err = open().Dump(ctx, collect(&left))
		require.NoError(t, err)
		require.Len(t, left, len(rows)-len(removals))
		require.NoError(t, live.Repair(ctx, tp.end(), changes))
		requireCheckpoint(ctx, t, live, tp.end())
		requireFold(ctx, t, open(), tp.events)
	})
}

// repairable leaves out the rows that others need: a tier may keep constraints.
// Deals are numbered by their place, so only the last can be missing.
func repairable(row book.Row) bool {
	switch row.Kind {
	case book.KindAccount, book.KindStrategy, book.KindUser, book.KindDeal:
		return false
	}
	return true
}

// dumpWhileApplying dumps again and again while another goroutine applies: each
// dump is the fold at the checkpoint that it names.
func (h Harness) dumpWhileApplying(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		writer, reader := open(), open()
		type dump struct {
			at   eventlog.Checkpoint
			rows []book.Row
		}
		var dumps []dump
		var writeErr, readErr error
		done := make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() {
			defer close(done)
			writeErr = race(ctx, writer, tp)
		})
		wait.Go(func() {
			for last := false; !last && readErr == nil; {
				select {
				case <-done:
					last = true
				default:
				}
				var d dump
				d.at, readErr = reader.Dump(ctx, collect(&d.rows))
				dumps = append(dumps, d)
			}
		})
		wait.Wait()
		require.NoError(t, errors.Join(writeErr, readErr))
		for _, d := range dumps {
			requireRows(t, reader, tp.eventsUntil(d.at), d.rows)
		}
		require.Equal(t, tp.end(), dumps[len(dumps)-1].at)
	})
}

// PutHold replaces whatever hold lies on a tier.
func PutHold(ctx context.Context, tier projector.Live, hold projector.Hold) error {
	was, err := tier.Hold(ctx)
	if err != nil {
		return err
	}
	return tier.SetHold(ctx, was, hold)
}
