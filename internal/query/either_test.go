package query

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// growing has one more trade at each read.
type growing struct {
	TradeReader
	trades []Trade
	at     int
}

func (g *growing) matching(f TradeFilter) ([]Trade, At) {
	g.at = min(g.at+1, len(g.trades))
	list := slices.Clone(g.trades[:g.at])
	list = slices.DeleteFunc(list, func(t Trade) bool { return !f.Matches(&t.TradeRecorded) })
	slices.SortFunc(list, func(a, b Trade) int { return cmp.Or(NewestFirst(a, b), cmp.Compare(b.Sequence, a.Sequence)) })
	return list, At{Sequence: uint64(g.at)}
}

func (g *growing) Trades(_ context.Context, f TradeFilter) ([]Trade, At, error) {
	list, at := g.matching(f)
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, at, nil
}

func (g *growing) Fills(_ context.Context, f TradeFilter) ([]StockFills, At, error) {
	list, at := g.matching(f)
	slices.Reverse(list)
	return stockFills(list), at, nil
}

func stockFills(list []Trade) []StockFills {
	var all []StockFills
	for _, t := range list {
		fills := AppendFills(nil, []Trade{t}, TradeFilter{})
		if i := slices.IndexFunc(all, func(s StockFills) bool { return s.Account == t.AccountID && s.Stock == t.StockCode }); i >= 0 {
			all[i].Fills = append(all[i].Fills, fills...)
		} else {
			all = append(all, StockFills{Account: t.AccountID, Stock: t.StockCode, Fills: fills})
		}
	}
	slices.SortFunc(all, func(a, b StockFills) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Stock, b.Stock))
	})
	return all
}

// TestTradesOfBothNames holds what is put together of two reads, between which
// the tier goes on, against those trades as of the sequence that is told.
func TestTradesOfBothNames(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var trades []Trade
		names := rapid.SampledFrom([][]string{{"", "code"}, {"", "name"}, {"", "code", "name"}}).Draw(t, "names")
		for i := range rapid.IntRange(0, 30).Draw(t, "trades") {
			trades = append(trades, Trade{Sequence: uint64(i + 1), Whole: true, TradeRecorded: events.TradeRecorded{
				AccountID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "account"), StockCode: "600000.SH", OrderType: events.BuyTrade, Price: events.Price(i + 1), Volume: 1,
				StrategyName: rapid.SampledFrom(names).Draw(t, "name"), TradedAt: time.Unix(rapid.Int64Range(0, 5).Draw(t, "second"), 0),
			}})
		}
		f := TradeFilter{Account: rapid.SampledFrom([]string{"", "a"}).Draw(t, "of"), Strategy: "code"}
		from := rapid.IntRange(0, len(trades)).Draw(t, "from")
		asOf := func(at At) []Trade {
			list := slices.Clone(trades[:at.Sequence])
			list = slices.DeleteFunc(list, func(t Trade) bool { return t.StrategyName == "" || f.Account != "" && t.AccountID != f.Account })
			slices.SortFunc(list, func(a, b Trade) int { return cmp.Or(NewestFirst(a, b), cmp.Compare(b.Sequence, a.Sequence)) })
			return list
		}
		got, at, err := tradesOf(t.Context(), &growing{trades: trades, at: from}, f, "name")
		require.NoError(t, err)
		require.Equal(t, min(from+1, len(trades)), int(at.Sequence))
		require.Equal(t, append([]Trade{}, asOf(at)...), append([]Trade{}, got...))

		f.Limit = 3
		settled := &growing{trades: trades, at: len(trades)}
		got, at, err = tradesOf(t.Context(), settled, f, "name")
		require.NoError(t, err)
		want := asOf(at)
		require.Equal(t, append([]Trade{}, want[:min(3, len(want))]...), append([]Trade{}, got...))

		fills, at, err := fillsOf(t.Context(), settled, f, "name")
		require.NoError(t, err)
		slices.SortFunc(fills, func(a, b StockFills) int { return strings.Compare(a.Account, b.Account) })
		want = asOf(at)
		slices.Reverse(want)
		require.Equal(t, append([]StockFills{}, stockFills(want)...), append([]StockFills{}, fills...))
	})
}
