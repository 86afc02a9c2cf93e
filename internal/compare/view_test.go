package compare

import (
	"context"
	"slices"
	"sync"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// view is a reader whose contents are the fold of a tape up to where the test
// lets it go; as a Log, and as a tier.
type view struct {
	name string
	// deals makes its trades those of a file.
	deals bool
	// before is called before each read: time goes on.
	before func()

	mu     sync.Mutex
	tape   []*events.Event
	book   *book.Book
	at     query.At
	trades []query.Trade
	// err is what every read answers, fault what reads of positions do.
	err, fault error
	damage     func(account string, p *query.AccountPositions)
	lose       func([]query.Trade) []query.Trade
}

func newView(name string, tape []*events.Event) *view {
	return &view{name: name, tape: tape, book: book.New(book.Keep{}), before: func() {}}
}

// advance lets the view go on to a sequence, never back.
func (v *view) advance(to uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, e := range v.tape[v.at.Sequence:max(v.at.Sequence, min(to, uint64(len(v.tape))))] {
		v.book.Apply(e)
		v.at.Sequence = e.Sequence
		if d, ok := e.Data.(*events.TradeRecorded); ok {
			v.trades = append(v.trades, query.Trade{Sequence: e.Sequence, Whole: true, TradeRecorded: *d})
		}
	}
}

func looked[T any](v *view, pick func() T) (T, query.At, error) {
	v.before()
	v.mu.Lock()
	defer v.mu.Unlock()
	var none T
	if v.err != nil {
		return none, query.At{}, v.err
	}
	return pick(), v.at, nil
}

func (v *view) Name() string { return v.name }
func (v *view) Close() error { return nil }

func (v *view) At(context.Context) (query.At, error) {
	_, at, err := looked(v, func() bool { return true })
	return at, err
}

func (v *view) Positions(_ context.Context, account, _ string) (query.AccountPositions, query.At, error) {
	found, at, err := looked(v, func() query.AccountPositions {
		p := query.AccountPositions{IncDate: v.book.IncDate(account), List: v.book.Positions(account)}
		if v.damage != nil {
			v.damage(account, &p)
		}
		return p
	})
	if err == nil {
		err = v.fault
	}
	return found, at, err
}

func (v *view) Accounts(_ context.Context, id string) ([]book.Account, query.At, error) {
	return looked(v, func() []book.Account { return query.Accounts(v.book, id) })
}

func (v *view) Strategies(_ context.Context, code string) ([]book.Strategy, query.At, error) {
	return looked(v, func() []book.Strategy { return query.Strategies(v.book, code) })
}

func (v *view) Bindings(_ context.Context, account, code string) ([]book.Binding, query.At, error) {
	return looked(v, func() []book.Binding { return query.Bindings(v.book, account, code) })
}

func (v *view) Params(_ context.Context, code string, which query.Versions) ([]book.Param, query.At, error) {
	return looked(v, func() []book.Param { return query.Params(v.book, code, which) })
}

func (v *view) Trades(_ context.Context, f query.TradeFilter) ([]query.Trade, query.At, error) {
	return looked(v, func() []query.Trade {
		var list []query.Trade
		for _, t := range v.trades {
			if !f.Matches(&t.TradeRecorded) {
				continue
			}
			if v.deals {
				t = query.Trade{TradeRecorded: t.TradeRecorded}
				t.StrategyName, t.OrderID = "", ""
			}
			list = append(list, t)
		}
		if v.lose != nil {
			list = v.lose(list)
		}
		slices.Reverse(list)
		slices.SortStableFunc(list, query.NewestFirst)
		if f.Limit > 0 && len(list) > f.Limit {
			list = list[:f.Limit]
		}
		return list
	})
}

func (v *view) Fills(context.Context, query.TradeFilter) ([]query.StockFills, query.At, error) {
	panic("nobody compares them")
}

func (v *view) AccountIDs() ([]string, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.book.AccountIDs(), v.err
}

func (v *view) LastTrades(days, _ int) events.Date {
	v.mu.Lock()
	defer v.mu.Unlock()
	var from events.Date
	for _, t := range v.trades {
		from = max(from, events.DateOf(t.TradedAt.AddDate(0, 0, 1-days)))
	}
	return from
}

func (v *view) Changes(after uint64) ([]*events.Event, uint64, bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tape[after:v.at.Sequence], v.at.Sequence, true
}
