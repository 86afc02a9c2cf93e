package memory

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// TestChangesKnowWhatTheyForgot adds every other sequence, many more than are
// kept: what is listed is whole, or is said not to be.
func TestChangesKnowWhatTheyForgot(t *testing.T) {
	var c changes
	const n = 5*keptChanges + 7
	for i := uint64(1); i <= n; i++ {
		c.add(&events.Event{Sequence: 2 * i})
		if i%1013 != 0 && i != n {
			continue
		}
		require.LessOrEqual(t, len(c.list), 2*keptChanges)
		for _, back := range []uint64{0, 1, 2, keptChanges - 1, keptChanges, keptChanges + 1, 2 * keptChanges, i} {
			if back > i {
				continue
			}
			for _, after := range []uint64{2 * (i - back), 2*(i-back) + 1} {
				list, all := c.after(after)
				require.True(t, all || back > keptChanges)
				if !all {
					continue
				}
				want := i - after/2
				require.Len(t, list, int(want))
				if want > 0 {
					require.Equal(t, []uint64{after/2*2 + 2, 2 * i}, []uint64{list[0].Sequence, list[want-1].Sequence})
				}
			}
		}
	}
}

func TestLastTradesAreNotTooMany(t *testing.T) {
	r := NewReader(Keep{Trades: true})
	require.Zero(t, r.LastTrades(7, 100))
	day := time.Date(2025, 3, 1, 10, 0, 0, 0, events.Zone)
	for i := range 30 {
		for n := range 10 {
			trade := events.TradeRecorded{AccountID: "acc-01", StockCode: "600000.SH", TradedAt: day.AddDate(0, 0, i)}
			r.changes.traded(trade.TradedAt)
			r.trades.Add(&query.Trade{Sequence: uint64(10*i + n + 1), TradeRecorded: trade})
		}
	}
	newest := day.AddDate(0, 0, 29)
	for _, c := range []struct{ days, most, want int }{{7, 100, 7}, {7, 70, 7}, {7, 69, 3}, {7, 20, 1}, {7, 1, 1}, {100, 1000, 100}} {
		from := r.LastTrades(c.days, c.most)
		require.Equal(t, events.DateOf(newest.AddDate(0, 0, 1-c.want)), from, "%+v", c)
		r.ready = true
		list, _, err := r.Trades(t.Context(), query.TradeFilter{From: from})
		require.NoError(t, err)
		require.Len(t, list, min(300, 10*c.want))
	}
}
