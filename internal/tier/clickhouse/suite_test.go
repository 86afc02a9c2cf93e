package clickhouse_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/clickhouse"
)

func TestSuite(t *testing.T) {
	projectortest.Checks(t, 5)
	server := testserver.ClickHouse(t)
	projectortest.RunLive(t, projectortest.Harness{
		New:       wipedStore(t, server.URL()),
		Beside:    []func(testing.TB) func() (projector.Tier, error){wipedStore(t, inDatabase(server, "beside"))},
		History:   func(t *rapid.T) []*events.Event { return booktest.Histories(t, booktest.Options{Events: 20}) },
		Histories: 1000,
	})
}

// wipedStore is a Harness.New of a database.
func wipedStore(t *testing.T, dsn string) func(testing.TB) func() (projector.Tier, error) {
	open := func() (projector.Tier, error) {
		return clickhouse.Open(t.Context(), clickhouse.Options{DSN: dsn})
	}
	first, err := open()
	require.NoError(t, err)
	_, err = first.Checkpoint(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, first.Close()) })
	client := raw(t, dsn)
	// What a power cut would leave is not what the suite is about.
	tables := []string{"tapedeck_state", "tapedeck_trade", "tapedeck_daily_kline"}
	for _, table := range tables {
		require.NoError(t, client.Exec(t.Context(), "ALTER TABLE "+table+" MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0"))
	}
	stores := 0
	return func(t testing.TB) func() (projector.Tier, error) {
		// A state without places: no row belongs to anyone, and what begins anew
		// has a generation of its own. Truncating is dearer than all else that a
		// history costs.
		if stores++; stores%25 == 0 {
			for _, table := range tables {
				require.NoError(t, client.Exec(t.Context(), "TRUNCATE TABLE "+table))
			}
		}
		require.NoError(t, client.Exec(t.Context(), `INSERT INTO tapedeck_state (revision, nonce, state)
			SELECT max(revision) + 1, 'wiped', '{"schema":3}' FROM tapedeck_state`))
		return open
	}
}
