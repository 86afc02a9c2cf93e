package redis_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

// TestHoldBindsAProjectorAtWork: once SetHold returned, the projector comes to
// the hold and not further, whatever it had under way.
func TestHoldBindsAProjectorAtWork(t *testing.T) {
	server := testserver.Redis(t)
	steering, busy, ctx := open(t, server), open(t, server), t.Context()
	tape := steady(20_000, 5, 5)
	at := 0
	for round := range 10 {
		running, stopped := make(chan struct{}), make(chan error, 1)
		go func(from int) {
			for to := from + 1; ; to++ {
				if err := busy.Apply(ctx, projectortest.Batch(tape, to-1, to)); err != nil {
					stopped <- err
					return
				}
				if to == from+20 {
					close(running)
				}
			}
		}(at)
		<-running
		here, err := steering.Checkpoint(ctx)
		require.NoError(t, err)
		until := int(here.Sequence) + 40
		require.NoError(t, projectortest.PutHold(ctx, steering, projector.Hold{Until: uint64(until), Reason: "test"}))
		require.ErrorIs(t, <-stopped, projector.ErrHeld, round)
		requireFold(t, steering, tape, until)
		at = until
		require.NoError(t, projectortest.PutHold(ctx, steering, projector.Hold{}))
	}
}

// TestHoldIsNotForgotten: a tier that knew a hold learns that it changed, and
// that it is gone.
func TestHoldIsNotForgotten(t *testing.T) {
	server := testserver.Redis(t)
	steering, tier, ctx := open(t, server), open(t, server), t.Context()
	tape := steady(30, 2, 3)
	require.NoError(t, projectortest.PutHold(ctx, steering, projector.Hold{Until: 10, Reason: "first"}))
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 10)))
	err := tier.Apply(ctx, projectortest.Batch(tape, 10, 20))
	require.ErrorIs(t, err, projector.ErrHeld)
	require.ErrorContains(t, err, "redis: apply 11–20: it may not pass sequence 10 (first)")
	require.NoError(t, projectortest.PutHold(ctx, steering, projector.Hold{Until: 10, Reason: "second"}))
	require.ErrorContains(t, tier.Apply(ctx, projectortest.Batch(tape, 10, 20)), "(second)")
	require.NoError(t, projectortest.PutHold(ctx, steering, projector.Hold{}))
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 10, 20)))

	expires := time.Now().Add(200 * time.Millisecond)
	require.NoError(t, projectortest.PutHold(ctx, steering, projector.Hold{Until: 20, Reason: "for a while", Expires: expires}))
	require.ErrorIs(t, tier.Apply(ctx, projectortest.Batch(tape, 20, 30)), projector.ErrHeld)
	require.Eventually(t, func() bool { return tier.Apply(ctx, projectortest.Batch(tape, 20, 30)) == nil }, waitLong, tick)
	require.False(t, time.Now().Before(expires))
	requireFold(t, tier, tape, 30)

	require.NoError(t, raw(t, server).HSet(ctx, "tapedeck:checkpoint", "hold", "soon").Err())
	require.ErrorIs(t, tier.Apply(ctx, projector.Batch{From: projectortest.Checkpoint(30), To: projectortest.Checkpoint(31)}), projector.ErrRefused)
	_, err = tier.Hold(ctx)
	require.ErrorIs(t, err, projector.ErrRefused)
}

// TestHoldMakesNoForeignDataOurs: neither by the checkpoint that a hold on an
// empty tier leaves, nor where someone writes after it.
func TestHoldMakesNoForeignDataOurs(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	require.NoError(t, projectortest.PutHold(ctx, tier, projector.Hold{Until: 5, Reason: "test"}))
	require.NoError(t, client.HSet(ctx, "held_days:55009728", "600000.SH", "1").Err())
	late := open(t, server)
	_, err := late.Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrForeignData)
	require.ErrorIs(t, projectortest.PutHold(ctx, late, projector.Hold{}), projector.ErrForeignData)
	_, err = late.Dump(ctx, func(book.Row) error { return nil })
	require.ErrorIs(t, err, projector.ErrForeignData)
	tape := tapeOf(&events.PositionOpened{AccountID: "55009728", StockCode: "600001.SH"})
	require.ErrorIs(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 1)), projector.ErrForeignData)

	taker, err := redis.Open(ctx, redis.Options{URL: server.URL(), TakeOver: true})
	require.NoError(t, err)
	defer taker.Close()
	require.NoError(t, taker.Apply(ctx, projectortest.Batch(tape, 0, 1)))
	requireFold(t, taker, tape, 1)
}

