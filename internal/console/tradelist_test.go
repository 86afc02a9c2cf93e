package console

import (
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

func asTrade(t query.Trade) trade {
	out := trade{
		AccountID: t.AccountID, StockCode: t.StockCode, StockName: t.StockName, OrderType: string(t.OrderType), PriceType: string(t.PriceType),
		Price: t.Price.String(), Volume: t.Volume, Amount: t.Amount.String(), Remark: t.Remark, TradedAt: events.FormatTime(t.TradedAt),
	}
	if t.Whole {
		out.Sequence, out.StrategyName, out.OrderID = &t.Sequence, &t.StrategyName, &t.OrderID
	}
	return out
}

// TestTradesAreWrittenAsDescribed holds the text that is put together by hand
// against the struct that the OpenAPI document is made from.
func TestTradesAreWrittenAsDescribed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		drawn := rapid.Custom(func(t *rapid.T) query.Trade {
			trade := query.Trade{Whole: rapid.Bool().Draw(t, "whole"), TradeRecorded: events.TradeRecorded{
				AccountID: "55009728", StockCode: "600000.SH", StockName: rapid.String().Draw(t, "name"), OrderType: events.SellTrade, PriceType: "limit",
				Price: events.Price(rapid.Int64Range(1, 1e12).Draw(t, "price")), Volume: rapid.Int64Min(1).Draw(t, "volume"), Amount: events.Money(rapid.Int64().Draw(t, "amount")),
				StrategyName: rapid.String().Draw(t, "strategy"), Remark: rapid.String().Draw(t, "remark"), OrderID: rapid.String().Draw(t, "order"),
				TradedAt: time.UnixMicro(rapid.Int64Range(0, 1e16).Draw(t, "at")).In(events.Zone),
			}}
			if trade.Whole {
				trade.Sequence = rapid.Uint64().Draw(t, "sequence")
			}
			return trade
		})
		list := tradeList{
			Envelope{Sequence: 9, Tier: "clickhouse", Degraded: rapid.Bool().Draw(t, "degraded"), Reason: rapid.String().Draw(t, "reason")},
			rapid.SliceOfN(drawn, 0, 4).Draw(t, "trades"),
		}
		want, err := json.Marshal(tradesAnswer{list.Envelope, each(list.trades, asTrade)})
		require.NoError(t, err)
		got, err := list.appendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got))
	})
}
