package tests

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// feedEvent is an event as a shell would send it.
func feedEvent(id, typ, data string) string {
	return fmt.Sprintf(`{"specversion":"1.0","id":%q,"source":"test","type":%q,"time":"2025-01-02T10:00:00+08:00","data":%s}`, id, typ, data)
}

func feedTrade(id, account string) string {
	return feedEvent(id, "trade.recorded.v1", fmt.Sprintf(
		`{"account_id":%q,"stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price":"8.300","volume":100,"traded_at":"2025-01-02T10:00:00+08:00"}`, account))
}

func feedConn(t testing.TB, url string) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// TestLiveFeed: what `nats req` and `nats sub` do from a shell. Who subscribed
// before an event was sent gets it, in log order, with its sequence; nothing is
// published when nobody listens; nobody else can publish there.
func TestLiveFeed(t *testing.T) {
	server := startIngest(t, t.TempDir())
	nc := feedConn(t, server.nats)
	request := func(lines ...string) {
		answer, err := nc.Request("ingest.v1.events", []byte(strings.Join(lines, "\n")), 10*time.Second)
		require.NoError(t, err)
		require.Equal(t, "application/json", answer.Header.Get("Content-Type"), "%s", answer.Data)
	}
	account := func(id string) string {
		return feedEvent("create-"+id, "account.created.v1", fmt.Sprintf(`{"account_id":%q,"account_name":"n","broker":"QMT","initial_capital":"1000.00"}`, id))
	}
	const odd = "a_B-9999"
	request(account("55009728"), account(odd), feedTrade("unheard", "55009728"))
	require.Zero(t, metric(t, server, "tapedeck_ingest_feed_events_total"), "nobody listened")

	one, err := nc.SubscribeSync("events.v1.trade.55009728")
	require.NoError(t, err)
	other := feedConn(t, server.nats)
	all, err := other.SubscribeSync("events.v1.>")
	require.NoError(t, err)
	klines, err := other.SubscribeSync("events.v1.kline.SH.*")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	require.NoError(t, other.Flush())

	request(feedTrade("mine", "55009728"), feedTrade("odd", odd),
		feedEvent("bars", "kline.recorded.v1", `{"stock_code":"600000.SH","bars":[{"date":"2025-01-02","open":"1","high":"1","low":"1","close":"1","volume":1,"amount":"1"}]}`))
	for i, want := range []string{"events.v1.trade.55009728", "events.v1.trade." + odd, "events.v1.kline.SH.600000"} {
		m, err := all.NextMsg(10 * time.Second)
		require.NoError(t, err)
		require.Equal(t, want, m.Subject)
		require.Equal(t, strconv.Itoa(4+i), m.Header.Get("Tapedeck-Sequence"))
	}
	m, err := one.NextMsg(10 * time.Second)
	require.NoError(t, err)
	require.Equal(t, `{"specversion":"1.0","id":"mine","source":"test","type":"trade.recorded.v1","subject":"account/55009728",`+
		`"time":"2025-01-02T10:00:00+08:00","data":{"account_id":"55009728","stock_code":"600000.SH","stock_name":"浦发银行",`+
		`"order_type":"buy_trade","price":"8.300","volume":100,"amount":"830.00","traded_at":"2025-01-02T10:00:00+08:00"}}`, string(m.Data), "as on the log")
	m, err = klines.NextMsg(10 * time.Second)
	require.NoError(t, err)
	require.Equal(t, "6", m.Header.Get("Tapedeck-Sequence"))

	// Fakes: published outright, and as what the door answers to.
	forger := feedConn(t, server.nats)
	require.NoError(t, forger.Publish("events.v1.trade.55009728", []byte("fake")))
	for _, subject := range []string{"ingest.v1.events", "tapedeck.log.head", "nobody.home"} {
		require.NoError(t, forger.PublishRequest(subject, "events.v1.trade.55009728", []byte("no event")))
	}
	require.NoError(t, forger.PublishRequest("tapedeck.log.DIRECT.GET.TAPE", "events.v1.trade.55009728", []byte(`{"seq":1}`)))
	require.NoError(t, forger.PublishRequest("tapedeck.log.STREAM.INFO.TAPE", "events.v1.trade.55009728", nil))
	require.NoError(t, forger.Flush())
	request(feedTrade("genuine", "55009728"))
	for _, sub := range []*nats.Subscription{one, all} {
		for {
			m, err := sub.NextMsg(10 * time.Second)
			require.NoError(t, err)
			if m.Header.Get("Tapedeck-Sequence") == "" {
				// The server's own answer to who asked for the log.
				require.True(t, m.Header.Get("Nats-Stream") == "TAPE" || m.Header.Get("Status") != "" || strings.Contains(string(m.Data), "stream_info_response"), "%v %s", m.Header, m.Data)
				continue
			}
			require.Equal(t, "7", m.Header.Get("Tapedeck-Sequence"))
			require.Contains(t, string(m.Data), `"id":"genuine"`)
			break
		}
	}

	// Thousands in order, and nothing more once the last listener has gone.
	var batch []string
	for i := range 3000 {
		batch = append(batch, feedTrade(fmt.Sprintf("n%d", i), "55009728"))
	}
	request(batch...)
	for i := range 3000 {
		m, err := one.NextMsg(10 * time.Second)
		require.NoError(t, err)
		require.Equal(t, strconv.Itoa(8+i), m.Header.Get("Tapedeck-Sequence"))
	}
	for _, sub := range []*nats.Subscription{one, all, klines} {
		require.NoError(t, sub.Unsubscribe())
	}
	require.NoError(t, nc.Flush())
	require.NoError(t, other.Flush())
	before := metric(t, server, "tapedeck_ingest_feed_events_total")
	require.Equal(t, 3004.0, before)
	request(feedTrade("late", "55009728"))
	require.Equal(t, before, metric(t, server, "tapedeck_ingest_feed_events_total"))
	require.Zero(t, server.stop(t))
}

// metric reads one plain metric of ingest's.
func metric(t testing.TB, server *ingest, name string) float64 {
	t.Helper()
	answer, err := http.Get(server.url + "/metrics")
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			fields := strings.Fields(rest)
			value, err := strconv.ParseFloat(fields[len(fields)-1], 64)
			require.NoError(t, err)
			return value
		}
	}
	t.Fatalf("ingest has no metric %s", name)
	return 0
}