// TestRepairWhatWasChangedByHand: the difference between what Dump shows and
// the fold, given to Repair, makes them equal.
func TestRepairWhatWasChangedByHand(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	tape := steady(60, 3, 5)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 60)))
	for _, damage := range []error{
		client.HSet(ctx, "held_days:account000", "600000.SH", "abc", "by/hand", "1", "a", "2").Err(),
		client.HDel(ctx, "held_days:account001", "600000.SH").Err(),
		client.Del(ctx, "max_prices:account001").Err(),
		client.SAdd(ctx, "tapedeck:empty", "x").Err(),
		client.Set(ctx, "min_prices:account002", "not a hash", 0).Err(),
		client.HSet(ctx, "min_prices:someone/else", "x", "1").Err(),
		client.Set(ctx, "max_prices:someone/else", "x", 0).Err(),
		client.HSet(ctx, "_inc_date:account000", "not", "a string").Err(),
		client.Set(ctx, "_inc_date:else", "soon", 0).Err(),
	} {
		require.NoError(t, damage)
	}
	want, got := foldRows(t, tape), dumpRows(t, tier)
	require.NotEqual(t, want, got)
	require.NoError(t, tier.Repair(ctx, projectortest.Checkpoint(60), difference(got, want)))
	requireFold(t, tier, tape, 60)
	require.Empty(t, client.Keys(ctx, "*else*").Val())
}

// difference is what turns one dump into another.
func difference(from, to []book.Row) []projector.Change {
	type place struct {
		kind book.Kind
		key  string
	}
	values := make(map[place]string)
	for _, row := range to {
		values[place{row.Kind, row.Key}] = row.Value
	}
	var changes []projector.Change
	for _, row := range from {
		if _, stays := values[place{row.Kind, row.Key}]; !stays {
			changes = append(changes, projector.Change{Kind: row.Kind, Key: row.Key})
		}
	}
	for at, value := range values {
		changes = append(changes, projector.Change{Kind: at.kind, Key: at.key, Value: &value})
	}
	return changes
}

func TestRepairIsAllOrNothing(t *testing.T) {
	server := testserver.Redis(t)
	tier, ctx := open(t, server), t.Context()
	tape := steady(30, 2, 3)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 30)))
	value := "9"
	good := projector.Change{Kind: book.KindHeldDays, Key: "account000/600000.SH", Value: &value}
	for name, bad := range map[string]projector.Change{
		"another tier's kind":   {Kind: book.KindTrade, Key: "1", Value: &value},
		"its removal":           {Kind: book.KindTrade, Key: "1"},
		"held days of no stock": {Kind: book.KindHeldDays, Key: "account000", Value: &value},
		"a date of a stock":     {Kind: book.KindIncDate, Key: "account000/600000.SH", Value: &value},
	} {
		require.ErrorContains(t, tier.Repair(ctx, projectortest.Checkpoint(30), []projector.Change{good, bad}), "redis: repair at 30: ", name)
	}
	require.ErrorIs(t, tier.Repair(ctx, projectortest.Checkpoint(29), []projector.Change{good}), projector.ErrConflict)
	requireFold(t, tier, tape, 30)

	require.NoError(t, raw(t, server).Set(ctx, "max_prices:account009", "not a hash", 0).Err())
	onString := projector.Change{Kind: book.KindMaxPrice, Key: "account009/600000.SH", Value: &value}
	before := dumpRows(t, tier)
	require.ErrorIs(t, tier.Repair(ctx, projectortest.Checkpoint(30), []projector.Change{good, onString}), projector.ErrRefused)
	require.Equal(t, before, dumpRows(t, tier))
}

// TestDumpBesideNewAccounts: every batch brings an account that was not there
// when the dump listed them; each dump is the fold at its checkpoint.
func TestDumpBesideNewAccounts(t *testing.T) {
	server := testserver.Redis(t)
	busy, tier := open(t, server), open(t, server)
	tape := steady(20_000, 20_000, 1)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var applied atomic.Int64
	stopped := make(chan error, 1)
	go func() {
		for to := 1; to <= len(tape) && ctx.Err() == nil; to++ {
			if err := busy.Apply(t.Context(), projectortest.Batch(tape, to-1, to)); err != nil {
				stopped <- err
				return
			}
			applied.Store(int64(to))
		}
		stopped <- nil
	}()
	require.Eventually(t, func() bool { return applied.Load() >= 20 }, waitLong, tick)
	moved := 0
	for range 20 {
		before := applied.Load()
		var rows []book.Row
		at, err := tier.Dump(t.Context(), func(r book.Row) error { rows = append(rows, r); return nil })
		require.NoError(t, err)
		require.Equal(t, foldRows(t, tape[:at.Sequence]), rows)
		if applied.Load() > before {
			moved++
		}
	}
	stop()
	require.NoError(t, <-stopped)
	require.Positive(t, moved, "nothing was applied during any dump")
}

// TestManyAccounts: far more than a trading desk has, dumped, promoted and
// swapped back. BenchmarkSteer measures it.
func TestManyAccounts(t *testing.T) {
	const accounts, stocks = 10_000, 1
	server := testserver.Redis(t)
	tier, ctx := open(t, server), t.Context()
	tape := steady(2*accounts*stocks, accounts, stocks)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, len(tape))))
	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, accounts)))
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
	requireFold(t, tier, tape, accounts)
	previous, err := tier.Previous(ctx)
	require.NoError(t, err)
	require.NoError(t, previous.Promote(ctx, projector.Hold{}))
	requireFold(t, tier, tape, len(tape))
}
