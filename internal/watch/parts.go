package watch

import (
	"cmp"
	"slices"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// parts divides moves into requests of at most most events. A stock's own moves
// stay together, for between them it would be what it never was; no move of one
// stock is about another.
func parts(moves []*events.Event, most int) [][]*events.Event {
	if len(moves) <= most {
		return [][]*events.Event{moves}
	}
	moves = slices.Clone(moves)
	slices.SortStableFunc(moves, func(a, b *events.Event) int { return cmp.Compare(stockOf(a.Data), stockOf(b.Data)) })
	var all [][]*events.Event
	begin, stock := 0, 0 // of the part, and of the stock's moves
	for i, e := range moves {
		if i > 0 && stockOf(e.Data) != stockOf(moves[i-1].Data) {
			stock = i
		}
		if i-begin == most {
			all = append(all, moves[begin:stock])
			begin = stock
		}
	}
	return append(all, moves[begin:])
}

// stockOf is the stock that a move is about; empty for all, which comes first.
func stockOf(data events.Data) string {
	switch d := data.(type) {
	case *events.PositionOpened:
		return d.StockCode
	case *events.PositionHeldDaysSet:
		return d.StockCode
	case *events.PositionPriceMarked:
		return d.StockCode
	case *events.PositionClosed:
		return d.StockCode
	}
	return ""
}
