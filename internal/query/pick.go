package query

import (
	"cmp"
	"slices"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// What readers that hold whole relations answer from them.

// Accounts picks one account of a book, or all for "".
func Accounts(b *book.Book, id string) []book.Account {
	return keep(b.Accounts(), func(a book.Account) bool { return id == "" || a.ID == id })
}

// Strategies picks one strategy of a book, or all for "".
func Strategies(b *book.Book, code string) []book.Strategy {
	return keep(b.Strategies(), func(s book.Strategy) bool { return code == "" || s.Code == code })
}

// Bindings picks the bindings of an account, of a strategy, of both, or all.
func Bindings(b *book.Book, account, code string) []book.Binding {
	return keep(b.Bindings(), func(x book.Binding) bool {
		return (account == "" || x.AccountID == account) && (code == "" || x.StrategyCode == code)
	})
}

// Params picks versions of a strategy's parameters.
func Params(b *book.Book, code string, which Versions) []book.Param {
	list := keep(b.Params(), func(p book.Param) bool { return p.StrategyCode == code && which.Has(p) })
	if which.All() {
		for i := range list {
			list[i].Params = nil
		}
	}
	return list
}

// Position picks the position of a stock, or all for "".
func Position(list []book.Position, stock string) []book.Position {
	return keep(list, func(p book.Position) bool { return stock == "" || p.StockCode == stock })
}

func keep[T any](list []T, picks func(T) bool) []T {
	return slices.DeleteFunc(list, func(item T) bool { return !picks(item) })
}

// Pick is the bars that the query asks for of one stock, from all of its bars,
// oldest first; the result is a copy.
func (q KlineQuery) Pick(bars []events.Bar) []events.Bar {
	byDate := func(b events.Bar, day events.Date) int { return cmp.Compare(b.Date, day) }
	first, _ := slices.BinarySearchFunc(bars, q.From, byDate)
	last := len(bars)
	if q.To != 0 {
		last, _ = slices.BinarySearchFunc(bars, q.To+1, byDate)
	}
	if q.Last > 0 {
		first = max(first, last-q.Last)
	}
	if first >= last {
		return nil
	}
	return slices.Clone(bars[first:last])
}

// NewestFirst compares trades by second of traded_at, the newest first.
func NewestFirst(a, b Trade) int { return cmp.Compare(b.TradedAt.Unix(), a.TradedAt.Unix()) }

// AppendFills appends the fills among trades that pass the filter.
func AppendFills(fills []Fill, trades []Trade, f TradeFilter) []Fill {
	for i := range trades {
		fills = appendFill(fills, &trades[i].TradeRecorded, f)
	}
	return fills
}

func appendFill(fills []Fill, t *events.TradeRecorded, f TradeFilter) []Fill {
	if t.OrderType != events.BuyTrade && t.OrderType != events.SellTrade || !f.Matches(t) {
		return fills
	}
	return append(fills, Fill{
		Second: t.TradedAt.Unix(), Sell: t.OrderType == events.SellTrade, Price: t.Price, Volume: t.Volume, Amount: t.Amount,
	})
}

// AmountOf is price × volume, rounded half up to 0.01 as ingest fills it in.
func AmountOf(price events.Price, volume int64) events.Money {
	return events.Money((int64(price)*volume + 5) / 10)
}
