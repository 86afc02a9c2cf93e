package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// drawTrade is a trade at any second of some minutes: later events are often
// about earlier moments.
func drawTrade(t *rapid.T) *events.TradeRecorded {
	d := &events.TradeRecorded{
		AccountID: rapid.SampledFrom([]string{"55009728", "55009729"}).Draw(t, "account"), StockCode: rapid.SampledFrom([]string{"600000.SH", "000001.SZ"}).Draw(t, "stock"),
		StockName: "浦发银行", StrategyName: rapid.SampledFrom([]string{"", "wencai", "问财"}).Draw(t, "strategy"),
		OrderType: rapid.SampledFrom([]events.OrderType{events.BuyTrade, events.SellTrade, events.BuyOrder}).Draw(t, "order"),
		Price:     events.Price(rapid.Int64Range(1, 99).Draw(t, "price")), Volume: 100,
		TradedAt: time.Date(2025, 1, rapid.IntRange(2, 6).Draw(t, "day"), 9, 30, rapid.IntRange(0, 20).Draw(t, "second"), 0, events.Zone),
	}
	d.Amount = query.AmountOf(d.Price, d.Volume)
	return d
}

// rowOf is the row of a trade, dearer by so much.
func rowOf(e *events.Event, dearer events.Price) projector.Change {
	d := *e.Data.(*events.TradeRecorded)
	d.Price += dearer
	row := book.Trade{Sequence: e.Sequence, TradeRecorded: &d}.Row()
	return projector.Change{Kind: row.Kind, Key: row.Key, Value: &row.Value}
}

// fillsOf is what a reader shall say of trades in the order of their sequences.
func fillsOf(tape []*events.Event, f query.TradeFilter) []query.StockFills {
	type stock struct{ account, stock string }
	by := make(map[stock][]query.Trade)
	for _, e := range tape {
		d := e.Data.(*events.TradeRecorded)
		of := stock{d.AccountID, d.StockCode}
		by[of] = append(by[of], query.Trade{TradeRecorded: *d})
	}
	var all []query.StockFills
	for of, trades := range by {
		slices.SortStableFunc(trades, func(a, b query.Trade) int { return query.NewestFirst(b, a) })
		if list := query.AppendFills(nil, trades, f); len(list) > 0 {
			all = append(all, query.StockFills{Account: of.account, Stock: of.stock, Fills: list})
		}
	}
	return sortedFills(all)
}

func sortedFills(all []query.StockFills) []query.StockFills {
	slices.SortFunc(all, func(a, b query.StockFills) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Stock, b.Stock))
	})
	return all
}

// listed is what a reader shall list of the tape.
func listed(tape []*events.Event, f query.TradeFilter) []query.Trade {
	var list []query.Trade
	for _, e := range tape {
		if d := e.Data.(*events.TradeRecorded); f.Matches(d) {
			list = append(list, query.Trade{Sequence: e.Sequence, Whole: true, TradeRecorded: *d})
		}
	}
	slices.SortFunc(list, func(a, b query.Trade) int {
		return cmp.Or(query.NewestFirst(a, b), cmp.Compare(b.Sequence, a.Sequence))
	})
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list
}

// readOnNow lets the next read that misses something begin to read it, and waits
// for what runs.
func (r *Reader) readOnNow(t require.TestingT, ctx context.Context) {
	require.NoError(t, r.trades.reading.wait(ctx))
	r.trades.reading.forget()
}

// forget lets the next task begin at once.
func (b *background) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = time.Time{}
}

