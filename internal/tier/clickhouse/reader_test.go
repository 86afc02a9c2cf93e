package clickhouse

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// TestEmptiedUnderReader: a reader that tries the state it saw last, while
// someone empties the state, does not return rows as of sequence 0.
func TestEmptiedUnderReader(t *testing.T) {
	server := testserver.ClickHouse(t)
	tier := open(t, server)
	require.NoError(t, tier.Apply(t.Context(), batch(0, 6)))
	r, err := NewReader(server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	reads := map[string]func() (int, query.At, error){
		"trades": func() (int, query.At, error) {
			list, at, err := r.Trades(t.Context(), query.TradeFilter{})
			return len(list), at, err
		},
		"executions": func() (int, query.At, error) {
			list, at, err := r.Fills(t.Context(), query.TradeFilter{})
			return len(list), at, err
		},
		"klines": func() (int, query.At, error) {
			found, at, err := r.Klines(t.Context(), query.KlineQuery{Stocks: []string{"600000.SH"}})
			return len(found), at, err
		},
	}
	for name, read := range reads {
		n, at, err := read()
		require.NoError(t, err, name)
		require.NotZero(t, n, name)
		require.EqualValues(t, 6, at.Sequence, name)
	}
	seen := r.seen.Load()
	require.NoError(t, tier.store.conn.Exec(t.Context(), "TRUNCATE TABLE tapedeck_state"))
	for name, read := range reads {
		r.seen.Store(seen)
		n, at, err := read()
		require.NoError(t, err, name)
		require.Zero(t, n, name)
		require.Zero(t, at.Sequence, name)
	}
}

// TestMomentsOfAllYears: trades of every year that an event may name are read,
// in order, also beyond the 32 bits of a second and in the summers in which
// 'Asia/Shanghai' was UTC+9.
func TestMomentsOfAllYears(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	moments := []time.Time{
		time.Date(1990, 1, 1, 0, 0, 0, 0, events.Zone),
		time.Date(1991, 7, 1, 0, 0, 0, 0, events.Zone),
		time.Date(1991, 7, 1, 23, 30, 0, 0, events.Zone),
		time.Date(2025, 1, 2, 9, 30, 0, 0, events.Zone),
		time.Date(2106, 2, 7, 14, 28, 16, 999_999_000, events.Zone),
		time.Date(2106, 2, 7, 14, 28, 16, 0, events.Zone), // of the same second
		time.Date(2110, 1, 6, 10, 0, 0, 0, events.Zone),
		time.Date(2200, 12, 31, 23, 59, 59, 999_999_000, events.Zone),
	}
	b := projector.Batch{From: checkpoint(0), To: checkpoint(uint64(len(moments)))}
	for i, at := range moments {
		b.Events = append(b.Events, &events.Event{Sequence: uint64(i + 1), Data: &events.TradeRecorded{
			AccountID: "55009728", StockCode: "600000.SH", OrderType: events.BuyTrade, Price: 1, Volume: 100, Amount: 10, TradedAt: at,
		}})
	}
	require.NoError(t, tier.Apply(t.Context(), b))
	r := newReader(tier.store)
	days := []events.Date{0, 19000101, 19891231, 19900101, 19910630, 19910701, 19910702, 20250102, 20250103, 21060207, 21100106, 21100107, 22001231}
	for _, from := range days {
		for _, to := range days {
			f := query.TradeFilter{From: from, To: to}
			var want []query.Trade
			for i, e := range b.Events {
				if d := e.Data.(*events.TradeRecorded); f.Matches(d) {
					want = append(want, query.Trade{Sequence: uint64(i + 1), Whole: true, TradeRecorded: *d})
				}
			}
			fills := query.AppendFills(nil, want, query.TradeFilter{})
			slices.Reverse(want)
			got, _, err := r.Trades(t.Context(), f)
			require.NoError(t, err)
			require.Equal(t, want, got, "%+v", f)
			for _, strategy := range []string{"", "none"} { // kept fills, and those read each time
				f.Strategy = strategy
				all, _, err := r.Fills(t.Context(), f)
				require.NoError(t, err)
				if strategy != "" || len(fills) == 0 {
					require.Empty(t, all, "%+v", f)
					continue
				}
				require.Equal(t, fills, all[0].Fills, "%+v", f)
			}
		}
	}
	limited, _, err := r.Trades(t.Context(), query.TradeFilter{Limit: 2})
	require.NoError(t, err)
	require.EqualValues(t, []uint64{8, 7}, []uint64{limited[0].Sequence, limited[1].Sequence})
}

// TestNewestBars holds the newest bars, which the server picks, against those of
// the whole history: of stocks that are traded and that are not, also where days
// were revised or removed.
func TestNewestBars(t *testing.T) {
	projectortest.Checks(t, 8)
	tier := open(t, testserver.ClickHouse(t))
	stocks := []string{"600000.SH", "000001.SZ", "430047.BJ"}
	today := events.DateOf(time.Now()).Time()
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		for _, table := range tableNames {
			require.NoError(rt, tier.store.conn.Exec(ctx, "TRUNCATE TABLE "+table))
		}
		writer := &Tier{store: tier.store}
		folded := book.New(book.Keep{History: true})
		// The first is traded, the second was until a year ago, the third is new.
		first, last := []int{400, 800, 5}, []int{0, 365, 0}
		sequence := uint64(0)
		for range rapid.IntRange(1, 4).Draw(rt, "batches") {
			b := projector.Batch{From: checkpoint(sequence)}
			for range rapid.IntRange(1, 6).Draw(rt, "events") {
				which := rapid.IntRange(0, 2).Draw(rt, "stock")
				d := &events.KlineRecorded{StockCode: stocks[which]}
				from, every := rapid.IntRange(last[which], first[which]).Draw(rt, "from"), rapid.IntRange(1, 9).Draw(rt, "every")
				for ago := last[which]; ago < from; ago += every {
					d.Bars = append(d.Bars, events.Bar{Date: events.DateOf(today.AddDate(0, 0, -ago)), Close: events.Price(1000*sequence) + events.Price(ago), Volume: 1})
				}
				slices.Reverse(d.Bars)
				if len(d.Bars) == 0 {
					continue
				}
				sequence++
				e := &events.Event{Sequence: sequence, Data: d}
				folded.Apply(e)
				b.Events = append(b.Events, e)
			}
			if b.To = checkpoint(sequence); sequence > b.From.Sequence {
				require.NoError(rt, writer.Apply(ctx, b))
			}
		}
		whole := make(map[string][]events.Bar)
		var removals []projector.Change
		for _, stock := range stocks {
			for _, k := range folded.Klines(stock) {
				if rapid.IntRange(0, 19).Draw(rt, "remove") == 0 {
					row := k.Row()
					removals = append(removals, projector.Change{Kind: row.Kind, Key: row.Key})
					continue
				}
				whole[stock] = append(whole[stock], k.Bar)
			}
		}
		if sequence == 0 {
			return
		}
		require.NoError(rt, writer.Repair(ctx, checkpoint(sequence), removals))
		r := newReader(tier.store)
		for range 6 {
			q := query.KlineQuery{Stocks: stocks[rapid.IntRange(0, 2).Draw(rt, "since"):], Last: rapid.SampledFrom([]int{0, 1, 2, 7, 60, 500}).Draw(rt, "last")}
			if rapid.Bool().Draw(rt, "from") {
				q.From = events.DateOf(today.AddDate(0, 0, -rapid.IntRange(0, 500).Draw(rt, "from ago")))
			}
			if rapid.Bool().Draw(rt, "to") {
				q.To = events.DateOf(today.AddDate(0, 0, -rapid.IntRange(0, 500).Draw(rt, "to ago")))
			}
			want := make(map[string][]events.Bar)
			for _, stock := range q.Stocks {
				if bars := q.Pick(whole[stock]); len(bars) > 0 {
					want[stock] = bars
				}
			}
			got, _, err := r.Klines(ctx, q)
			require.NoError(rt, err)
			require.Equal(rt, want, got, "%+v", q)
		}
	})
}
