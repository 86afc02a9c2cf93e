package clickhouse_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/clickhouse"
)

func open(t testing.TB, dsn string, takeOver bool) *clickhouse.Tier {
	t.Helper()
	tier, err := clickhouse.Open(t.Context(), clickhouse.Options{DSN: dsn, TakeOver: takeOver})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tier.Close()) })
	return tier
}

func at(sequence int) eventlog.Checkpoint {
	c := eventlog.Checkpoint{Sequence: uint64(sequence)}
	if sequence > 0 {
		c.Chain[0], c.Chain[31] = byte(sequence), 1
	}
	return c
}

func trade(sequence int) *events.Event {
	return &events.Event{Sequence: uint64(sequence), Data: &events.TradeRecorded{
		AccountID: fmt.Sprintf("account%d", sequence%3), StockCode: "600000.SH", StockName: "浦发银行", OrderType: events.SellTrade, PriceType: events.LimitPrice,
		Price: events.MaxUnscaled, Volume: events.MaxVolume, Amount: -events.MaxUnscaled, StrategyName: "问财", Remark: "备注 🚀 '\\\n\"`", OrderID: "no",
		TradedAt: time.Date(2200, 12, 31, 23, 59, 59, 999_999_000, events.Zone),
	}}
}

func kline(sequence int, days ...events.Date) *events.Event {
	d := &events.KlineRecorded{StockCode: "430047.BJ"}
	for _, day := range days {
		d.Bars = append(d.Bars, events.Bar{Date: day, Open: 1, High: events.MaxUnscaled, Low: 0, Close: events.Price(sequence), Volume: events.MaxVolume, Amount: events.MaxUnscaled})
	}
	return &events.Event{Sequence: uint64(sequence), Data: d}
}

func apply(t testing.TB, tier projector.Tier, tape []*events.Event, from, to int) {
	t.Helper()
	require.NoError(t, tier.Apply(t.Context(), projector.Batch{From: at(from), To: at(to), Events: tape[from:to]}))
}

func requireFold(t testing.TB, tier projector.Tier, tape []*events.Event, upto int) {
	t.Helper()
	folded := book.New(book.Keep{History: true})
	for _, e := range tape[:upto] {
		folded.Apply(e)
	}
	var want []book.Row
	require.NoError(t, folded.Rows(tier.Kinds(), func(r book.Row) error { want = append(want, r); return nil }))
	got, reached := dump(t, tier)
	require.Equal(t, at(upto), reached)
	require.Equal(t, want, got)
}

func dump(t testing.TB, tier projector.Tier) ([]book.Row, eventlog.Checkpoint) {
	t.Helper()
	var rows []book.Row
	reached, err := tier.Dump(t.Context(), func(r book.Row) error { rows = append(rows, r); return nil })
	require.NoError(t, err)
	return rows, reached
}

// edges is a tape of values at the edges, and of bars over more months than an insert may touch by default.
func edges() []*events.Event {
	tape := []*events.Event{trade(1), kline(2, 19000101, 22001231, 20240229), trade(3), kline(4, 20240229)}
	months := kline(5)
	for i := range 110 {
		months.Data.(*events.KlineRecorded).Bars = append(months.Data.(*events.KlineRecorded).Bars,
			events.Bar{Date: events.Date((2010+i/12)*10000 + (i%12+1)*100 + 15), Volume: int64(i)})
	}
	return append(tape, months)
}

// TestDoors writes through one protocol and reads through both.
func TestDoors(t *testing.T) {
	server := testserver.ClickHouse(t)
	tape := edges()
	native, web := open(t, server.URL(), false), open(t, server.HTTPURL(), false)
	_, err := native.Checkpoint(t.Context())
	require.NoError(t, err)
	apply(t, web, tape, 0, 2)
	apply(t, native, tape, 2, 4)
	apply(t, web, tape, 4, 5)
	for _, tier := range []*clickhouse.Tier{native, web} {
		requireFold(t, tier, tape, 5)
	}
	var date, stamp string
	require.NoError(t, raw(t, server.URL()).QueryRow(t.Context(), "SELECT DISTINCT toString(date), toString(timestamp) FROM trade WHERE date >= '2200-01-01'").Scan(&date, &stamp))
	require.Equal(t, "2200-12-31", date)
	require.Equal(t, "2200-12-31 23:59:59.999999", stamp)
}

