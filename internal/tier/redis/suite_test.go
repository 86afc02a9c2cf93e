package redis_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

func TestSuite(t *testing.T) {
	server := testserver.Redis(t)
	client := raw(t, server)
	projectortest.RunLive(t, projectortest.Harness{
		New: func(t testing.TB) func() (projector.Tier, error) {
			require.NoError(t, client.FlushDB(t.Context()).Err())
			return func() (projector.Tier, error) {
				return redis.Open(t.Context(), redis.Options{URL: server.URL()})
			}
		},
		History:   func(t *rapid.T) []*events.Event { return booktest.Histories(t, booktest.Options{Wide: true}) },
		Histories: 1000,
	})
}
