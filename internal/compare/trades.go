package compare

import (
	"fmt"
	"slices"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// judgeTrades holds a tier's trades against what the log had before, all of which
// the tier must have, and against what it had afterwards, beyond which the tier
// may have nothing: a trade never changes.
func judgeTrades(u unit, before, found, after []query.Trade) verdict {
	// A list that is full ends in the midst of a second.
	edge := max(edgeOf(before), edgeOf(found), edgeOf(after))
	before, found, after = behind(before, edge), behind(found, edge), behind(after, edge)
	if slices.ContainsFunc(found, func(t query.Trade) bool { return !t.Whole }) {
		return judgeDeals(u, before, found, after)
	}
	return judgeWhole(u, before, found, after)
}

func edgeOf(newestFirst []query.Trade) int64 {
	if len(newestFirst) < mostTrades {
		return 0
	}
	return newestFirst[len(newestFirst)-1].TradedAt.Unix()
}

func behind(newestFirst []query.Trade, edge int64) []query.Trade {
	if end := slices.IndexFunc(newestFirst, func(t query.Trade) bool { return t.TradedAt.Unix() <= edge }); end >= 0 {
		return newestFirst[:end]
	}
	return newestFirst
}

func judgeWhole(u unit, before, found, after []query.Trade) (v verdict) {
	there := make(map[uint64]bool, len(found))
	said := make(map[uint64]*events.TradeRecorded, len(after))
	for i := range after {
		said[after[i].Sequence] = &after[i].TradeRecorded
	}
	for i := range found {
		t := &found[i]
		log := said[t.Sequence]
		v.rows++
		switch {
		case log == nil:
			v.differs = append(v.differs, tradeOf(u, t, text(t), nil))
		case there[t.Sequence]:
			twice := "twice: " + *text(t)
			v.differs = append(v.differs, tradeOf(u, t, &twice, textOf(t.Sequence, log)))
		case !same(log, &t.TradeRecorded):
			v.differs = append(v.differs, tradeOf(u, t, text(t), textOf(t.Sequence, log)))
		}
		there[t.Sequence] = true
	}
	for i := range before {
		if t := &before[i]; !there[t.Sequence] {
			v.rows++
			v.differs = append(v.differs, tradeOf(u, t, nil, text(t)))
		}
	}
	return v
}

// same compares trades: an instant may be written in several zones.
func same(a, b *events.TradeRecorded) bool {
	x := *a
	x.TradedAt = b.TradedAt
	return x == *b && a.TradedAt.Equal(b.TradedAt)
}

func text(t *query.Trade) *string { return textOf(t.Sequence, &t.TradeRecorded) }

func textOf(sequence uint64, d *events.TradeRecorded) *string {
	value := book.Trade{Sequence: sequence, TradeRecorded: d}.Row().Value
	return &value
}

func tradeOf(u unit, t *query.Trade, tier, log *string) finding {
	return differing(u, t.AccountID, book.Trade{Sequence: t.Sequence, TradeRecorded: &t.TradeRecorded}.Row(), tier, log)
}

// judgeDeals does the same where trades have no sequence: equal ones are counted.
func judgeDeals(u unit, before, found, after []query.Trade) (v verdict) {
	least, there, most := deals(before), deals(found), deals(after)
	for d, n := range there {
		v.rows += n
		if n > most[d] {
			v.differs = append(v.differs, dealOf(u, d, n, most[d]))
		}
	}
	for d, n := range least {
		if has := there[d]; has < n {
			v.rows += n - has
			v.differs = append(v.differs, dealOf(u, d, has, n))
		}
	}
	return v
}

func deals(trades []query.Trade) map[book.Deal]int {
	counts := make(map[book.Deal]int, len(trades))
	for i := range trades {
		counts[book.DealOf(&trades[i].TradeRecorded, 0)]++
	}
	return counts
}

// dealOf is a deal that the tier has a number of times, and the log another.
func dealOf(u unit, d book.Deal, tier, log int) finding {
	row := d.Row()
	times := func(n int) *string {
		switch n {
		case 0:
			return nil
		case 1:
			return &row.Value
		}
		text := fmt.Sprintf("%d times: %s", n, row.Value)
		return &text
	}
	f := differing(u, d.AccountID, book.Row{Kind: row.Kind, Key: fmt.Sprintf("%s/%s %s/%s", d.AccountID, d.Date, d.Time, d.StockCode)}, times(tier), times(log))
	f.id += "/" + row.Value // several of one stock and second
	return f
}
