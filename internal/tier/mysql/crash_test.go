package mysql_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
)

// eventually asks until a server that came back answers: pooled connections
// may still have to find out.
func eventually(t testing.TB, tier projector.Tier) eventlog.Checkpoint {
	t.Helper()
	var at eventlog.Checkpoint
	require.Eventually(t, func() bool {
		var err error
		at, err = tier.Checkpoint(t.Context())
		return err == nil
	}, waitLong, tick)
	return at
}

// TestServerKilledMidBatch kills the server while batches run: acknowledged
// batches are there, the one on the way wholly or not at all.
func TestServerKilledMidBatch(t *testing.T) {
	const step, rounds = 100, 6
	server := testserver.MariaDB(t)
	tape := steady(step * 300)
	tape = tape[:len(tape)/step*step]
	tier := open(t, server)
	at := 0
	for round := range rounds {
		acked := make(chan int, len(tape)/step)
		stopped := make(chan error, 1)
		go func(from int) {
			for to := from + step; to <= len(tape); to += step {
				if err := tier.Apply(t.Context(), projectortest.Batch(tape, to-step, to)); err != nil {
					stopped <- err
					return
				}
				acked <- to
			}
			stopped <- errors.New("the tape ended before the kill")
		}(at)
		for range 2 + round {
			at = <-acked
		}
		server.Kill()
		err := <-stopped
		require.NotErrorIs(t, err, projector.ErrConflict)
		require.NotErrorIs(t, err, projector.ErrRefused)
		for len(acked) > 0 {
			at = <-acked
		}
		server.Restart()
		found := eventually(t, tier)
		require.Contains(t, []eventlog.Checkpoint{projectortest.Checkpoint(at), projectortest.Checkpoint(at + step)}, found, "acknowledged is on disk")
		at = int(found.Sequence)
		requireFold(t, tier, tape, at)
	}
	db := raw(t, server)
	require.Equal(t, []string{fmt.Sprint(savedIn(tape[:at]))}, column(t, db, "SELECT COUNT(*) FROM (SELECT DISTINCT strategy_id, version FROM strategy_param) v"))
}

// TestCheckpointIsFinal: while a transaction that may still commit has the
// checkpoint in hand, as after an Apply that was cut off, nobody is told the old.
func TestCheckpointIsFinal(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, tape, ctx := open(t, server), small(), t.Context()
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 9)))
	tx, err := raw(t, server).BeginTx(ctx, nil)
	require.NoError(t, err)
	_, err = tx.ExecContext(ctx, "UPDATE tapedeck_checkpoint SET sequence = 15, chain = ?", projectortest.Checkpoint(15).Chain.String())
	require.NoError(t, err)
	type answer struct {
		at  eventlog.Checkpoint
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		at, err := tier.Checkpoint(ctx)
		answered <- answer{at, err}
	}()
	select {
	case got := <-answered:
		require.Fail(t, "answered too early", "%v", got)
	case <-time.After(300 * time.Millisecond):
	}
	require.NoError(t, tx.Commit())
	require.Equal(t, answer{at: projectortest.Checkpoint(15)}, <-answered)
}

// TestServerHangs: every method comes back with an error in finite time, and
// goes on when the server does.
func TestServerHangs(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, tape, ctx := open(t, server), small(), t.Context()
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 9)))
	server.Pause()
	began := time.Now()
	err := tier.Apply(ctx, projectortest.Batch(tape, 9, 15))
	require.Error(t, err)
	require.NotErrorIs(t, err, projector.ErrRefused)
	require.NotErrorIs(t, err, projector.ErrConflict)
	_, err = tier.Checkpoint(ctx)
	require.Error(t, err)
	_, err = mysql.Open(ctx, mysql.Options{DSN: server.URL()})
	require.Error(t, err)
	require.NotErrorIs(t, err, projector.ErrRefused)
	require.Less(t, time.Since(began), 25*time.Second)
	server.Resume()
	at := eventually(t, tier)
	require.Contains(t, []eventlog.Checkpoint{projectortest.Checkpoint(9), projectortest.Checkpoint(15)}, at)
	requireFold(t, tier, tape, int(at.Sequence))
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, int(at.Sequence), 25)))
	requireFold(t, tier, tape, 25)
}

