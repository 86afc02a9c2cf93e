package query

import (
	"context"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// All reads wrap ErrUnavailable when no tier answers, and ErrBehind when none
// reaches want.AtLeast in time.

// Positions reads an account's positions, or that of one stock.
func (r *Router) Positions(ctx context.Context, want Want, account, stock string) (Answer[AccountPositions], error) {
	return read(ctx, r, Positions, want, smallBound, func(ctx context.Context, t PositionReader) (AccountPositions, At, error) {
		return t.Positions(ctx, account, stock)
	})
}

// Accounts reads one account, or all for "".
func (r *Router) Accounts(ctx context.Context, want Want, id string) (Answer[[]book.Account], error) {
	return read(ctx, r, Records, want, smallBound, func(ctx context.Context, t RecordReader) ([]book.Account, At, error) {
		return t.Accounts(ctx, id)
	})
}

// Strategies reads one strategy by its code, or all for "".
func (r *Router) Strategies(ctx context.Context, want Want, code string) (Answer[[]book.Strategy], error) {
	return read(ctx, r, Records, want, smallBound, func(ctx context.Context, t RecordReader) ([]book.Strategy, At, error) {
		return t.Strategies(ctx, code)
	})
}

// Bindings reads the bindings of an account, of a strategy, of both, or all.
func (r *Router) Bindings(ctx context.Context, want Want, account, code string) (Answer[[]book.Binding], error) {
	return read(ctx, r, Records, want, smallBound, func(ctx context.Context, t RecordReader) ([]book.Binding, At, error) {
		return t.Bindings(ctx, account, code)
	})
}

// Params reads versions of a strategy's parameters.
func (r *Router) Params(ctx context.Context, want Want, code string, which Versions) (Answer[[]book.Param], error) {
	return read(ctx, r, Records, want, smallBound, func(ctx context.Context, t RecordReader) ([]book.Param, At, error) {
		return t.Params(ctx, code, which)
	})
}

// Trades reads trades, the newest first.
func (r *Router) Trades(ctx context.Context, want Want, f TradeFilter) (Answer[[]Trade], error) {
	return read(ctx, r, Trades, want, largeBound, func(ctx context.Context, t TradeReader) ([]Trade, At, error) {
		return t.Trades(ctx, f)
	})
}

// Statistics are the lines of a statistic, sorted by key, and their sum.
type Statistics struct {
	Lines []Statistic
	Total Statistic

	// tooLarge is ErrTooLarge, which is the fault of no tier.
	tooLarge error
}

// Aggregate computes statistics of the trades that pass the filter. Sells are
// matched with purchases of before f.From, too, but of no other strategy when
// f.Strategy is set. The error is ErrTooLarge when a sum does not fit.
func (r *Router) Aggregate(ctx context.Context, want Want, by Grouping, f TradeFilter) (Answer[Statistics], error) {
	history := f
	history.From, history.To = 0, f.To
	got, err := read(ctx, r, Trades, want, largeBound, func(ctx context.Context, t TradeReader) (Statistics, At, error) {
		fills, at, err := t.Fills(ctx, history)
		if err != nil {
			return Statistics{}, at, err
		}
		var s Statistics
		s.Lines, s.Total, s.tooLarge = aggregate(fills, by, f.From, f.To)
		return s, at, nil
	})
	if err == nil {
		err = got.Value.tooLarge
	}
	return got, err
}

// Klines reads bars by stock.
func (r *Router) Klines(ctx context.Context, want Want, q KlineQuery) (Answer[map[string][]events.Bar], error) {
	return read(ctx, r, Klines, want, largeBound, func(ctx context.Context, t KlineReader) (map[string][]events.Bar, At, error) {
		return t.Klines(ctx, q)
	})
}
