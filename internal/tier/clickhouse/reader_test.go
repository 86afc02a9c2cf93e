package clickhouse

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
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
	r := &Reader{store: tier.store, fills: newFills()}
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
