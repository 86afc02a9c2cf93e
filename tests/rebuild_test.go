package tests

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// climber is the account whose figures only ever rise.
const climber = "99990000"

// climb publishes events whose effect in every tier is a number that rises by
// one with each step, until stop is called; five steps a request.
func (d *deck) climb(t testing.TB, perSecond int) (stop func()) {
	t.Helper()
	send := func(lines ...string) error {
		status, answer, err := d.ingest.send("application/x-ndjson", []byte(strings.Join(lines, "\n")))
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d: %.500s", status, answer)
		}
		return err
	}
	event := func(id, kind, data string) string {
		return fmt.Sprintf(`{"specversion":"1.0","id":"climb-%s","source":"test","type":"%s.v1","time":"2025-03-03T10:00:00+08:00","data":{"account_id":"%s",%s}}`, id, kind, climber, data)
	}
	step := func(n int) []string {
		price := fmt.Sprintf("%d.000", n)
		return []string{
			event(fmt.Sprint("mark", n), "position.price_marked", `"stock_code":"600000.SH","max_price":"`+price+`"`),
			event(fmt.Sprint("capital", n), "account.capital_updated", fmt.Sprintf(`"total_assets":"%d.00"`, n)),
			event(fmt.Sprint("trade", n), "trade.recorded", `"stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price":"10.000","volume":100,"traded_at":"2025-03-03T10:00:00+08:00"`),
		}
	}
	require.NoError(t, send(append([]string{event("new", "account.created", `"account_name":"n","broker":"QMT","initial_capital":"1.00"`)}, step(1)...)...))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		const steps = 5
		ticker := time.NewTicker(time.Second * 3 * steps / time.Duration(perSecond))
		defer ticker.Stop()
		for n := 2; ; n += steps {
			select {
			case <-ticker.C:
			case <-ctx.Done():
				done <- nil
				return
			}
			var lines []string
			for i := range steps {
				lines = append(lines, step(n+i)...)
			}
			if err := send(lines...); err != nil {
				done <- err
				return
			}
		}
	}()
	return func() {
		cancel()
		require.NoError(t, <-done)
	}
}

// height opens a reader of how high the climber is in a tier, by plain means.
func (r *tier) height(t testing.TB) func() (int64, error) {
	t.Helper()
	whole := func(text string, err error) (int64, error) {
		if err != nil {
			return 0, err
		}
		text, _, _ = strings.Cut(text, ".")
		return strconv.ParseInt(text, 10, 64)
	}
	query := func(driver, query string) func() (int64, error) {
		db, err := sql.Open(driver, r.url)
		require.NoError(t, err)
		t.Cleanup(func() { db.Close() })
		return func() (int64, error) {
			var text string
			err := db.QueryRow(query).Scan(&text)
			return whole(text, err)
		}
	}
	switch r.name {
	case "redis":
		options, err := goredis.ParseURL(r.url)
		require.NoError(t, err)
		client := goredis.NewClient(options)
		t.Cleanup(func() { client.Close() })
		return func() (int64, error) {
			return whole(client.HGet(context.Background(), "max_prices:"+climber, "600000.SH").Result())
		}
	case "mysql":
		return query("mysql", "SELECT total_assets FROM account WHERE account_id = '"+climber+"'")
	case "clickhouse":
		return query("clickhouse", "SELECT toString(count()) FROM trade WHERE account_id = '"+climber+"'")
	default:
		path := filepath.Join(r.url, climber, "max_price.json")
		return func() (int64, error) {
			text, err := os.ReadFile(path)
			if err != nil {
				return 0, err
			}
			var prices map[string]json.Number
			if err := json.Unmarshal(text, &prices); err != nil {
				return 0, err
			}
			return whole(prices["600000.SH"].String(), nil)
		}
	}
}

