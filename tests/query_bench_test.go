package tests

import (
	"bufio"
	"bytes"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
)

// What the read API is measured on: five years of bars of 5,000 stocks, ten
// years of trades and 100 positions of each of three accounts.
const (
	readStocks, readBars      = 5000, 1250
	readAccounts, readTrades  = 3, 300_000
	readPositions, readYears  = 100, 10
	readCalls, readBudget     = 2000, 2 * time.Minute
	readFirstYear             = 2016
	readTradesAYear           = readTrades / readAccounts / readYears
	readLine                  = `{"specversion":"1.0","id":"%s","source":"bench","type":"%s","time":"2026-10-30T10:00:00+08:00","data":%s}` + "\n"
	readStockBase, readPeriod = 600000, 20
)

func readStock(i int) string   { return fmt.Sprintf("%06d.SH", readStockBase+i) }
func readAccount(i int) string { return fmt.Sprintf("5500972%d", i) }
func readDays(n int) []time.Time { // the n last weekdays, the newest last
	zone := time.FixedZone("", 8*3600)
	var days []time.Time
	for day := time.Now().In(zone); len(days) < n; day = day.AddDate(0, 0, -1) {
		if day.Weekday() != time.Saturday && day.Weekday() != time.Sunday {
			days = append(days, day)
		}
	}
	slices.Reverse(days)
	return days
}

// readCall is one kind of read with what it must not exceed.
type readCall struct {
	name     string
	promised time.Duration
	path     func(random *rand.Rand, stocks int) string
}

var readCallsMade = []readCall{
	{"one position", time.Millisecond, func(r *rand.Rand, _ int) string {
		return fmt.Sprintf("/v1/accounts/%s/positions/%s", readAccount(r.IntN(readAccounts)), readStock(r.IntN(readPositions)))
	}},
	{"60 days of klines", 20 * time.Millisecond, func(r *rand.Rand, stocks int) string {
		return fmt.Sprintf("/v1/klines/%s?last=60", readStock(r.IntN(stocks)))
	}},
	{fmt.Sprintf("a year of an account's trades, %d at scale 1", readTradesAYear), 100 * time.Millisecond, func(r *rand.Rand, _ int) string {
		year := readFirstYear + r.IntN(readYears)
		return fmt.Sprintf("/v1/trades?account=%s&from=%d-01-01&to=%d-12-31&limit=100000", readAccount(r.IntN(readAccounts)), year, year)
	}},
	{"statistics over all accounts", 500 * time.Millisecond, func(*rand.Rand, int) string { return "/v1/statistics" }},
}

