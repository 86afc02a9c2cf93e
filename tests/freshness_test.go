package tests

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

const (
	freshSeconds    = 60
	freshStrategies = 10
	freshRate       = 500 // events a second, of all strategies together
)

// freshTiers are the tiers with what freshness is promised of each, and how a
// reader sees an event: by a number that rises with the strategy's every event
// that the tier shows.
var freshTiers = []struct {
	name string
	goal time.Duration // p99
	// every is the time between two looks; it counts as latency.
	every time.Duration
	// event is the strategy's event with the number.
	event func(strategy string, number int) (kind, data string)
	// reader looks at the tier: the highest number visible, by strategy.
	reader func(t testing.TB, url string) func(ctx context.Context) (map[string]int, error)
}{
	{"redis", 20 * time.Millisecond, 2 * time.Millisecond, func(strategy string, number int) (string, string) {
		return "position.price_marked", fmt.Sprintf(`{"account_id":%q,"stock_code":"600000.SH","max_price":"%d.000"}`, strategy, number)
	}, readFreshRedis},
	{"mysql", 100 * time.Millisecond, 10 * time.Millisecond, func(strategy string, number int) (string, string) {
		return "account.capital_updated", fmt.Sprintf(`{"account_id":%q,"current_capital":"%d.00","total_assets":"%d.00"}`, strategy, number, number)
	}, readFreshMySQL},
	{"clickhouse", time.Second, 100 * time.Millisecond, func(strategy string, number int) (string, string) {
		return "trade.recorded", fmt.Sprintf(`{"account_id":%q,"stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price":"8.300","volume":%d,"traded_at":"2025-03-03T10:00:00+08:00"}`, strategy, number)
	}, readFreshClickHouse},
}

func readFreshRedis(t testing.TB, url string) func(ctx context.Context) (map[string]int, error) {
	options, err := goredis.ParseURL(url)
	require.NoError(t, err)
	client := goredis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return func(ctx context.Context) (map[string]int, error) {
		pipe := client.Pipeline()
		marks := map[string]*goredis.StringCmd{}
		for s := range freshStrategies {
			marks[strategyName(s)] = pipe.HGet(ctx, "max_prices:"+strategyName(s), "600000.SH")
		}
		_, _ = pipe.Exec(ctx) // a missing field is an error, too
		seen := map[string]int{}
		for strategy, mark := range marks {
			if price, err := mark.Float64(); err == nil {
				seen[strategy] = int(price)
			}
		}
		return seen, nil
	}
}

func readFreshMySQL(t testing.TB, dsn string) func(ctx context.Context) (map[string]int, error) {
	return readFreshSQL(t, "mysql", dsn, "SELECT account_id, CAST(current_capital AS SIGNED) FROM account")
}

func readFreshClickHouse(t testing.TB, dsn string) func(ctx context.Context) (map[string]int, error) {
	return readFreshSQL(t, "clickhouse", dsn, "SELECT account_id, max(volume) FROM trade GROUP BY account_id")
}

func readFreshSQL(t testing.TB, driver, dsn, query string) func(ctx context.Context) (map[string]int, error) {
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return func(ctx context.Context) (map[string]int, error) {
		rows, err := db.QueryContext(ctx, query)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		seen := map[string]int{}
		for rows.Next() {
			var strategy string
			var number int
			if err := rows.Scan(&strategy, &number); err != nil {
				return nil, err
			}
			seen[strategy] = number
		}
		return seen, rows.Err()
	}
}

func strategyName(n int) string { return fmt.Sprintf("fresh%03d", n) }

// freshness keeps, for one tier, when each event was sent, and how long each
// took to be visible.
type freshness struct {
	mu      sync.Mutex
	sent    map[string][]time.Time // by strategy; number n is at n-1
	visible map[string]int
	took    []time.Duration
}

func (f *freshness) send(strategy string) (number int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent[strategy] = append(f.sent[strategy], time.Now())
	return len(f.sent[strategy])
}

func (f *freshness) see(seen map[string]int, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for strategy, number := range seen {
		for n := f.visible[strategy]; n < min(number, len(f.sent[strategy])); n++ {
			f.took = append(f.took, at.Sub(f.sent[strategy][n]))
		}
		f.visible[strategy] = max(f.visible[strategy], min(number, len(f.sent[strategy])))
	}
}

func (f *freshness) acknowledge(took time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took = append(f.took, took)
}

// outstanding is how many events were sent and not seen.
func (f *freshness) outstanding() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for strategy, sent := range f.sent {
		n += len(sent) - f.visible[strategy]
	}
	return n
}

func (f *freshness) quantile(q float64) time.Duration {
	slices.Sort(f.took)
	return f.took[min(len(f.took)-1, int(q*float64(len(f.took))))]
}

