package query

import (
	"context"
	"slices"
)

// Trades carry whatever their strategy called itself: its name or its code.

// tradesOf lists trades of a strategy by each of its names: f.Strategy, and
// other when that is not "".
func tradesOf(ctx context.Context, t TradeReader, f TradeFilter, other string) ([]Trade, At, error) {
	list, at, err := t.Trades(ctx, f)
	if err != nil || other == "" {
		return list, at, err
	}
	f.Strategy = other
	more, later, err := t.Trades(ctx, f)
	if err != nil {
		return nil, at, err
	}
	// Trades are only added: without those that came in between, both are of one
	// instant. The file tier, which has no sequences, has no strategies either.
	more = slices.DeleteFunc(more, func(t Trade) bool { return t.Sequence > at.Sequence })
	at = At{Sequence: min(at.Sequence, later.Sequence), Held: at.Held || later.Held, Parked: at.Parked || later.Parked}
	return MergeTrades(list, more, f.Limit), at, nil
}

// fillsOf is tradesOf for fills. Only a strategy that goes by both its names is
// put together from whole trades, whose order within a second is known.
func fillsOf(ctx context.Context, t TradeReader, f TradeFilter, other string) ([]StockFills, At, error) {
	if other == "" {
		return t.Fills(ctx, f)
	}
	one := f
	one.Limit = 1
	for _, names := range [][2]string{{f.Strategy, other}, {other, f.Strategy}} {
		one.Strategy = names[1]
		if list, _, err := t.Trades(ctx, one); err != nil {
			return nil, At{}, err
		} else if len(list) == 0 {
			f.Strategy = names[0]
			return t.Fills(ctx, f)
		}
	}
	f.Limit = 0
	trades, at, err := tradesOf(ctx, t, f, other)
	return MergeFills(nil, trades), at, err
}