// BenchmarkReads measures reads over HTTP on full databases, and the same calls
// answered from files. TAPEDECK_BENCH_SCALE=0.05 TAPEDECK_BENCH_CALLS=100 are for
// a quick look.
func BenchmarkReads(b *testing.B) {
	setting := func(name string, otherwise float64) float64 {
		text := os.Getenv(name)
		if text == "" {
			return otherwise
		}
		value, err := strconv.ParseFloat(text, 64)
		require.NoError(b, err)
		return value
	}
	scale, calls := setting("TAPEDECK_BENCH_SCALE", 1), int(setting("TAPEDECK_BENCH_CALLS", readCalls))
	scaled := func(n int) int { return max(1, int(float64(n)*scale)) }
	d := newDeck(b)
	d.ingest.stop(b)
	d.ingest = startIngest(b, b.TempDir(), "--session-policy", "off")
	projectors := d.project(b)
	began := time.Now()
	fillReads(b, d.ingest, scaled(readStocks), scaled(readTrades))
	last := d.ingest.log(b).Last
	for _, p := range projectors {
		p.await(b, last, 15*time.Minute)
	}
	b.Logf("%d klines, %d trades, %d positions loaded in %s", scaled(readStocks)*readBars, scaled(readTrades), readAccounts*readPositions, time.Since(began).Round(time.Second))
	settled(b, d.named("clickhouse").url)
	c := d.console(b)
	// It reads the whole log when it starts, which takes both of a machine's cores,
	// and then compares all tiers with it.
	require.Eventually(b, func() bool {
		r, err := c.read("/v1/comparison")
		return err == nil && r.rest["checked_at"] != nil
	}, 10*time.Minute, 100*time.Millisecond)

	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\n\tpromised p99\tp50\tp99\tan empty answer\tp99\tfiles p50\tfiles p99\tcalls")
	for range b.N {
		for _, call := range readCallsMade {
			c.setPrimary(b, `{"positions": "auto", "records": "auto", "trades": "auto", "klines": "auto"}`)
			fast, empty := c.measure(b, call, scaled(readStocks), calls)
			c.setPrimary(b, `{"positions": "file", "records": "file", "trades": "file", "klines": "file"}`)
			slow, _ := c.measure(b, call, scaled(readStocks), calls)
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%d, %d\n", call.name, call.promised, at(fast, .5), at(fast, .99), at(empty, .5), at(empty, .99), at(slow, .5), at(slow, .99), len(fast), len(slow))
			b.ReportMetric(float64(at(fast, .99).Microseconds()), strings.ReplaceAll(strings.Split(call.name, ",")[0], " ", "-")+"-p99-us")
			b.ReportMetric(float64(at(fast, .99))/float64(at(empty, .99)), strings.ReplaceAll(strings.Split(call.name, ",")[0], " ", "-")+"-p99/empty")
		}
	}
	require.NoError(b, w.Flush())
}

// settled waits until ClickHouse has merged what the loading left it to merge:
// on a desk that was long ago.
func settled(b *testing.B, dsn string) {
	b.Helper()
	db, err := sql.Open("clickhouse", dsn)
	require.NoError(b, err)
	defer db.Close()
	began := time.Now()
	for idle := 0; idle < 5 && time.Since(began) < 5*time.Minute; time.Sleep(time.Second) {
		var merges uint64
		require.NoError(b, db.QueryRowContext(b.Context(), "SELECT count() FROM system.merges").Scan(&merges))
		if idle++; merges > 0 {
			idle = 0
		}
	}
	b.Logf("settled after %s", time.Since(began).Round(time.Second))
}

var answeredBy = regexp.MustCompile(`"tier":"(\w+)"`)

// measure times calls of one kind one after the other, and beside each an empty
// answer of the same server, which no answer can be faster than; within the
// budget, so that slow ones do not take the evening. Both are sorted by time.
//
// They go over one connection, and are read by the goroutine that asks:
// http.Client has two more goroutines a connection, and on two cores it is their
// waking up that is measured then.
func (c *console) measure(b *testing.B, call readCall, stocks, calls int) (took, empty []time.Duration) {
	conn, err := net.Dial("tcp", strings.TrimPrefix(c.url, "http://"))
	require.NoError(b, err)
	defer conn.Close()
	reader := bufio.NewReaderSize(conn, 64<<10)
	random := rand.New(rand.NewPCG(1, 2))
	tiers := make(map[string]int)
	var text bytes.Buffer
	ask := func(path string) time.Duration {
		text.Reset()
		asked := time.Now()
		_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\n", path, conn.RemoteAddr())
		require.NoError(b, err)
		answer, err := http.ReadResponse(reader, nil)
		require.NoError(b, err)
		_, err = text.ReadFrom(answer.Body)
		took := time.Since(asked)
		require.NoError(b, err)
		require.NoError(b, answer.Body.Close())
		require.Equal(b, http.StatusOK, answer.StatusCode, "%s: %.300s", path, text.String())
		return took
	}
	for began := time.Now(); len(took) < calls && time.Since(began) < readBudget; {
		took = append(took, ask(call.path(random, stocks)))
		tiers[answeredBy.FindStringSubmatch(text.String()[:min(text.Len(), 200)])[1]]++
		empty = append(empty, ask("/healthz"))
	}
	b.Logf("%s: answered by %v", call.name, tiers)
	slices.Sort(took)
	slices.Sort(empty)
	return took, empty
}