// BenchmarkFreshness measures publish → visible: ten strategies send 500 events
// a second for a minute through ingest's HTTP door, alone and in small batches,
// all tiers follow, and readers look with plain queries until they see each
// event's effect. The clock runs from before the request until the look that saw
// it has its answer.
func BenchmarkFreshness(b *testing.B) {
	for range b.N {
		measureFreshness(b)
	}
}

func measureFreshness(b *testing.B) {
	d := newDeck(b)
	projectors := d.project(b)
	var accounts strings.Builder
	for s := range freshStrategies {
		fmt.Fprintf(&accounts, `{"specversion":"1.0","source":"test","type":"account.created.v1","time":"2025-03-03T09:00:00+08:00","data":{"account_id":%q,"account_name":"n","broker":"QMT","initial_capital":"0.01"}}`+"\n", strategyName(s))
	}
	status, answer := d.ingest.post(b, "application/x-ndjson", []byte(accounts.String()))
	require.Equal(b, 200, status, "%s", answer)
	for _, p := range projectors {
		p.calm(b)
	}

	looking, stop := context.WithCancel(context.Background())
	defer stop()
	all := make([]*freshness, len(freshTiers))
	acks := &freshness{}
	var readers, senders sync.WaitGroup
	failures := make(chan error, freshStrategies+len(freshTiers))
	for i, tier := range freshTiers {
		all[i] = &freshness{sent: map[string][]time.Time{}, visible: map[string]int{}}
		look := tier.reader(b, d.named(tier.name).url)
		readers.Go(func() {
			ticker := time.NewTicker(tier.every)
			defer ticker.Stop()
			for looking.Err() == nil {
				seen, err := look(looking)
				if err != nil && looking.Err() == nil {
					failures <- fmt.Errorf("%s: %w", tier.name, err)
					return
				}
				all[i].see(seen, time.Now())
				select {
				case <-ticker.C:
				case <-looking.Done():
				}
			}
		})
	}
	for s := range freshStrategies {
		senders.Go(func() {
			if err := sendFresh(d.ingest, strategyName(s), all, acks); err != nil {
				failures <- err
			}
		})
	}
	senders.Wait()
	for i, tier := range freshTiers {
		require.Eventually(b, func() bool { return all[i].outstanding() == 0 || len(failures) > 0 }, time.Minute, 10*time.Millisecond,
			"%s never showed %d events", tier.name, all[i].outstanding())
	}
	stop()
	readers.Wait()
	close(failures)
	for err := range failures {
		require.NoError(b, err)
	}
	reportFreshness(b, all, acks)
}

// sendFresh is one strategy: in turn a single event and a batch of four, each
// event for the next tier.
func sendFresh(in *ingest, strategy string, all []*freshness, acks *freshness) error {
	const perSecond = freshRate / freshStrategies
	began := time.Now()
	for sent, size := 0, 1; sent < perSecond*freshSeconds; size = 5 - size {
		var body strings.Builder
		for range size {
			i := sent % len(freshTiers)
			kind, data := freshTiers[i].event(strategy, all[i].send(strategy))
			fmt.Fprintf(&body, `{"specversion":"1.0","source":%q,"type":"%s.v1","time":"2025-03-03T10:00:00+08:00","data":%s}`+"\n", "strategy/"+strategy, kind, data)
			sent++
		}
		sentAt := time.Now()
		status, answer, err := in.send("application/x-ndjson", []byte(body.String()))
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d: %.300s", status, answer)
		}
		if err != nil {
			return err
		}
		acks.acknowledge(time.Since(sentAt))
		<-time.After(time.Until(began.Add(time.Duration(sent) * time.Second / perSecond)))
	}
	return nil
}

func reportFreshness(b *testing.B, all []*freshness, acks *freshness) {
	b.Helper()
	ms := func(f *freshness, q float64) float64 { return float64(f.quantile(q).Microseconds()) / 1000 }
	line := func(name string, f *freshness, goal string) {
		fmt.Printf("%-12s %10.1f %10.1f %10.1f %10d %12s\n", name, ms(f, 0.5), ms(f, 0.99), ms(f, 1), len(f.took), goal)
	}
	fmt.Printf("\npublish → visible, %d events/s for %d s:\n%-12s %10s %10s %10s %10s %12s\n", freshRate, freshSeconds,
		"", "p50 ms", "p99 ms", "max ms", "count", "goal p99 ms")
	line("acknowledged", acks, "")
	for i, tier := range freshTiers {
		line(tier.name, all[i], strconv.FormatInt(tier.goal.Milliseconds(), 10))
		b.ReportMetric(ms(all[i], 0.99), tier.name+"-p99-ms")
	}
}