func TestForeignTables(t *testing.T) {
	server := testserver.ClickHouse(t)
	client := raw(t, server.URL())
	require.NoError(t, client.Exec(t.Context(), "CREATE TABLE trade (timestamp DateTime) ENGINE = MergeTree ORDER BY timestamp"))
	require.NoError(t, client.Exec(t.Context(), "INSERT INTO trade VALUES (now())"))
	_, err := open(t, server.URL(), false).Checkpoint(t.Context())
	require.ErrorIs(t, err, projector.ErrForeignData)
	require.ErrorContains(t, err, "trade")

	taken := open(t, server.URL(), true)
	_, err = taken.Checkpoint(t.Context())
	require.NoError(t, err)
	apply(t, taken, edges(), 0, 4)
	requireFold(t, open(t, server.URL(), false), edges(), 4)
	var aside string
	require.NoError(t, client.QueryRow(t.Context(), "SELECT name FROM system.tables WHERE database = currentDatabase() AND name LIKE 'trade\\_before%'").Scan(&aside))
	var rows uint64
	require.NoError(t, client.QueryRow(t.Context(), "SELECT count() FROM "+aside).Scan(&rows))
	require.EqualValues(t, 1, rows, "what was there is kept")
}

// TestLostTables drops what the tier needs, one by one and all at once.
func TestLostTables(t *testing.T) {
	server := testserver.ClickHouse(t)
	client := raw(t, server.URL())
	tier := open(t, server.URL(), false)
	_, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	tape := edges()
	for statement, left := range map[string]int{
		"DROP TABLE trade": 4, "DROP TABLE daily_kline": 4, "DROP TABLE tapedeck_schema": 4,
		"DROP TABLE tapedeck_trade": 0, "DROP TABLE tapedeck_daily_kline": 0, "DROP TABLE tapedeck_state": 0,
		"TRUNCATE TABLE tapedeck_state": 0, "DROP DATABASE tapedeck": 0,
	} {
		reached, err := tier.Checkpoint(t.Context())
		require.NoError(t, err)
		if reached.Sequence == 0 {
			apply(t, tier, tape, 0, 4)
		}
		require.NoError(t, client.Exec(t.Context(), statement))
		reached, err = tier.Checkpoint(t.Context())
		require.NoError(t, err, statement)
		require.Equal(t, at(left), reached, statement)
		requireFold(t, tier, tape, left)
		var n uint64
		require.NoError(t, client.QueryRow(t.Context(), "SELECT count() FROM tapedeck.trade").Scan(&n))
	}
}

// TestKilledServer kills the server at random instants of applying, ten times.
func TestKilledServer(t *testing.T) {
	server := testserver.ClickHouse(t)
	tape := make([]*events.Event, 4000)
	for i := range tape {
		if tape[i] = trade(i + 1); i%5 == 0 {
			tape[i] = kline(i+1, events.Date(20250101+i%28), events.Date(20250201+i%28))
		}
	}
	const step = 50
	reached, kills := 0, 0
	for reached < len(tape) {
		killed := make(chan struct{})
		if kills < 10 {
			time.AfterFunc(time.Duration(kills*37)*time.Millisecond, func() {
				defer close(killed)
				server.Kill()
			})
		} else {
			close(killed)
		}
		kills++
		reached = applyUntilError(t, server, tape, reached, step)
		<-killed
		server.Restart()
		tier := open(t, server.URL(), false)
		now, err := tier.Checkpoint(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, int(now.Sequence), reached, "an acknowledged batch is lost")
		reached = int(now.Sequence)
		requireFold(t, tier, tape, reached)
		var n, unique uint64
		require.NoError(t, raw(t, server.URL()).QueryRow(t.Context(), "SELECT count(), uniqExact(sequence) FROM trade").Scan(&n, &unique))
		require.Equal(t, unique, n, "duplicates")
	}
	require.Greater(t, kills, 10)
}