func at(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Round(10 * time.Microsecond)
}

// fillReads puts all of it on the log.
func fillReads(b *testing.B, in *ingest, stocks, trades int) {
	b.Helper()
	send := func(lines string) error {
		status, answer, err := in.send("application/x-ndjson", []byte(lines))
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %.500s", status, answer)
		}
		return err
	}
	var masters strings.Builder
	for a := range readAccounts {
		fmt.Fprintf(&masters, readLine, fmt.Sprint("a", a), "account.created.v1", fmt.Sprintf(`{"account_id":%q,"account_name":"n","broker":"QMT","initial_capital":"1000000.00"}`, readAccount(a)))
		for s := range readPositions {
			where := fmt.Sprintf(`"account_id":%q,"stock_code":%q`, readAccount(a), readStock(s))
			fmt.Fprintf(&masters, readLine, fmt.Sprint("p", a, "-", s), "position.held_days_set.v1", fmt.Sprintf(`{%s,"held_days":%d}`, where, s%readPeriod))
			fmt.Fprintf(&masters, readLine, fmt.Sprint("m", a, "-", s), "position.price_marked.v1", fmt.Sprintf(`{%s,"max_price":"12.%03d","min_price":"9.%03d"}`, where, s, s))
		}
	}
	require.NoError(b, send(masters.String()))

	days := readDays(readBars)
	parallel(b, stocks, 4, func(from, to int) error {
		random := rand.New(rand.NewPCG(uint64(from), 3))
		var lines strings.Builder
		for s := from; s < to; s++ {
			var bars []string
			price := 5000 + random.Int64N(50_000)
			for _, day := range days {
				price = max(1000, price+random.Int64N(201)-100)
				volume := 100 * (1000 + random.Int64N(100_000))
				bars = append(bars, fmt.Sprintf(`{"date":"%s","open":"%s","high":"%s","low":"%s","close":"%s","volume":%d,"amount":"%s"}`,
					day.Format(time.DateOnly), mills(price/10*10), mills((price+random.Int64N(300))/10*10+10), mills((price-random.Int64N(300))/10*10-10), mills(price/10*10), volume, cents(price*volume/10)))
			}
			fmt.Fprintf(&lines, readLine, fmt.Sprint("k", s), "kline.recorded.v1", fmt.Sprintf(`{"stock_code":%q,"bars":[%s]}`, readStock(s), strings.Join(bars, ",")))
		}
		return send(lines.String())
	})
	parallel(b, trades, 1000, func(from, to int) error {
		random := rand.New(rand.NewPCG(uint64(from), 4))
		var lines strings.Builder
		for i := from; i < to; i++ {
			order := []string{"buy_trade", "sell_trade"}[i/readAccounts%2]
			day := time.Date(readFirstYear, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, i*readYears*365/trades)
			fmt.Fprintf(&lines, readLine, fmt.Sprint("t", i), "trade.recorded.v1", fmt.Sprintf(
				`{"account_id":%q,"stock_code":%q,"stock_name":"浦发银行","order_type":%q,"price":"%s","volume":%d,"strategy_name":"问财选股","remark":"止盈卖出","traded_at":"%sT%02d:%02d:%02d+08:00","order_id":"%d"}`,
				readAccount(i%readAccounts), readStock(random.IntN(200)), order, mills(5000+random.Int64N(20_000)), 100*(1+random.IntN(50)),
				day.Format(time.DateOnly), 10+random.IntN(4), random.IntN(60), random.IntN(60), i))
		}
		return send(lines.String())
	})
}

// parallel cuts the numbers below n into pieces for four clients.
func parallel(b *testing.B, n, piece int, f func(from, to int) error) {
	b.Helper()
	var next atomic.Int64
	var clients errgroup.Group
	for range 4 {
		clients.Go(func() error {
			for {
				from := int(next.Add(int64(piece))) - piece
				if from >= n {
					return nil
				}
				if err := f(from, min(from+piece, n)); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(b, clients.Wait())
}
