package query

import (
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
		f := TradeFilter{Account: text.Draw(t, "of account"), Stock: text.Draw(t, "of stock"), Strategy: text.Draw(t, "of strategy")}
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