// applyUntilError applies batches until the server is gone or the tape ends.
func applyUntilError(t *testing.T, server *testserver.Server, tape []*events.Event, from, step int) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	tier, err := clickhouse.Open(ctx, clickhouse.Options{DSN: server.URL()})
	if err != nil {
		return from
	}
	defer tier.Close()
	if _, err := tier.Checkpoint(ctx); err != nil {
		return from
	}
	for ; from < len(tape); from += step {
		if tier.Apply(ctx, projector.Batch{From: at(from), To: at(from + step), Events: tape[from : from+step]}) != nil {
			break
		}
	}
	return from
}

// TestHang freezes the server: every call ends with an error in finite time.
func TestHang(t *testing.T) {
	server := testserver.ClickHouse(t)
	tier := open(t, server.URL()+"?read_timeout=500ms", false)
	_, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	apply(t, tier, edges(), 0, 1)
	server.Pause()
	began := time.Now()
	require.Error(t, tier.Apply(t.Context(), projector.Batch{From: at(1), To: at(2), Events: edges()[1:2]}))
	_, err = tier.Checkpoint(t.Context())
	require.Error(t, err)
	require.Less(t, time.Since(began), 15*time.Second)
	server.Resume()
	require.Eventually(t, func() bool { _, err := tier.Checkpoint(t.Context()); return err == nil }, 20*time.Second, 50*time.Millisecond)
	requireFold(t, tier, edges(), 1)
}

// TestPasswordsStaySecret opens DSNs of every kind of wrong.
func TestPasswordsStaySecret(t *testing.T) {
	server := testserver.ClickHouse(t)
	address := server.Addr()
	for _, dsn := range []string{
		"clickhouse://default:s3cr%et@" + address + "/x", "clickhouse://default:s3cr:et@a b/x", "s3cret", "redis://u:s3cret@" + address,
		"clickhouse://default:s3cret@" + address + "/x", "http://default:s3cret@127.0.0.1:1/x", "clickhouse://u:s3cret@" + address + "/x?dial_timeout=s3cret",
	} {
		_, err := clickhouse.Open(t.Context(), clickhouse.Options{DSN: dsn})
		require.Error(t, err, dsn)
		for _, part := range []string{"s3cr", "cret"} {
			require.NotContains(t, err.Error(), part)
		}
		if !strings.Contains(dsn, "default:s3cret@"+address) && !strings.Contains(dsn, "127.0.0.1:1/") {
			require.ErrorIs(t, err, projector.ErrRefused, dsn)
		}
	}
}

// TestChangedByHand dumps what others left in the tables as what it is.
func TestChangedByHand(t *testing.T) {
	server := testserver.ClickHouse(t)
	tier := open(t, server.URL(), false)
	_, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	tape := edges()
	apply(t, tier, tape, 0, 4)
	want, _ := dump(t, tier)
	client := raw(t, server.URL())
	for _, statement := range []string{
		"ALTER TABLE tapedeck_trade UPDATE price = 1.5, order_type = 'gift' WHERE sequence = 1 SETTINGS mutations_sync = 2",
		"ALTER TABLE tapedeck_trade DELETE WHERE sequence = 3 SETTINGS mutations_sync = 2",
		"INSERT INTO tapedeck_daily_kline (generation, attempt, sequence, stock_code, date, close_milli) SELECT generation, attempt, 9, '600000.SH', '2025-01-02', 7 FROM tapedeck_daily_kline LIMIT 1",
	} {
		require.NoError(t, client.Exec(t.Context(), statement))
	}
	got, _ := dump(t, tier)
	require.Len(t, got, len(want), "one trade gone, one bar more")
	require.Contains(t, got[0].Value, `"gift"`)
	require.Contains(t, got[0].Value, `"1.500"`)

	var changes []projector.Change
	for _, row := range want {
		changes = append(changes, projector.Change{Kind: row.Kind, Key: row.Key, Value: &row.Value})
	}
	changes = append(changes, projector.Change{Kind: book.KindKline, Key: "600000.SH/2025-01-02"})
	require.NoError(t, tier.Repair(t.Context(), at(4), changes))
	requireFold(t, tier, tape, 4)
	require.ErrorIs(t, tier.Repair(t.Context(), at(4), []projector.Change{{Kind: book.KindAccount, Key: "x"}}), projector.ErrRefused)
	require.ErrorIs(t, tier.Repair(t.Context(), at(4), []projector.Change{{Kind: book.KindTrade, Key: "x"}}), projector.ErrRefused)
}
