package tests

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/store"
	"github.com/seed-744e3d1b/tapedeck/store/storetest"
)

// TestStoreContract runs the contract of store.Store with every primary.
func TestStoreContract(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	d.project(t)
	c := d.console(t)
	publisher, err := events.NewPublisher(d.ingest.url)
	require.NoError(t, err)
	for _, data := range storetest.KlineEvents() {
		_, err := publisher.Publish(t.Context(), &events.Event{Source: "test", Time: time.Now(), Data: data})
		require.NoError(t, err)
	}
	require.NoError(t, publisher.Close(t.Context()))
	for _, q := range []string{"clickhouse", "file"} {
		projected(t, d.env(), q, d.ingest.log(t).Last)
	}

	backends := []struct {
		name, primary string
		// tiers are those that must have answered.
		tiers []string
	}{
		{"auto", `{"positions": "auto", "records": "auto", "trades": "auto", "klines": "auto"}`, []string{"redis", "mysql", "clickhouse"}},
		{"redis", `{"positions": "redis", "records": "memory", "trades": "memory", "klines": "file"}`, []string{"redis"}},
		{"mysql", `{"positions": "memory", "records": "mysql", "trades": "memory", "klines": "file"}`, []string{"mysql"}},
		{"clickhouse", `{"positions": "memory", "records": "memory", "trades": "clickhouse", "klines": "clickhouse"}`, []string{"clickhouse"}},
		{"file", `{"positions": "file", "records": "file", "trades": "file", "klines": "file"}`, []string{"file"}},
	}
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			c.setPrimary(t, b.primary)
			var mu sync.Mutex
			answered := make(map[string]int)
			storetest.Run(t, storetest.Harness{Open: func(t *testing.T, now storetest.Now) store.Store {
				s, err := store.Open(d.ingest.url, c.url, store.WithClock(now), store.WithPublisher(events.WithSessionPolicy("flag")),
					store.WithObserver(func(_ string, m store.Meta) {
						mu.Lock()
						defer mu.Unlock()
						answered[m.Tier]++
					}))
				require.NoError(t, err)
				return s
			}})
			t.Logf("answers by tier: %v", answered)
			for _, tier := range b.tiers {
				require.NotZero(t, answered[tier], "%s never answered: %v", tier, answered)
			}
		})
	}
}

func (c *console) setPrimary(t testing.TB, primary string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.url+"/v1/settings/primary", strings.NewReader(primary))
	require.NoError(t, err)
	request.Header.Set("Content-Type", "application/json")
	answer, err := c.client.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	require.Equal(t, http.StatusOK, answer.StatusCode)
}