// watch reads so many times a second until stop is called: no read may fail, find
// nothing, or find less than a read before.
func (r *tier) watch(t testing.TB, perSecond int) (stop func() (reads int64)) {
	t.Helper()
	read := r.height(t)
	require.Eventually(t, func() bool {
		height, err := read()
		return err == nil && height > 0
	}, time.Minute, 20*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	var reads atomic.Int64
	var failure error
	var wait sync.WaitGroup
	wait.Go(func() {
		ticker := time.NewTicker(time.Second / time.Duration(perSecond))
		defer ticker.Stop()
		for last := int64(1); ctx.Err() == nil; reads.Add(1) {
			height, err := read()
			if err == nil && height < last {
				err = fmt.Errorf("read %d after %d", height, last)
			}
			if err != nil {
				failure = errors.Join(failure, fmt.Errorf("%s: %w", r.name, err))
				return
			}
			last = height
			select {
			case <-ticker.C:
			case <-ctx.Done():
			}
		}
	})
	return func() int64 {
		cancel()
		wait.Wait()
		require.NoError(t, failure)
		return reads.Load()
	}
}

// TestRebuildUnderReaders rebuilds every tier, twice, swaps back once, and cuts,
// while 500 events a second arrive and readers ask without pause.
func TestRebuildUnderReaders(t *testing.T) {
	d := newDeck(t)
	m := newSeededMarket(newRandom(t))
	for range 10 {
		status, answer := d.ingest.post(t, "application/x-ndjson", m.next(1000))
		require.Equal(t, 200, status, "%s", answer)
	}
	projectors := d.project(t)
	stopClimb := d.climb(t, 500)
	var stops []func() int64
	for _, r := range d.tiers {
		stops = append(stops, r.watch(t, 250))
	}
	mustRun(t, d.env(), "replay", "rebuild", "--tier", "all")
	mustRun(t, d.env(), "replay", "rebuild", "--tier", "all")
	for range 3 {
		var cut struct {
			Sequence uint64 `json:"sequence"`
			Equal    bool   `json:"equal"`
			Tiers    []struct {
				Sequence uint64 `json:"sequence"`
				Digest   string `json:"digest"`
			} `json:"tiers"`
		}
		require.NoError(t, json.Unmarshal([]byte(lastLine(mustRun(t, d.env(), "replay", "cut", "--json"))), &cut))
		require.True(t, cut.Equal)
		require.Len(t, cut.Tiers, len(d.tiers))
		for _, c := range cut.Tiers {
			require.Equal(t, cut.Sequence, c.Sequence)
			require.Len(t, c.Digest, 64)
		}
	}
	for i, stop := range stops {
		reads := stop()
		require.Greater(t, reads, int64(200), d.tiers[i].name)
		t.Logf("%s: %d reads, none failed, empty or stale", d.tiers[i].name, reads)
	}
	// What was there before is older: only now may a reader see that.
	mustRun(t, d.env(), "replay", "rebuild", "--tier", "all", "--swap-back")
	stopClimb()
	last := d.ingest.log(t).Last
	for _, p := range projectors {
		projected(t, d.env(), p.tier.name, last)
	}
	mustRun(t, d.env(), "replay", "verify", "--tier", "all")
	mustRun(t, d.env(), "replay", "audit")
	alive(t, projectors)
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// leftovers are the names of what a rebuild left behind in a tier.
func (r *tier) leftovers(t testing.TB) (names []string) {
	t.Helper()
	list := func(driver, query string) {
		db, err := sql.Open(driver, r.url)
		require.NoError(t, err)
		defer db.Close()
		rows, err := db.Query(query)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			names = append(names, name)
		}
		require.NoError(t, rows.Err())
	}
	switch r.name {
	case "redis":
		options, err := goredis.ParseURL(r.url)
		require.NoError(t, err)
		client := goredis.NewClient(options)
		defer client.Close()
		names, err = client.Keys(t.Context(), "*shadow*").Result()
		require.NoError(t, err)
	case "mysql":
		list("mysql", "SELECT table_name FROM information_schema.tables WHERE table_schema = database() AND table_name LIKE '%shadow%'")
	case "clickhouse":
		list("clickhouse", "SELECT state FROM (SELECT state FROM tapedeck_state ORDER BY revision DESC LIMIT 1) WHERE JSONHas(state, 'shadow') AND JSONExtractRaw(state, 'shadow') != 'null'")
	default:
		if _, err := os.Stat(r.url + ".shadow"); err == nil {
			names = append(names, r.url+".shadow")
		}
	}
	return names
}

// TestRebuildKilled kills replay at random instants of rebuilds. The command run
// again ends right, goes on where one was killed, and leaves no shadow.
func TestRebuildKilled(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	d := newDeck(t)
	m := newSeededMarket(random)
	for range 20 {
		status, answer := d.ingest.post(t, "application/x-ndjson", m.next(1000))
		require.Equal(t, 200, status, "%s", answer)
	}
	projectors := d.project(t)
	d.settle(t, m, projectors...)
	for _, r := range d.tiers {
		began := time.Now()
		mustRun(t, d.env(), "replay", "rebuild", "--tier", r.name)
		whole := time.Since(began)
		for range 5 * torture(t) {
			cmd := exec.Command(filepath.Join(binaries, "replay"), "rebuild", "--tier", r.name)
			cmd.Env = append(os.Environ(), d.env()...)
			require.NoError(t, cmd.Start())
			anInstant(random, whole)
			_ = cmd.Process.Kill() // it may be done already
			_ = cmd.Wait()
		}
		mustRun(t, d.env(), "replay", "rebuild", "--tier", r.name)
		require.Empty(t, r.leftovers(t), r.name)
		mustRun(t, d.env(), "replay", "verify", "--tier", r.name)
	}
	status, answer := d.ingest.post(t, "application/x-ndjson", m.next(1000))
	require.Equal(t, 200, status, "%s", answer)
	d.settle(t, m, projectors...)
	alive(t, projectors)
}

// TestRollbackAndResume takes all tiers back to an instant of the sample year,
// which a fold of the test's own knows, while their projectors run; status says
// that they are held, and resume brings everything back to now. Then the same
// with a sequence.
func TestRollbackAndResume(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	var year []byte
	for _, account := range accounts(t) {
		body := yearEvents(t, account)
		status, answer := d.ingest.post(t, "application/x-ndjson", body)
		require.Equal(t, 200, status, "%.2000s", answer)
		year = append(year, body...)
	}
	projectors := d.project(t)
	last := d.ingest.log(t).Last
	holds := func(want *market, sequence uint64) {
		t.Helper()
		for _, r := range d.tiers {
			projected(t, d.env(), r.name, sequence)
			require.Equal(t, without0(r.want(want)), without0(r.look(t, r.url)), r.name)
		}
		mustRun(t, d.env(), "replay", "verify", "--tier", "all")
	}
	now := foldYear(t, year, func(int, time.Time) bool { return true })
	holds(now, last)

	june := time.Date(2025, 6, 30, 15, 0, 0, 0, time.FixedZone("", 8*3600))
	for name, c := range map[string]struct {
		flags []string
		want  *market
	}{
		"time":     {[]string{"--until-time", "2025-06-30 15:00"}, foldYear(t, year, func(_ int, at time.Time) bool { return !at.After(june) })},
		"sequence": {[]string{"--until-sequence", "3000"}, foldYear(t, year, func(n int, _ time.Time) bool { return n <= 3000 })},
	} {
		dry := mustRun(t, d.env(), "replay", append([]string{"rollback", "--tier", "all", "--dry-run"}, c.flags...)...)
		require.Contains(t, dry, "nothing was changed")
		holds(now, last)

		mustRun(t, d.env(), "replay", append([]string{"rollback", "--tier", "all"}, c.flags...)...)
		more := fmt.Sprintf(`{"specversion":"1.0","id":"after-%s","source":"test","type":"position.opened.v1","time":"2025-12-31T10:00:00+08:00","data":{"account_id":"%s","stock_code":"688981.SH"}}`, name, accounts(t)[0])
		status, answer := d.ingest.post(t, "application/json", []byte(more))
		require.Equal(t, 200, status, "%s", answer)
		for _, r := range d.tiers {
			require.Equal(t, without0(r.want(c.want)), without0(r.look(t, r.url)), "%s, %s", r.name, name)
		}
		mustRun(t, d.env(), "replay", "verify", "--tier", "all")
		require.Equal(t, len(d.tiers), strings.Count(mustRun(t, d.env(), "replay", "status"), "held: rollback"))
		for _, p := range projectors {
			require.Eventually(t, func() bool {
				text, ready := p.readiness()
				return !ready && strings.Contains(text, "rollback")
			}, 20*time.Second, 50*time.Millisecond, "%s does not say that its tier is held", p.name)
		}
		_, stderr, code := run(t, d.env(), "replay", "rebuild", "--tier", "all")
		require.Equal(t, 2, code)
		require.Contains(t, stderr, "replay resume")

		mustRun(t, d.env(), "replay", "resume", "--tier", "all")
		now.accounts[0].held["688981.SH"] = 0
		last = d.ingest.log(t).Last
		holds(now, last)
	}
	alive(t, projectors)
}