// TestServerKilledWhilePromoting kills the server around a RENAME, again and
// again: live is one of the two, whole, and the rebuild can be finished.
func TestServerKilledWhilePromoting(t *testing.T) {
	const rounds = 6
	server := testserver.MariaDB(t)
	tape := small()
	require.NoError(t, open(t, server).Apply(t.Context(), projectortest.Batch(tape, 0, 25)))
	live := 25
	for round := range rounds {
		tier := open(t, server)
		want := 9 + 6*(round%2)
		plan := fmt.Sprint("plan ", round)
		shadow, err := tier.Shadow(t.Context(), plan)
		require.NoError(t, err)
		require.NoError(t, shadow.Apply(t.Context(), projectortest.Batch(tape, 0, want)))
		ctx, cancel := context.WithCancel(t.Context())
		promoted := make(chan error, 1)
		go func() { promoted <- shadow.Promote(ctx, projector.Hold{}) }()
		// The renames begin when the old previous tables are gone.
		db := raw(t, server)
		if round > 0 {
			require.Eventually(t, func() bool {
				var n int
				err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM information_schema.tables WHERE table_name LIKE 'tapedeck_previous_%'").Scan(&n)
				return err != nil || n < round%7 || len(promoted) > 0
			}, waitLong, time.Millisecond)
		}
		server.Kill()
		<-promoted
		cancel()
		server.Restart()
		again := open(t, server)
		at := eventually(t, again)
		require.Contains(t, []eventlog.Checkpoint{projectortest.Checkpoint(live), projectortest.Checkpoint(want)}, at)
		requireFold(t, again, tape, int(at.Sequence))
		if at != projectortest.Checkpoint(want) {
			rerun, err := again.Shadow(t.Context(), plan)
			require.NoError(t, err)
			requireFold(t, rerun, tape, want)
			require.NoError(t, rerun.Promote(t.Context(), projector.Hold{}))
		}
		live = want
		requireFold(t, again, tape, live)
		previous, err := again.Previous(t.Context())
		require.NoError(t, err)
		_, rows := dumpRows(t, previous)
		require.NotEmpty(t, rows)
	}
}

// TestSecrets: no error shows the password.
func TestSecrets(t *testing.T) {
	const secret = "s3cr3t"
	server := testserver.MariaDB(t, hasty)
	for _, dsn := range []string{
		"root:" + secret + "@tcp(127.0.0.1:1)/tapedeck",
		"root:" + secret + "@tcp(" + server.Addr() + ")/tapedeck",
		"root:" + secret + "@" + server.Addr() + "/tapedeck",
		"root:" + secret + "@tcp(" + server.Addr() + ")/",
		"root:" + secret + "@tcp(" + server.Addr() + ")/tapedeck?tls=" + secret,
		"mysql://root:" + secret + "@" + server.Addr() + "/tapedeck",
		"mysql://root:" + secret + "@" + server.Addr(),
		"mysql://root:%" + secret + "@" + server.Addr() + "/tapedeck",
		secret,
		"",
	} {
		_, err := mysql.Open(t.Context(), mysql.Options{DSN: dsn})
		require.Error(t, err, dsn)
		require.NotContains(t, err.Error(), secret)
	}
	for _, dsn := range []string{"", "x", "root@tcp(127.0.0.1:1)/", "mysql://127.0.0.1:1", "root@tcp(127.0.0.1:1/x"} {
		_, err := mysql.Open(t.Context(), mysql.Options{DSN: dsn})
		require.ErrorIs(t, err, projector.ErrRefused, dsn)
	}
}

// TestDSNForms: both forms lead to the same database, whatever is in names and
// passwords.
func TestDSNForms(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	exec(t, raw(t, server), "CREATE USER 'a:b' IDENTIFIED BY 'p@s/s:?w#'; GRANT ALL ON `new db`.* TO 'a:b'; CREATE USER plain IDENTIFIED BY 'p@s/s:?w#'; GRANT ALL ON `new db`.* TO plain")
	tape := small()
	url := "mysql://a%3Ab:p%40s%2Fs%3A%3Fw%23@" + server.Addr() + "/new%20db?connectionAttributes=program:tapedeck"
	tier := openDSN(t, mysql.Options{DSN: url})
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, 0, 9)), "the database is made, too")
	requireFold(t, openDSN(t, mysql.Options{DSN: "plain:p@s/s:?w#@tcp(" + server.Addr() + ")/new%20db"}), tape, 9)
	require.Equal(t, []string{"utf8mb4"}, column(t, raw(t, server), "SELECT default_character_set_name FROM information_schema.schemata WHERE schema_name = 'new db'"))
}
