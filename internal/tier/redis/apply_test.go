package redis_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

// TestEveryCutEqualsTheFold: however a history is cut into batches, coalescing
// changes nothing.
func TestEveryCutEqualsTheFold(t *testing.T) {
	server := testserver.Redis(t)
	tier, client := open(t, server), raw(t, server)
	rapid.Check(t, func(rt *rapid.T) {
		require.NoError(rt, client.FlushDB(t.Context()).Err())
		tape := wild(rt)
		for from := 0; from < len(tape); {
			to := rapid.IntRange(from+1, len(tape)).Draw(rt, "to")
			require.NoError(rt, tier.Apply(t.Context(), projectortest.Batch(tape, from, to)))
			from = to
		}
		requireFold(rt, tier, tape, len(tape))
	})
}

func TestKeysAreTheUsersOwn(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	highest, lowest := events.Price(8300), events.Price(7010)
	tape := tapeOf(
		&events.PositionOpened{AccountID: "55009728", StockCode: "600000.SH", HeldDays: 2},
		&events.PositionPriceMarked{AccountID: "55009728", StockCode: "600000.SH", MaxPrice: &highest, MinPrice: &lowest},
		&events.PositionDaysIncremented{AccountID: "55009728", Date: 20251010},
		&events.PositionClosed{AccountID: "55009728", StockCode: "600000.SH"},
	)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 3)))
	code := "600000.SH"
	require.Equal(t, map[string]string{code: "3"}, client.HGetAll(ctx, "held_days:55009728").Val())
	require.Equal(t, map[string]string{code: "8.300"}, client.HGetAll(ctx, "max_prices:55009728").Val())
	require.Equal(t, map[string]string{code: "7.010"}, client.HGetAll(ctx, "min_prices:55009728").Val())
	require.Equal(t, "2025-10-10", client.Get(ctx, "_inc_date:55009728").Val())

	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 3, 4)))
	require.ElementsMatch(t, []string{"_inc_date:55009728", "tapedeck:checkpoint", "tapedeck:accounts"}, client.Keys(ctx, "*").Val())
}

func TestLargeBatches(t *testing.T) {
	server := testserver.Redis(t)
	tier := open(t, server)
	for name, tape := range map[string][]*events.Event{
		"many stocks of one account": steady(60_000, 1, 20_000),
		"many accounts":              steady(60_000, 20_000, 1),
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, raw(t, server).FlushDB(t.Context()).Err())
			require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, 0, len(tape))))
			requireFold(t, tier, tape, len(tape))
		})
	}
	// An increment and a close reach all 20,000 stocks of one account.
	require.NoError(t, raw(t, server).FlushDB(t.Context()).Err())
	tape := steady(20_000, 1, 20_000)
	tape = append(tape, tapeOf(&events.PositionDaysIncremented{AccountID: "account000", Date: 20250102})...)
	for i := range 20_000 {
		tape = append(tape, tapeOf(&events.PositionClosed{AccountID: "account000", StockCode: fmt.Sprintf("%06d.SH", 600000+i)})...)
	}
	from := 0
	for _, to := range []int{20_000, 20_001, 40_001} {
		require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, from, to)))
		requireFold(t, tier, tape, to)
		from = to
	}
}

func TestConflict(t *testing.T) {
	server := testserver.Redis(t)
	first, second := open(t, server), open(t, server)
	tape := steady(30, 2, 3)
	require.NoError(t, first.Apply(t.Context(), projectortest.Batch(tape, 0, 10)))
	for name, b := range map[string]projector.Batch{
		"again":         projectortest.Batch(tape, 0, 10),
		"a gap":         projectortest.Batch(tape, 11, 20),
		"behind":        projectortest.Batch(tape, 9, 20),
		"another chain": {From: eventlog.Checkpoint{Sequence: 10}, To: projectortest.Checkpoint(20), Events: tape[10:20]},
		"empty":         {From: projectortest.Checkpoint(9), To: projectortest.Checkpoint(20)},
	} {
		require.ErrorIs(t, second.Apply(t.Context(), b), projector.ErrConflict, name)
	}
	requireFold(t, second, tape, 10)
	require.NoError(t, second.Apply(t.Context(), projectortest.Batch(tape, 10, 20)))
	require.NoError(t, second.Apply(t.Context(), projector.Batch{From: projectortest.Checkpoint(20), To: projectortest.Checkpoint(21)}))
	err := first.Apply(t.Context(), projectortest.Batch(tape, 10, 20))
	require.ErrorIs(t, err, projector.ErrConflict)
	require.ErrorContains(t, err, "redis: apply 11–20: the tier is at 21")
}