// TestTradesAreThoseOfTheTape keeps one reader through batches, repairs, sweeps
// and rebuilds: what it keeps is always what counts, and what it gave out before
// does not change.
func TestTradesAreThoseOfTheTape(t *testing.T) {
	projectortest.Checks(t, 8)
	tier := open(t, testserver.ClickHouse(t))
	rapid.Check(t, func(rt *rapid.T) {
		ctx := t.Context()
		for _, table := range tableNames {
			require.NoError(rt, tier.store.conn.Exec(ctx, "TRUNCATE TABLE "+table))
		}
		writer := &Tier{store: tier.store}
		r := newReader(tier.store)
		var tape []*events.Event
		var given, givenWant []query.StockFills
		upto := func() uint64 { return uint64(len(tape)) }
		more := func() {
			from := upto()
			for range rapid.IntRange(1, 4).Draw(rt, "events") {
				tape = append(tape, &events.Event{Sequence: upto() + 1, Data: drawTrade(rt)})
			}
			require.NoError(rt, writer.Apply(ctx, projector.Batch{From: checkpoint(from), To: checkpoint(upto()), Events: tape[from:]}))
		}
		more()
		steps := map[string]func(){
			"more":  more,
			"sweep": func() { require.NoError(rt, writer.store.sweep(ctx, 0)) },
			"damage and repair": func() {
				n := rapid.IntRange(0, len(tape)-1).Draw(rt, "which")
				require.NoError(rt, writer.Repair(ctx, checkpoint(upto()), []projector.Change{rowOf(tape[n], 7)}))
				require.NoError(rt, writer.store.sweep(ctx, 0)) // from now on it is kept
				r.readOnNow(rt, ctx)
				_, _, err := r.Fills(ctx, query.TradeFilter{})
				require.NoError(rt, err)
				require.NoError(rt, r.trades.reading.wait(ctx))
				require.NoError(rt, writer.Repair(ctx, checkpoint(upto()), []projector.Change{rowOf(tape[n], 0)}))
				if rapid.Bool().Draw(rt, "swept") {
					require.NoError(rt, writer.store.sweep(ctx, 0))
				}
			},
			"rebuild": func() {
				shadow, err := writer.Shadow(ctx, fmt.Sprint("plan ", upto()))
				require.NoError(rt, err)
				require.NoError(rt, shadow.Apply(ctx, projector.Batch{From: checkpoint(0), To: checkpoint(upto()), Events: tape}))
				require.NoError(rt, shadow.Promote(ctx, projector.Hold{}))
				writer = &Tier{store: tier.store}
			},
			"another read": func() {
				_, _, err := r.Trades(ctx, query.TradeFilter{Limit: 1})
				require.NoError(rt, err)
			},
			"read on": func() {
				r.readOnNow(rt, ctx)
				_, _, err := r.Trades(ctx, query.TradeFilter{Limit: 1})
				require.NoError(rt, err)
				require.NoError(rt, r.trades.reading.wait(ctx))
				now, err := r.store.read(ctx)
				require.NoError(rt, err)
				require.Equal(rt, len(now.Live.Accounts) == 0, r.trades.extends(now.Live) && r.trades.at.trades() == now.Live.trades(), "all is kept that can be")
			},
		}
		names := []string{"more", "sweep", "damage and repair", "rebuild", "another read", "read on"}
		for range rapid.IntRange(4, 8).Draw(rt, "steps") {
			steps[rapid.SampledFrom(names).Draw(rt, "step")]()
			f := query.TradeFilter{
				Account: rapid.SampledFrom([]string{"", "55009728"}).Draw(rt, "of"), Stock: rapid.SampledFrom([]string{"", "600000.SH"}).Draw(rt, "in"),
				Strategy: rapid.SampledFrom([]string{"", "", "wencai"}).Draw(rt, "by"),
				Alias:    rapid.SampledFrom([]string{"", "问财"}).Draw(rt, "or by"),
				From:     rapid.SampledFrom([]events.Date{0, 20250103}).Draw(rt, "from"), To: rapid.SampledFrom([]events.Date{0, 20250105}).Draw(rt, "to"),
			}
			got, at, err := r.Fills(ctx, f)
			require.NoError(rt, err)
			require.Equal(rt, upto(), at.Sequence)
			require.Equal(rt, fillsOf(tape, f), sortedFills(slices.Clone(got)), "%+v", f)
			require.Equal(rt, givenWant, given, "what a reader has does not change")
			given, givenWant = got, cloneFills(got)
			f.Limit = rapid.IntRange(0, 3).Draw(rt, "limit")
			list, at, err := r.Trades(ctx, f)
			require.NoError(rt, err)
			require.Equal(rt, upto(), at.Sequence)
			require.Equal(rt, listed(tape, f), list, "%+v", f)
		}
	})
}

// TestFillsAreReadOn: a caller that gives up leaves the reading to go on, and
// the next caller waits for no more than what is left of it.
func TestFillsAreReadOn(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	require.NoError(t, tier.Apply(t.Context(), batch(0, 20)))
	r := newReader(tier.store)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := r.Fills(gone, query.TradeFilter{})
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, r.trades.reading.wait(t.Context()))
	require.False(t, r.keepsNone())
	all, at, err := r.Fills(t.Context(), query.TradeFilter{})
	require.NoError(t, err)
	require.EqualValues(t, 20, at.Sequence)
	require.Len(t, all, 1)
	require.Len(t, all[0].Fills, 14)
}

