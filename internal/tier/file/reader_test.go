package file

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// TestAnotherHandIsSeenAfresh: a reader goes on with what it proved once, but
// whoever asks afresh learns that the file is no longer that.
func TestAnotherHandIsSeenAfresh(t *testing.T) {
	dir := t.TempDir()
	tier, err := open(dir, Options{}, unsynced())
	require.NoError(t, err)
	trade := &events.TradeRecorded{
		AccountID: "acc-01", StockCode: "600000.SH", StockName: "浦发银行", OrderType: events.BuyTrade, Price: 8300, Volume: 100, Amount: 83000,
		TradedAt: time.Date(2025, 3, 3, 10, 0, 0, 0, events.Zone),
	}
	for _, b := range batches([]*events.Event{{Sequence: 1, Data: trade}}, 1) {
		require.NoError(t, tier.Apply(t.Context(), b))
	}
	r, err := NewReader(dir)
	require.NoError(t, err)
	path := filepath.Join(dir, "acc-01", "deal_hist.csv")
	right, err := os.ReadFile(path)
	require.NoError(t, err)
	afresh := query.Afresh(t.Context())
	for what, text := range map[string][]byte{"nothing": right, "one byte": append([]byte("X"), right[1:]...), "one row more": append(right[:len(right):len(right)], right...), "all of it": nil} {
		list, at, err := r.Trades(t.Context(), query.TradeFilter{})
		require.NoError(t, err, what)
		require.Len(t, list, 1, what)
		require.EqualValues(t, 1, at.Sequence, what)

		require.NoError(t, os.Remove(path))
		if text != nil {
			require.NoError(t, os.WriteFile(path, text, 0o600))
		}
		again, _, err := r.Trades(t.Context(), query.TradeFilter{})
		require.NoError(t, err, what)
		require.Equal(t, list, again, what)
		list, _, err = r.Trades(afresh, query.TradeFilter{})
		if what == "nothing" {
			require.NoError(t, err)
			require.Equal(t, again, list)
			continue
		}
		require.ErrorContains(t, err, "acc-01/deal_hist.csv: it is not what the manifest says", what)
		require.NoError(t, os.WriteFile(path, right, 0o600))
		_, _, err = r.Trades(afresh, query.TradeFilter{})
		require.NoError(t, err, what)
	}
}

// TestTradesOfOneSecond: those of one account have the order of their sequences,
// which tells nothing across accounts; these go by their names, every time.
func TestTradesOfOneSecond(t *testing.T) {
	dir := t.TempDir()
	tier, err := open(dir, Options{}, unsynced())
	require.NoError(t, err)
	var tape []*events.Event
	for i := range 12 {
		tape = append(tape, &events.Event{Sequence: uint64(i + 1), Data: &events.TradeRecorded{
			AccountID: fmt.Sprintf("acc-%02d", 5*i%6), StockCode: "600000.SH", StockName: "浦发银行", OrderType: events.BuyTrade, Price: 8300, Volume: 100, Amount: 83000,
			Remark: fmt.Sprint(i + 1), TradedAt: time.Date(2025, 3, 3, 10, 0, i/11, 0, events.Zone),
		}})
	}
	for _, b := range batches(tape, 12) {
		require.NoError(t, tier.Apply(t.Context(), b))
	}
	r, err := NewReader(dir)
	require.NoError(t, err)
	for range 20 {
		list, _, err := r.Trades(t.Context(), query.TradeFilter{})
		require.NoError(t, err)
		var order []string
		for _, d := range list {
			order = append(order, d.AccountID+" "+d.Remark)
		}
		require.Equal(t, []string{
			"acc-01 12", "acc-00 7", "acc-00 1", "acc-01 6", "acc-02 11", "acc-02 5", "acc-03 10", "acc-03 4", "acc-04 9", "acc-04 3", "acc-05 8", "acc-05 2",
		}, order)
		list, _, err = r.Trades(t.Context(), query.TradeFilter{Limit: 4})
		require.NoError(t, err)
		require.Equal(t, []string{"12", "7", "1", "6"}, []string{list[0].Remark, list[1].Remark, list[2].Remark, list[3].Remark})
	}
}