func TestFlushAllBetweenBatches(t *testing.T) {
	server := testserver.Redis(t)
	tier, client := open(t, server), raw(t, server)
	tape := steady(30, 2, 3)
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, 0, 10)))
	require.NoError(t, client.FlushAll(t.Context()).Err())
	require.ErrorIs(t, tier.Apply(t.Context(), projectortest.Batch(tape, 10, 20)), projector.ErrConflict)
	require.Empty(t, client.Keys(t.Context(), "*").Val(), "nothing was applied")
	requireFold(t, tier, tape, 0)
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, 0, 20)))
	requireFold(t, tier, tape, 20)
}

func TestForeignData(t *testing.T) {
	for _, key := range []string{"held_days:55009728", "max_prices:1", "min_prices:x", "_inc_date:55009728"} {
		t.Run(key, func(t *testing.T) {
			server := testserver.Redis(t)
			tier, client, ctx := open(t, server), raw(t, server), t.Context()
			at, err := tier.Checkpoint(ctx)
			require.NoError(t, err)
			require.Zero(t, at)
			require.NoError(t, client.Set(ctx, "held_days", "not ours", 0).Err())
			require.NoError(t, client.Set(ctx, key, "x", 0).Err())

			late := open(t, server)
			_, err = late.Checkpoint(ctx)
			require.ErrorIs(t, err, projector.ErrForeignData)
			require.ErrorContains(t, err, key)
			require.ErrorContains(t, err, "--take-over")
			_, err = late.Shadow(ctx, "test")
			require.ErrorIs(t, err, projector.ErrForeignData)

			tape := tapeOf(&events.PositionOpened{AccountID: "55009728", StockCode: "600000.SH"})
			if key[len(key)-1] == '8' { // the key of an account that the batch changes
				require.ErrorIs(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 1)), projector.ErrForeignData, "noticed although the look before found nothing")
				require.EqualValues(t, 2, client.DBSize(ctx).Val(), "nothing was applied")
			}

			taker, err := redis.Open(ctx, redis.Options{URL: server.URL(), TakeOver: true})
			require.NoError(t, err)
			defer taker.Close()
			at, err = taker.Checkpoint(ctx)
			require.NoError(t, err)
			require.Zero(t, at)
			require.Equal(t, "x", client.Get(ctx, key).Val(), "still there until something takes its place")
			require.NoError(t, taker.Apply(ctx, projectortest.Batch(tape, 0, 1)))
			requireFold(t, taker, tape, 1)
			require.Equal(t, "not ours", client.Get(ctx, "held_days").Val())
		})
	}
}

func TestTakeOverLeavesOwnDataAlone(t *testing.T) {
	server := testserver.Redis(t)
	tape := steady(30, 2, 3)
	require.NoError(t, open(t, server).Apply(t.Context(), projectortest.Batch(tape, 0, 10)))
	taker, err := redis.Open(t.Context(), redis.Options{URL: server.URL(), TakeOver: true})
	require.NoError(t, err)
	defer taker.Close()
	require.ErrorIs(t, taker.Apply(t.Context(), projectortest.Batch(tape, 0, 5)), projector.ErrConflict)
	requireFold(t, taker, tape, 10)
}

