package redis_test

import (
	"context"
	"fmt"
	"maps"
	"sync/atomic"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// TestReaderSeesOldOrNew polls the whole tier while rebuilds take its place.
func TestReaderSeesOldOrNew(t *testing.T) {
	const accounts, rounds = 50, 40
	server := testserver.Redis(t)
	tier, ctx := open(t, server), t.Context()
	// Generation g holds g in every field of every account, and another stock.
	tape := make([]*events.Event, 0, rounds*accounts)
	generation := func(g int) []*events.Event {
		for a := range accounts {
			tape = append(tape, &events.Event{Data: &events.PositionOpened{AccountID: fmt.Sprintf("account%03d", a), StockCode: fmt.Sprintf("6%05d.SH", g), HeldDays: int64(g)}})
		}
		return tape[len(tape)-accounts:]
	}
	require.NoError(t, tier.Apply(ctx, projector.Batch{To: projectortest.Checkpoint(1), Events: generation(1)}))

	var polls atomic.Int64
	reading, stop := context.WithCancel(ctx)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for client := raw(t, server); reading.Err() == nil; polls.Add(1) {
			if err := readGeneration(ctx, client, accounts); err != nil {
				failed <- err
				return
			}
		}
	}()
	for g := 2; g <= rounds; g++ {
		shadow, err := tier.Shadow(ctx, "test")
		require.NoError(t, err)
		require.NoError(t, shadow.Apply(ctx, projector.Batch{To: projectortest.Checkpoint(g), Events: generation(g)}))
		require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
		require.NoError(t, shadow.Discard(ctx))
		require.Eventually(t, func() bool { return polls.Swap(0) > 0 || reading.Err() != nil || len(failed) > 0 }, waitLong, tick)
	}
	stop()
	require.NoError(t, <-failed)
	at, err := tier.Checkpoint(ctx)
	require.NoError(t, err)
	require.Equal(t, projectortest.Checkpoint(rounds), at)
	keys, err := raw(t, server).DBSize(ctx).Result()
	require.NoError(t, err)
	require.EqualValues(t, 2*(accounts+2), keys, "nothing but the last two generations is left")
}

// readGeneration reads all accounts at one instant: all are of one generation,
// that of the checkpoint.
func readGeneration(ctx context.Context, client *goredis.Client, accounts int) error {
	var at *goredis.StringCmd
	held := make([]*goredis.MapStringStringCmd, accounts)
	_, err := client.TxPipelined(ctx, func(pipe goredis.Pipeliner) error {
		at = pipe.HGet(ctx, "tapedeck:checkpoint", "sequence")
		for a := range held {
			held[a] = pipe.HGetAll(ctx, fmt.Sprintf("held_days:account%03d", a))
		}
		return nil
	})
	if err != nil {
		return err
	}
	want := map[string]string{fmt.Sprintf("6%05s.SH", at.Val()): at.Val()}
	for a := range held {
		if !maps.Equal(want, held[a].Val()) {
			return fmt.Errorf("checkpoint %s, but account %d holds %v", at.Val(), a, held[a].Val())
		}
	}
	return nil
}

// TestPromoteDropsWhatTheLiveTierGotMeanwhile: accounts that came up after the
// shadow was begun go with the rest of the old contents, and so does what was
// put there by hand.
func TestPromoteDropsWhatTheLiveTierGotMeanwhile(t *testing.T) {
	server := testserver.Redis(t)
	tier, ctx := open(t, server), t.Context()
	tape := steady(30, 10, 3)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 5)))
	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, 3)))
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 5, 10)))
	require.NoError(t, raw(t, server).HSet(ctx, "min_prices:byhand", "600000.SH", "1").Err())
	requireFold(t, shadow, tape, 3)
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
	requireFold(t, tier, tape, 3)
	require.ErrorIs(t, tier.Apply(ctx, projectortest.Batch(tape, 10, 20)), projector.ErrConflict)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 3, 20)))
	requireFold(t, tier, tape, 20)
}

func TestPromoteTwiceAndDiscard(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	tape := steady(30, 2, 3)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 10)))

	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, 20)))
	require.NoError(t, shadow.Discard(ctx))
	require.Empty(t, client.Keys(ctx, "tapedeck:shadow:*").Val())
	require.ErrorIs(t, shadow.Promote(ctx, projector.Hold{}), projector.ErrConflict, "a discarded shadow must not empty the live tier")
	require.ErrorIs(t, shadow.Apply(ctx, projectortest.Batch(tape, 20, 30)), projector.ErrConflict)
	requireFold(t, tier, tape, 10)

	shadow, err = tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, 20)))
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
	require.ErrorIs(t, shadow.Promote(ctx, projector.Hold{}), projector.ErrConflict)
	require.NoError(t, shadow.Discard(ctx))
	requireFold(t, tier, tape, 20)
	require.Empty(t, client.Keys(ctx, "tapedeck:shadow:*").Val())

	shadow, err = tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}), "a rollback to before the first event")
	requireFold(t, tier, tape, 0)
}

