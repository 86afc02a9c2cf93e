package clickhouse_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

const benchRows = 250_000

// BenchmarkApply holds batches against bare column-wise inserts of the same
// columns, made beforehand, in the same run: without the tags, without fsync,
// without the step.
func BenchmarkApply(b *testing.B) {
	server := testserver.ClickHouse(b)
	client := raw(b, server.URL())
	tier := open(b, server.URL(), false)
	_, err := tier.Checkpoint(b.Context())
	require.NoError(b, err)
	trades, klines := benchTrades(), benchKlines()
	reached := 0
	run := func(tape []*events.Event) func(*testing.B) {
		return func(b *testing.B) {
			for b.Loop() {
				require.NoError(b, tier.Apply(b.Context(), projector.Batch{From: at(reached), To: at(reached + 1), Events: tape}))
				reached++
			}
			report(b)
		}
	}
	b.Run("trades/tier", run(trades))
	b.Run("trades/raw", func(b *testing.B) { rawInserts(b, client, "trade", tradeColumns(trades)) })
	b.Run("klines/tier", run(klines))
	b.Run("klines/raw", func(b *testing.B) { rawInserts(b, client, "daily_kline", klineColumns(klines)) })
}

func report(b *testing.B) {
	b.ReportMetric(float64(b.N)*benchRows/b.Elapsed().Seconds(), "rows/s")
}

type column struct {
	name   string
	values any
}

func rawInserts(b *testing.B, client driver.Conn, table string, columns []column) {
	bare := "bare_" + table
	require.NoError(b, client.Exec(b.Context(), fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s AS tapedeck_%s", bare, table)))
	require.NoError(b, client.Exec(b.Context(), fmt.Sprintf("ALTER TABLE %s MODIFY SETTING fsync_after_insert = 0, fsync_part_directory = 0", bare)))
	query := "INSERT INTO " + bare + " ("
	for i, c := range columns {
		if i > 0 {
			query += ", "
		}
		query += c.name
	}
	for b.Loop() {
		batch, err := client.PrepareBatch(b.Context(), query+")")
		require.NoError(b, err)
		for i, c := range columns {
			require.NoError(b, batch.Column(i).Append(c.values))
		}
		require.NoError(b, batch.Send())
	}
	report(b)
}

func benchTrades() []*events.Event {
	random := rand.New(rand.NewPCG(2, 2))
	tape := make([]*events.Event, benchRows)
	for i := range tape {
		price := events.Price(5_000 + random.IntN(50_000))
		volume := int64(100 + 100*random.IntN(50))
		tape[i] = &events.Event{Sequence: uint64(i + 1), Data: &events.TradeRecorded{
			AccountID: fmt.Sprintf("account%d", i%20), StockCode: fmt.Sprintf("%06d.SH", 600000+random.IntN(3000)), StockName: "浦发银行",
			OrderType: events.BuyTrade, Price: price, Volume: volume, Amount: events.Money(int64(price) * volume / 10), StrategyName: "wencai",
			Remark: "买入", TradedAt: time.Date(2025, 3, 3, 9, 30, 0, i*40_000_000, events.Zone), OrderID: fmt.Sprint(i),
		}}
	}
	return tape
}

func benchKlines() []*events.Event {
	random := rand.New(rand.NewPCG(3, 3))
	tape := make([]*events.Event, benchRows/1250)
	for i := range tape {
		tape[i] = &events.Event{Sequence: uint64(i + 1), Data: walk(random, fmt.Sprintf("%06d.SH", 600000+i), 1250)}
	}
	return tape
}

func tradeColumns(tape []*events.Event) []column {
	var sequence, volume []uint64
	var at []time.Time
	var account, code, name, order, strategy, remark, id []string
	var price, amount []decimal.Decimal
	for _, e := range tape {
		d := e.Data.(*events.TradeRecorded)
		sequence, volume, at = append(sequence, e.Sequence), append(volume, uint64(d.Volume)), append(at, d.TradedAt)
		account, code, name = append(account, d.AccountID), append(code, d.StockCode), append(name, d.StockName)
		order, strategy = append(order, string(d.OrderType)), append(strategy, d.StrategyName)
		remark, id = append(remark, d.Remark), append(id, d.OrderID)
		price, amount = append(price, decimal.New(int64(d.Price), -3)), append(amount, decimal.New(int64(d.Amount), -2))
	}
	return []column{{"sequence", sequence}, {"timestamp", at}, {"account_id", account}, {"stock_code", code}, {"stock_name", name}, {"order_type", order},
		{"strategy_name", strategy}, {"price", price}, {"volume", volume}, {"amount", amount}, {"remark", remark}, {"order_id", id}}
}

func klineColumns(tape []*events.Event) []column {
	var volume []uint64
	var code []string
	var date []time.Time
	var prices [4][]decimal.Decimal
	var amount []decimal.Decimal
	for _, e := range tape {
		d := e.Data.(*events.KlineRecorded)
		for _, b := range d.Bars {
			code, date, volume = append(code, d.StockCode), append(date, b.Date.Time().Add(8*time.Hour).UTC()), append(volume, uint64(b.Volume))
			for i, p := range []events.Price{b.Open, b.High, b.Low, b.Close} {
				prices[i] = append(prices[i], decimal.New(int64(p), -3))
			}
			amount = append(amount, decimal.New(int64(b.Amount), -2))
		}
	}
	return []column{{"stock_code", code}, {"date", date}, {"open", prices[0]}, {"high", prices[1]}, {"low", prices[2]}, {"close", prices[3]}, {"volume", volume}, {"amount", amount}}
}
