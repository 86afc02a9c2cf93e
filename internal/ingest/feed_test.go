package ingest

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// BenchmarkFeed measures ingest without the live feed, with it and nobody
// listening, and with somebody, in one run.
func BenchmarkFeed(b *testing.B) {
	r := &rates{rate: make(map[string]float64), delay: make(map[string]time.Duration)}
	for _, c := range []struct{ name, feed, subject string }{
		{"off", FeedOff, ""}, {"nobody listens", FeedAuto, ""}, {"somebody listens", FeedAuto, "events.v1.>"},
		{"off again", FeedOff, ""}, {"nobody again", FeedAuto, ""},
	} {
		s := start(b, b.TempDir(), func(c2 *Config) { c2.LiveFeed = c.feed })
		register(b, s)
		if c.subject != "" {
			nc, err := nats.Connect(s.NATSURL())
			require.NoError(b, err)
			b.Cleanup(nc.Close)
			_, err = nc.Subscribe(c.subject, func(*nats.Msg) {})
			require.NoError(b, err)
			require.NoError(b, nc.Flush())
		}
		r.measure(b, c.name, 8, 1000, publisher(s, 8, 1000))
	}
}

// TestFeedDropsRatherThanWaits: a feed that cannot keep up loses frames, counts
// their events, and holds nobody up.
func TestFeedDropsRatherThanWaits(t *testing.T) {
	m := newMetrics()
	f := &feed{frames: make(chan feedFrame, 2), metrics: m, listened: func() bool { return true }}
	for i := range 5 {
		f.offer(feedFrame{first: uint64(10*i + 1), count: 10, payload: f.copyOf([]byte("x\n"))})
	}
	require.Len(t, f.frames, 2)
	require.Equal(t, uint64(1), (<-f.frames).first, "the oldest are kept: order, not freshness")
	families, err := m.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() == "tapedeck_ingest_feed_dropped_total" {
			require.Equal(t, 30.0, family.GetMetric()[0].GetCounter().GetValue())
			return
		}
	}
	t.Fatal("no metric of drops")
}

// TestFeedSubjects: every kind's subject is made of plain tokens.
func TestFeedSubjects(t *testing.T) {
	for data, want := range map[events.Data]string{
		&events.TradeRecorded{AccountID: "189ca421-49db-11ef-9fa8-00163e022aa6"}: "events.v1.trade.189ca421-49db-11ef-9fa8-00163e022aa6",
		&events.PositionClosed{AccountID: "a_b-123", StockCode: "600000.SH"}:     "events.v1.position.a_b-123",
		&events.CapitalUpdated{AccountID: "55009728"}:                            "events.v1.account.55009728",
		&events.StrategyBound{AccountID: "55009728", StrategyCode: "wencai_v1"}:  "events.v1.strategy.wencai_v1",
		&events.ParamSaved{StrategyCode: "wencai_v1"}:                            "events.v1.param.wencai_v1",
		&events.KlineRecorded{StockCode: "600000.SH"}:                            "events.v1.kline.SH.600000",
		&events.RoleGranted{Username: "li"}:                                      "events.v1.role.li",
		&events.TierParked{Tier: "redis"}:                                        "events.v1.tier.redis",
	} {
		require.Equal(t, want, feedSubject(data))
	}
}
