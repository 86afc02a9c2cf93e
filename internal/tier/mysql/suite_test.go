package mysql_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
)

func TestSuite(t *testing.T) {
	projectortest.Checks(t, 5)
	server := testserver.MariaDB(t, hasty)
	db := raw(t, server)
	_, err := open(t, server).Checkpoint(t.Context())
	require.NoError(t, err)
	projectortest.RunLive(t, projectortest.Harness{
		New: func(t testing.TB) func() (projector.Tier, error) {
			wipe(t, db)
			return func() (projector.Tier, error) {
				return mysql.Open(t.Context(), mysql.Options{DSN: server.URL()})
			}
		},
		History:   func(t *rapid.T) []*events.Event { return booktest.Histories(t, booktest.Options{Events: 30}) },
		Histories: 1000,
	})
}