// TestTooManyTradesAreNotKept: they are queried, until another generation has less.
func TestTooManyTradesAreNotKept(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	ctx := t.Context()
	r := newReader(tier.store)
	var tape []*events.Event
	more := func(n int) {
		from := len(tape)
		for range n {
			d := aTrade()
			d.TradedAt = d.TradedAt.Add(time.Duration(len(tape)) * time.Second)
			tape = append(tape, &events.Event{Sequence: uint64(len(tape) + 1), Data: d})
		}
		require.NoError(t, tier.Apply(ctx, projector.Batch{From: checkpoint(uint64(from)), To: checkpoint(uint64(len(tape))), Events: tape[from:]}))
	}
	bounds := most{trades: 5, bytes: 1 << 20, more: 1}
	check := func(many bool) {
		t.Helper()
		require.NoError(t, r.readOn(ctx, bounds))
		require.Equal(t, many, r.trades.many)
		require.Equal(t, many, r.trades.kept == nil)
		r.trades.reading.began = time.Now() // nothing is read on beside
		list, _, err := r.Trades(ctx, query.TradeFilter{})
		require.NoError(t, err)
		require.Equal(t, listed(tape, query.TradeFilter{}), list)
		all, _, err := r.Fills(ctx, query.TradeFilter{})
		require.NoError(t, err)
		require.Equal(t, fillsOf(tape, query.TradeFilter{}), sortedFills(all))
	}
	more(4)
	check(false)
	more(2)
	check(true)
	more(1)
	check(true)
	shadow, err := tier.Shadow(ctx, "plan")
	require.NoError(t, err)
	tape = tape[:5]
	require.NoError(t, shadow.Apply(ctx, projector.Batch{From: checkpoint(0), To: checkpoint(5), Events: tape}))
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
	check(false)
	bounds.bytes = 5 * 20
	more(1)
	check(true)
}

// TestTradesThatAreManyAreReadAnew: so many at once are packed while they are
// read.
func TestTradesThatAreManyAreReadAnew(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	r := newReader(tier.store)
	bounds := mostTrades
	bounds.more = 2
	for _, upto := range []uint64{3, 9, 10} {
		p, err := r.store.placeNow(t.Context(), 0)
		require.NoError(t, err)
		require.NoError(t, tier.Apply(t.Context(), batch(p.at().Sequence, upto)))
		before := r.trades.kept
		require.NoError(t, r.readOn(t.Context(), bounds))
		require.Equal(t, upto == 10, before == r.trades.kept)
		all, _, err := r.Fills(query.Afresh(t.Context()), query.TradeFilter{})
		require.NoError(t, err)
		require.Equal(t, sortedFills(all), sortedFills(r.trades.kept.Fills(query.TradeFilter{})))
	}
}

// putBack does what putting back an older copy of the server's volume does:
// later attempts and states never were.
func putBack(t *testing.T, s *store, revision uint64) {
	t.Helper()
	for _, gone := range []string{"tapedeck_state DELETE WHERE revision", "tapedeck_trade DELETE WHERE attempt", "tapedeck_daily_kline DELETE WHERE attempt"} {
		require.NoError(t, s.conn.Exec(t.Context(), fmt.Sprintf("ALTER TABLE %s > %d SETTINGS mutations_sync = 1", gone, revision)))
	}
}

// TestTradesOfACopyPutBack: the projector goes on where the copy ends, in other
// batches, whose attempts have the numbers of those that are kept.
func TestTradesOfACopyPutBack(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	ctx := t.Context()
	var tape []*events.Event
	for i := range 40 {
		d := aTrade()
		d.TradedAt = d.TradedAt.Add(time.Duration(i) * time.Second)
		tape = append(tape, &events.Event{Sequence: uint64(i + 1), Data: d})
	}
	apply := func(w *Tier, from, to uint64) {
		require.NoError(t, w.Apply(ctx, projector.Batch{From: checkpoint(from), To: checkpoint(to), Events: tape[from:to]}))
	}
	apply(tier, 0, 10)
	r := newReader(tier.store)
	copied, err := r.store.read(ctx)
	require.NoError(t, err)
	apply(tier, 10, 11)
	apply(tier, 11, 12)
	require.NoError(t, r.readOn(ctx, mostTrades))
	upto := r.seen.Load().Live.Upto
	putBack(t, tier.store, copied.Revision)
	w := &Tier{store: tier.store}
	apply(w, 10, 30)
	for to := uint64(30); ; to++ { // longer than the state that was seen is remembered
		list, at, err := r.Trades(ctx, query.TradeFilter{})
		require.NoError(t, err)
		require.Equal(t, to, at.Sequence)
		require.Equal(t, listed(tape[:to], query.TradeFilter{}), list)
		now, err := r.store.placeNow(ctx, 0)
		require.NoError(t, err)
		if now.Upto > upto {
			return
		}
		apply(w, to, to+1)
	}
}

func cloneFills(all []query.StockFills) []query.StockFills {
	copied := slices.Clone(all)
	for i := range copied {
		copied[i].Fills = slices.Clone(copied[i].Fills)
	}
	return copied
}
