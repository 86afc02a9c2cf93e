package query

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// TestPackedTradesAreWhatWasAdded unpacks what was packed, under any filter.
func TestPackedTradesAreWhatWasAdded(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "a", "浦发银行", "止盈卖出", "600000.SH", "000001.SZ"})
	trade := rapid.Custom(func(t *rapid.T) Trade {
		kind := rapid.SampledFrom([]events.OrderType{events.BuyTrade, events.SellTrade, "cancel"})
		return Trade{
			Sequence: rapid.Uint64().Draw(t, "sequence"), Whole: rapid.Bool().Draw(t, "whole"),
			TradeRecorded: events.TradeRecorded{
				AccountID: text.Draw(t, "account"), StockCode: text.Draw(t, "stock"), StockName: text.Draw(t, "name"),
				OrderType: kind.Draw(t, "kind"), PriceType: events.PriceType(text.Draw(t, "price type")),
				Price: events.Price(rapid.Int64().Draw(t, "price")), Volume: rapid.Int64().Draw(t, "volume"), Amount: events.Money(rapid.Int64().Draw(t, "amount")),
				StrategyName: text.Draw(t, "strategy"), Remark: rapid.StringN(0, 6, -1).Draw(t, "remark"), OrderID: rapid.StringN(0, 6, -1).Draw(t, "order"),
				TradedAt: time.UnixMicro(rapid.Int64Range(-1e15, 7e15).Draw(t, "traded at")).In(events.Zone), // years 1938 to 2191
			},
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		trades := rapid.SliceOfN(trade, 0, 20).Draw(t, "trades")
		f := TradeFilter{Account: text.Draw(t, "of account"), Stock: text.Draw(t, "of stock"), Strategy: text.Draw(t, "of strategy"), Alias: text.Draw(t, "or of")}
		if rapid.Bool().Draw(t, "since") {
			f.From = 20200101
		}
		var packed Packed
		var list []PackedTrade
		var want []Trade
		for i := range trades {
			list = append(list, packed.Add(&trades[i]))
			require.Equal(t, trades[i].TradedAt.Unix(), list[i].Second())
			if f.Matches(&trades[i].TradeRecorded) {
				want = append(want, trades[i])
			}
		}
		require.Equal(t, want, packed.AppendMatches(nil, list, f))
		require.Equal(t, AppendFills(nil, trades, f), packed.AppendFills(nil, list, f))
	})
}

// TestManyRemarks: those that are not few stand among a trade's own bytes.
func TestManyRemarks(t *testing.T) {
	var packed Packed
	var list []PackedTrade
	var want []Trade
	for i := range fewTexts + 1000 {
		of := i
		if i > fewTexts+500 {
			of = 7 // one of the few
		}
		trade := Trade{TradeRecorded: events.TradeRecorded{Remark: fmt.Sprint("买入 ", of), OrderID: fmt.Sprint(i), TradedAt: time.UnixMicro(int64(i)).In(events.Zone)}}
		list, want = append(list, packed.Add(&trade)), append(want, trade)
	}
	require.Equal(t, want, packed.AppendMatches(nil, list, TradeFilter{}))
	require.LessOrEqual(t, len(packed.texts), fewTexts)
}

// TestNewestOfMany holds the newest few against those of the whole list.
func TestNewestOfMany(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var kept KeptTrades
		some := func(from ...string) string { return rapid.SampledFrom(from).Draw(t, "name") }
		for i := range rapid.IntRange(0, 60).Draw(t, "trades") {
			kept.Add(&Trade{Sequence: uint64(i + 1), TradeRecorded: events.TradeRecorded{
				AccountID: some("a", "b", "c"), StockCode: some("600000.SH", "000001.SZ", "300750.SZ"), StrategyName: some("x", "y"), TradedAt: time.Unix(rapid.Int64Range(0, 20).Draw(t, "second"), 0),
			}})
		}
		f := TradeFilter{Account: some("", "a"), Strategy: some("", "x")}
		all := kept.List(f)
		require.True(t, slices.IsSortedFunc(all, func(a, b Trade) int { return cmp.Or(NewestFirst(a, b), cmp.Compare(b.Sequence, a.Sequence)) }))
		f.Limit = rapid.IntRange(1, 12).Draw(t, "limit")
		require.Equal(t, all[:min(f.Limit, len(all))], kept.List(f))
	})
}