// TestTwoRebuildsAtOnce: the one begun later wins, the other is told; under the
// same plan it goes on from what the other built.
func TestTwoRebuildsAtOnce(t *testing.T) {
	for plan, at := range map[string]int{"test": 10, "another": 0} {
		t.Run(plan, func(t *testing.T) {
			server := testserver.Redis(t)
			tier, ctx := open(t, server), t.Context()
			tape := steady(30, 2, 3)
			first, err := tier.Shadow(ctx, "test")
			require.NoError(t, err)
			require.NoError(t, first.Apply(ctx, projectortest.Batch(tape, 0, 10)))
			second, err := open(t, server).Shadow(ctx, plan)
			require.NoError(t, err)
			requireFold(t, second, tape, at)
			require.ErrorIs(t, first.Apply(ctx, projectortest.Batch(tape, at, 20)), projector.ErrConflict, "not into the other's shadow")
			require.NoError(t, second.Apply(ctx, projectortest.Batch(tape, at, 20)))
			_, err = first.Checkpoint(ctx)
			require.ErrorIs(t, err, projector.ErrConflict)
			_, err = first.Dump(ctx, func(book.Row) error { return nil })
			require.ErrorIs(t, err, projector.ErrConflict)
			require.ErrorIs(t, first.Promote(ctx, projector.Hold{}), projector.ErrConflict)
			require.NoError(t, first.Discard(ctx), "drops nothing of the other's")
			require.NoError(t, second.Promote(ctx, projector.Hold{}))
			requireFold(t, tier, tape, 20)
		})
	}
}

// TestAnotherPlanDropsWhatIsWrittenMeanwhile: a rebuild that goes on with new
// accounts while another plan takes its place leaves nothing in it.
func TestAnotherPlanDropsWhatIsWrittenMeanwhile(t *testing.T) {
	server := testserver.Redis(t)
	tier, ctx := open(t, server), t.Context()
	tape := steady(20_000, 20_000, 1)
	for round := range 10 {
		old, err := open(t, server).Shadow(ctx, fmt.Sprint("plan ", round))
		require.NoError(t, err)
		running, stopped := make(chan struct{}), make(chan error, 1)
		go func() {
			for to := 1; ; to++ {
				if err := old.Apply(ctx, projectortest.Batch(tape, to-1, to)); err != nil {
					stopped <- err
					return
				}
				if to == 20 {
					close(running)
				}
			}
		}()
		<-running
		shadow, err := tier.Shadow(ctx, "the next")
		require.NoError(t, err)
		require.ErrorIs(t, <-stopped, projector.ErrConflict)
		requireFold(t, shadow, tape, 0)
	}
}

// TestPreviousIsTheOneThatWasOpened: whoever holds previous contents that were
// promoted or replaced meanwhile can neither promote nor drop those of now.
func TestPreviousIsTheOneThatWasOpened(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	tape := steady(30, 2, 3)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 10)))
	require.NoError(t, client.HSet(ctx, "min_prices:byhand", "600000.SH", "1").Err())
	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, 20)))
	require.NoError(t, shadow.Promote(ctx, projector.Hold{Until: 20, Reason: "test"}))
	require.Zero(t, client.Exists(ctx, "min_prices:byhand").Val(), "it went with what it lay in")

	stale, err := tier.Previous(ctx)
	require.NoError(t, err)
	previous, err := open(t, server).Previous(ctx)
	require.NoError(t, err)
	require.NoError(t, previous.Promote(ctx, projector.Hold{}))
	require.Equal(t, "1", client.HGet(ctx, "min_prices:byhand", "600000.SH").Val())
	hold, err := tier.Hold(ctx)
	require.NoError(t, err)
	require.Zero(t, hold)

	require.ErrorIs(t, stale.Promote(ctx, projector.Hold{}), projector.ErrConflict)
	require.NoError(t, stale.Discard(ctx))
	require.NoError(t, previous.Discard(ctx))
	_, err = stale.Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrConflict)
	now, err := tier.Previous(ctx)
	require.NoError(t, err)
	requireFold(t, now, tape, 20)
	require.NoError(t, now.Discard(ctx))
	require.Empty(t, client.Keys(ctx, "tapedeck:previous:*").Val())
	require.Empty(t, client.Keys(ctx, "tapedeck:swap:*").Val())
}

// TestPromoteBesideABusyProjector: the live tier gets a new account with every
// batch, also between Promote's look around and its script.
func TestPromoteBesideABusyProjector(t *testing.T) {
	server := testserver.Redis(t)
	tier, busy, ctx := open(t, server), open(t, server), t.Context()
	tape := steady(20_000, 20_000, 1)
	for round := range 10 {
		require.NoError(t, raw(t, server).FlushDB(ctx).Err())
		shadow, err := tier.Shadow(ctx, "test")
		require.NoError(t, err)
		require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, round)))
		running, stopped := make(chan struct{}), make(chan error, 1)
		go func() {
			for to := 1; ; to++ {
				if err := busy.Apply(ctx, projectortest.Batch(tape, to-1, to)); err != nil {
					stopped <- err
					return
				}
				if to == 20 {
					close(running)
				}
			}
		}()
		<-running
		require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
		require.ErrorIs(t, <-stopped, projector.ErrConflict)
		requireFold(t, tier, tape, round)
	}
}
