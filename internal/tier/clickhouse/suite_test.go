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
	server := testserver.ClickHouse(t)
	open := func() (projector.Tier, error) {
		return clickhouse.Open(t.Context(), clickhouse.Options{DSN: server.URL()})
	}
	first, err := open()
	require.NoError(t, err)
	_, err = first.Checkpoint(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, first.Close()) })
	client := raw(t, server.URL())
	projectortest.RunLive(t, projectortest.Harness{
		New: func(t testing.TB) func() (projector.Tier, error) {
			// Without a state no row belongs to anyone; the next one begins with
			// a generation of its own.
			require.NoError(t, client.Exec(t.Context(), "TRUNCATE TABLE tapedeck_state"))
			return open
		},
		History:   func(t *rapid.T) []*events.Event { return booktest.Histories(t, booktest.Options{}) },
		Histories: 1000,
	})
}