// TestChangedByHand: what the script cannot go on from is refused before
// anything is written, dumped as it is, and repaired by a rebuild.
func TestChangedByHand(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	tape := tapeOf(
		&events.PositionOpened{AccountID: "55009728", StockCode: "600000.SH", HeldDays: 2},
		&events.PositionDaysIncremented{AccountID: "55009728", Date: 20251010},
		&events.PositionOpened{AccountID: "55009729", StockCode: "600000.SH"},
		&events.PositionDaysIncremented{AccountID: "55009728", Date: 20251011},
	)
	for name, c := range map[string]struct {
		damage func() error
		dumped book.Row
	}{
		"held days": {func() error { return client.HSet(ctx, "held_days:55009728", "600000.SH", "abc").Err() },
			book.Row{Kind: book.KindHeldDays, Key: "55009728/600000.SH", Value: "abc"}},
		"increment date": {func() error { return client.Set(ctx, "_inc_date:55009728", "soon", 0).Err() },
			book.Row{Kind: book.KindIncDate, Key: "55009728", Value: "soon"}},
		"another type": {func() error { return client.SAdd(ctx, "max_prices:55009728", "600000.SH").Err() },
			book.Row{Kind: book.KindMaxPrice, Key: "55009728", Value: "(a Redis key of another type)"}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, client.FlushDB(ctx).Err())
			require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 2)))
			require.NoError(t, c.damage())
			err := tier.Apply(ctx, projectortest.Batch(tape, 2, 4))
			require.ErrorIs(t, err, projector.ErrRefused)
			require.ErrorContains(t, err, ":55009728")
			at, err := tier.Checkpoint(ctx)
			require.NoError(t, err)
			require.Equal(t, projectortest.Checkpoint(2), at)
			require.Zero(t, client.Exists(ctx, "held_days:55009729").Val(), "nothing of the batch was applied")

			var rows []book.Row
			_, err = tier.Dump(ctx, func(r book.Row) error { rows = append(rows, r); return nil })
			require.NoError(t, err)
			require.Contains(t, rows, c.dumped)

			shadow, err := tier.Shadow(ctx, "test")
			require.NoError(t, err)
			require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, 2)))
			require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
			requireFold(t, tier, tape, 2)
			require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 2, 4)))
			requireFold(t, tier, tape, 4)
		})
	}
}

func TestDamagedCheckpointIsRefused(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	tape := steady(30, 2, 3)
	for name, damage := range map[string]func() error{
		"sequence": func() error { return client.HSet(ctx, "tapedeck:checkpoint", "sequence", "-1").Err() },
		"chain":    func() error { return client.HSet(ctx, "tapedeck:checkpoint", "chain", "00").Err() },
		"schema":   func() error { return client.HDel(ctx, "tapedeck:checkpoint", "schema").Err() },
		"type":     func() error { return client.Set(ctx, "tapedeck:checkpoint", "10", 0).Err() },
	} {
		require.NoError(t, client.FlushDB(ctx).Err())
		require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 10)))
		require.NoError(t, damage())
		_, err := tier.Checkpoint(ctx)
		require.ErrorIs(t, err, projector.ErrRefused, name)
	}
}

func TestPasswordsStayOutOfErrors(t *testing.T) {
	server := testserver.Redis(t, testserver.RedisArgs("--requirepass", "geheim"))
	for _, url := range []string{
		"redis://user:s3cret@" + server.Addr() + "/0",
		"redis://user:s3cret@127.0.0.1:1/0",
		"redis://user:s3cret/x@127.0.0.1:1/0",
		"redis://user:s3cret%zz@127.0.0.1:1/0",
		"redis://user:s3cret@127.0.0.1:1/zero",
		"redis://user:s3cret@127.0.0.1:1/0?unknown=1",
		"user:s3cret@127.0.0.1:1",
		"http://user:s3cret@127.0.0.1:1",
	} {
		_, err := redis.Open(t.Context(), redis.Options{URL: url})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cret", url)
	}
	tier, err := redis.Open(t.Context(), redis.Options{URL: "redis://:geheim@" + server.Addr() + "/3"})
	require.NoError(t, err)
	require.NoError(t, tier.Close())
	require.NoError(t, tier.Close(), "closing twice")
}

// TestHangingServer: a server that does not answer is an error in finite time,
// and whatever it still does when it goes on is the whole batch or nothing.
func TestHangingServer(t *testing.T) {
	server := testserver.Redis(t)
	tier := open(t, server)
	tape := steady(30, 2, 3)
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, 0, 10)))
	server.Pause()
	begun := time.Now()
	err := tier.Apply(t.Context(), projectortest.Batch(tape, 10, 20))
	require.ErrorContains(t, err, "redis: apply 11–20: ")
	require.NotErrorIs(t, err, projector.ErrRefused)
	require.Less(t, time.Since(begun), 20*time.Second)
	server.Resume()
	at, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	if at == projectortest.Checkpoint(10) {
		if err := tier.Apply(t.Context(), projectortest.Batch(tape, 10, 20)); err != nil {
			require.ErrorIs(t, err, projector.ErrConflict, "the late one came first")
		}
	}
	requireFold(t, tier, tape, 20)
}
