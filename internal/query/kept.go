package query

import (
	"cmp"
	"math"
	"slices"
	"unsafe"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// KeptTrades answers reads of trades from memory, packed: about 100 bytes each.
//
// The zero KeptTrades is ready to use. It is safe for concurrent use by readers
// while nobody adds.
type KeptTrades struct {
	packed Packed
	// by is by account, then stock: oldest first by second, then as added.
	by map[string]map[string][]PackedTrade
	n  int
}

// Add adds a trade. Those of one second must be added in the order of their
// sequences. It is quick for trades that come about in the order of their times.
func (k *KeptTrades) Add(t *Trade) {
	if k.by == nil {
		k.by = make(map[string]map[string][]PackedTrade)
	}
	of := k.by[t.AccountID]
	if of == nil {
		of = make(map[string][]PackedTrade)
		k.by[t.AccountID] = of
	}
	list := of[t.StockCode]
	of[t.StockCode] = slices.Insert(list, firstAt(list, t.TradedAt.Unix()+1), k.packed.Add(t))
	k.n++
}

// Len is how many there are.
func (k *KeptTrades) Len() int { return k.n }

// Bytes is about how much memory they take.
func (k *KeptTrades) Bytes() int { return k.n*int(unsafe.Sizeof(PackedTrade{})) + len(k.packed.bytes) }

// Since counts those of a day and later; 0 is all.
func (k *KeptTrades) Since(day events.Date) (n int) {
	k.each(TradeFilter{From: day}, func(_, _ string, trades []PackedTrade) { n += len(trades) })
	return n
}

// List lists what passes a filter as TradeReader.Trades does.
func (k *KeptTrades) List(f TradeFilter) []Trade {
	passes := k.packed.passes(f)
	var found []*PackedTrade
	oldest := int64(math.MinInt64) // what is older is not among the newest
	newest := func() {
		slices.SortFunc(found, func(a, b *PackedTrade) int {
			return cmp.Or(cmp.Compare(b.Second(), a.Second()), cmp.Compare(b.sequence, a.sequence))
		})
		if f.Limit > 0 && len(found) >= f.Limit {
			found = found[:f.Limit]
			oldest = found[f.Limit-1].Second()
		}
	}
	k.each(f, func(_, _ string, trades []PackedTrade) {
		enough := len(found) + f.Limit
		for i := range slices.Backward(trades) {
			t := &trades[i]
			if f.Limit > 0 && (len(found) == enough || t.Second() < oldest) {
				break
			}
			if passes(t) {
				found = append(found, t)
			}
		}
		if f.Limit > 0 && len(found) >= 4*f.Limit {
			newest()
		}
	})
	newest()
	list := slices.Grow([]Trade(nil), len(found))
	for _, t := range found {
		list = append(list, k.packed.trade(t))
	}
	return list
}

// Fills lists what passes a filter as TradeReader.Fills does.
func (k *KeptTrades) Fills(f TradeFilter) []StockFills {
	var all []StockFills
	k.each(f, func(account, stock string, trades []PackedTrade) {
		if fills := k.packed.AppendFills(make([]Fill, 0, len(trades)), trades, f); len(fills) > 0 {
			all = append(all, StockFills{Account: account, Stock: stock, Fills: fills})
		}
	})
	return all
}

// MergeTrades puts trades into a list, both as TradeReader.Trades has them.
func MergeTrades(list, more []Trade, limit int) []Trade {
	switch {
	case len(more) == 0:
		return list
	case len(list) == 0:
		return more
	}
	list = append(list, more...)
	slices.SortFunc(list, func(a, b Trade) int {
		return cmp.Or(NewestFirst(a, b), cmp.Compare(b.Sequence, a.Sequence))
	})
	if limit > 0 && len(list) > limit {
		list = list[:limit]
	}
	return list
}

// MergeFills puts the fills among trades, the newest first, into those that are
// there; of the same second they are later.
func MergeFills(all []StockFills, more []Trade) []StockFills {
	type of struct{ account, stock string }
	places := make(map[of]int)
	for i := range all {
		places[of{all[i].Account, all[i].Stock}] = i
	}
	for i := range slices.Backward(more) {
		t := &more[i].TradeRecorded
		fill := appendFill(nil, t, TradeFilter{})
		if len(fill) == 0 {
			continue
		}
		place, known := places[of{t.AccountID, t.StockCode}]
		if !known {
			place = len(all)
			places[of{t.AccountID, t.StockCode}] = place
			all = append(all, StockFills{Account: t.AccountID, Stock: t.StockCode})
		}
		list := all[place].Fills
		behind, _ := slices.BinarySearchFunc(list, fill[0].Second+1, func(f Fill, second int64) int { return cmp.Compare(f.Second, second) })
		all[place].Fills = slices.Insert(list, behind, fill[0])
	}
	return all
}

// each hands over the trades of the filter's accounts, stocks and days, those of
// one account and stock together, oldest first.
func (k *KeptTrades) each(f TradeFilter, use func(account, stock string, trades []PackedTrade)) {
	first, end := f.span()
	first, end = first/1e6, end/1e6 // days begin with a second
	for account, stocks := range k.by {
		if f.Account != "" && f.Account != account {
			continue
		}
		for stock, trades := range stocks {
			if f.Stock != "" && f.Stock != stock {
				continue
			}
			if trades = trades[:firstAt(trades, end)]; len(trades) == 0 {
				continue
			}
			if trades = trades[firstAt(trades, first):]; len(trades) > 0 {
				use(account, stock, trades)
			}
		}
	}
}

// firstAt is the place of the first trade of a second or later.
func firstAt(trades []PackedTrade, second int64) int {
	place, _ := slices.BinarySearchFunc(trades, second, func(t PackedTrade, second int64) int { return cmp.Compare(t.Second(), second) })
	return place
}
