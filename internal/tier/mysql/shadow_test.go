package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	driver "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// TestReaderSeesOldOrNew polls while rebuilds take the tier's place: what one
// query joins is of one generation, and so is what one transaction reads.
func TestReaderSeesOldOrNew(t *testing.T) {
	const rounds = 6
	server := testserver.MariaDB(t, hasty)
	tier, tape, ctx := open(t, server), steady(400), t.Context()
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 6)))
	reading, stop := context.WithCancel(ctx)
	defer stop()
	var polls atomic.Int64
	failed := make(chan error, 1)
	go func() {
		defer close(failed)
		for db := raw(t, server); reading.Err() == nil; polls.Add(1) {
			var sequence, versions int
			err := db.QueryRowContext(ctx, "SELECT sequence, (SELECT COUNT(DISTINCT strategy_id, version) FROM strategy_param) FROM tapedeck_checkpoint").Scan(&sequence, &versions)
			if err == nil && savedIn(tape[:sequence]) != versions {
				err = fmt.Errorf("checkpoint %d, but %d versions", sequence, versions)
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	for round := range rounds {
		shadow, err := tier.Shadow(ctx, "test")
		require.NoError(t, err)
		require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, 50*(round+1))))
		require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
		require.Eventually(t, func() bool { return polls.Swap(0) > 0 || len(failed) > 0 }, waitLong, tick)
	}
	stop()
	require.NoError(t, <-failed)
	requireFold(t, tier, tape, 50*rounds)
}

// TestPromoteBesideABusyProjector: each Apply meanwhile is in the old contents
// as a whole or meets the new checkpoint.
func TestPromoteBesideABusyProjector(t *testing.T) {
	const step = 20
	server := testserver.MariaDB(t, hasty)
	tier, busy, tape, ctx := open(t, server), open(t, server), steady(4000), t.Context()
	for round := range 4 {
		shadow, err := tier.Shadow(ctx, "test")
		require.NoError(t, err)
		goal := 10 * (round + 1)
		require.NoError(t, shadow.Apply(ctx, projectortest.Batch(tape, 0, goal)))
		at, err := busy.Checkpoint(ctx)
		require.NoError(t, err)
		running, stopped, reached := make(chan struct{}), make(chan error, 1), int(at.Sequence)
		go func() {
			var transient *driver.MySQLError // deadlock or waiting for a lock: the runner tries again
			for n := 0; ; {
				err := busy.Apply(ctx, projectortest.Batch(tape, reached, reached+step))
				switch {
				case err == nil:
					reached += step
				case errors.Is(err, projector.ErrConflict):
					stopped <- nil
					return
				case errors.As(err, &transient) && (transient.Number == 1213 || transient.Number == 1205):
				default:
					stopped <- err
					return
				}
				if n++; n == 5 {
					close(running)
				}
			}
		}()
		<-running
		require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
		require.NoError(t, <-stopped)
		requireFold(t, tier, tape, goal)
		previous, err := tier.Previous(ctx)
		require.NoError(t, err)
		requireFold(t, previous, tape, reached)
	}
}

// TestTwoRebuildsAtOnce: the one begun later wins, the other is told.
func TestTwoRebuildsAtOnce(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, tape, ctx := open(t, server), small(), t.Context()
	first, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, first.Apply(ctx, projectortest.Batch(tape, 0, 9)))
	second, err := open(t, server).Shadow(ctx, "test")
	require.NoError(t, err)
	requireFold(t, second, tape, 9)
	require.ErrorIs(t, first.Apply(ctx, projectortest.Batch(tape, 9, 15)), projector.ErrConflict, "not into the other's shadow")
	_, err = first.Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrConflict)
	_, err = first.Dump(ctx, nil)
	require.ErrorIs(t, err, projector.ErrConflict)
	require.ErrorIs(t, first.Promote(ctx, projector.Hold{}), projector.ErrConflict)
	require.NoError(t, first.Discard(ctx), "drops nothing of the other's")
	require.NoError(t, second.Apply(ctx, projectortest.Batch(tape, 9, 25)))
	require.NoError(t, second.Promote(ctx, projector.Hold{}))
	require.ErrorIs(t, second.Promote(ctx, projector.Hold{}), projector.ErrConflict)
	require.NoError(t, second.Discard(ctx))
	requireFold(t, tier, tape, 25)
	require.Empty(t, column(t, raw(t, server), "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name LIKE 'tapedeck_shadow_%'"))
}

// TestDumpHoldsItsInstant: a batch that is applied while a dump is read is not
// in it, and a promotion waits for its end.
func TestDumpHoldsItsInstant(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, other, tape, ctx := open(t, server), open(t, server), small(), t.Context()
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 9)))
	shadow, err := other.Shadow(ctx, "test")
	require.NoError(t, err)
	promoted := make(chan error, 1)
	first := true
	var rows []book.Row
	at, err := tier.Dump(ctx, func(r book.Row) error {
		if first {
			first = false
			require.NoError(t, other.Apply(ctx, projectortest.Batch(tape, 9, 25)))
			go func() { promoted <- shadow.Promote(ctx, projector.Hold{}) }()
			select {
			case err := <-promoted:
				require.Fail(t, "promoted under a reader", "%v", err)
			case <-time.After(1500 * time.Millisecond): // longer than one of its tries
			}
		}
		rows = append(rows, r)
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, projectortest.Checkpoint(9), at)
	require.Equal(t, foldRows(t, tape[:9]), rows)
	require.NoError(t, <-promoted)
	requireFold(t, tier, tape, 0)
}

// TestShadowIsAsLive: tables made beside have the constraints of the live ones,
// among themselves, and are the live ones' equal when promoted, back and forth.
func TestShadowIsAsLive(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, db, ctx := open(t, server), raw(t, server), t.Context()
	_, err := tier.Checkpoint(ctx)
	require.NoError(t, err)
	before := layout(t, db)
	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	_, err = db.ExecContext(ctx, "INSERT INTO tapedeck_shadow_user_role (user_id, role_id) VALUES (1, 1)")
	require.ErrorContains(t, err, "`tapedeck_shadow_user` (`id`)")
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
	for range 2 {
		previous, err := tier.Previous(ctx)
		require.NoError(t, err)
		require.NoError(t, previous.Promote(ctx, projector.Hold{}))
	}
	previous, err := tier.Previous(ctx)
	require.NoError(t, err)
	require.NoError(t, previous.Discard(ctx))
	wipe(t, db)
	require.Equal(t, before, layout(t, db))
}
