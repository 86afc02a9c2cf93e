package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
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

func daysAgo(n int) events.Date { return events.DateOf(time.Now().AddDate(0, 0, -n)) }

// recorded are bars from so many days ago to later ones, one every so many days.
func recorded(stock string, from, to, every int, closing events.Price) *events.KlineRecorded {
	d := &events.KlineRecorded{StockCode: stock}
	for ago := from; ago >= to; ago -= every {
		d.Bars = append(d.Bars, events.Bar{Date: daysAgo(ago), Close: closing + events.Price(ago), Volume: 1})
	}
	return d
}

func aTrade() *events.TradeRecorded {
	return &events.TradeRecorded{AccountID: "55009728", StockCode: "600000.SH", OrderType: events.BuyTrade, Price: 1, Volume: 100, TradedAt: time.Date(2025, 1, 2, 9, 30, 0, 0, events.Zone)}
}

// market is a tier and what it shall hold.
type market struct {
	t      require.TestingT
	ctx    context.Context
	writer *Tier
	tape   []*events.Event
	bars   map[string]map[events.Date]events.Bar
}

func newMarket(t require.TestingT, ctx context.Context, tier *Tier) *market {
	m := &market{t: t, ctx: ctx, writer: &Tier{store: tier.store}}
	m.fold()
	return m
}

func (m *market) upto() uint64 { return uint64(len(m.tape)) }

// fold says what the tier holds that was filled from the tape.
func (m *market) fold() {
	m.bars = make(map[string]map[events.Date]events.Bar)
	for _, e := range m.tape {
		m.count(e.Data)
	}
}

func (m *market) count(data events.Data) {
	d, ok := data.(*events.KlineRecorded)
	if !ok {
		return
	}
	if m.bars[d.StockCode] == nil {
		m.bars[d.StockCode] = make(map[events.Date]events.Bar)
	}
	for _, b := range d.Bars {
		m.bars[d.StockCode][b.Date] = b
	}
}

func (m *market) apply(data ...events.Data) {
	from := m.upto()
	for _, d := range data {
		m.tape = append(m.tape, &events.Event{Sequence: m.upto() + 1, Data: d})
		m.count(d)
	}
	require.NoError(m.t, m.writer.Apply(m.ctx, projector.Batch{From: checkpoint(from), To: checkpoint(m.upto()), Events: m.tape[from:]}))
}

// repair changes the bar of a day, or removes it.
func (m *market) repair(stock string, b events.Bar, remove bool) {
	row := book.Kline{StockCode: stock, Bar: b}.Row()
	change := projector.Change{Kind: row.Kind, Key: row.Key}
	if remove {
		delete(m.bars[stock], b.Date)
	} else {
		change.Value = &row.Value
		m.count(&events.KlineRecorded{StockCode: stock, Bars: []events.Bar{b}})
	}
	require.NoError(m.t, m.writer.Repair(m.ctx, checkpoint(m.upto()), []projector.Change{change}))
}

// rebuild fills another generation from the tape and promotes it.
func (m *market) rebuild() {
	shadow, err := m.writer.Shadow(m.ctx, fmt.Sprint("plan ", m.upto()))
	require.NoError(m.t, err)
	require.NoError(m.t, shadow.Apply(m.ctx, projector.Batch{From: checkpoint(0), To: checkpoint(m.upto()), Events: m.tape}))
	require.NoError(m.t, shadow.Promote(m.ctx, projector.Hold{}))
	m.writer = &Tier{store: m.writer.store}
	m.fold()
}

// forget writes the state as a program does that does not know place.Klines.
func (m *market) forget() {
	_, err := m.writer.store.change(m.ctx, func(next *state) error {
		next.Live.Klines, next.Live.KlinesAt, next.Live.UptoAt = 0, 0, 0
		return nil
	})
	require.NoError(m.t, err)
}

func (m *market) empty() {
	for _, table := range tableNames {
		require.NoError(m.t, m.writer.store.conn.Exec(m.ctx, "TRUNCATE TABLE "+table))
	}
	m.writer, m.tape = &Tier{store: m.writer.store}, nil
	m.fold()
}

// loseRows deletes all bars by hand: from then on there are those that a reader
// keeps.
func (m *market) loseRows() {
	require.NoError(m.t, m.writer.store.conn.Exec(m.ctx, "TRUNCATE TABLE tapedeck_daily_kline"))
}

func (m *market) want(q query.KlineQuery) map[string][]events.Bar {
	want := make(map[string][]events.Bar)
	for _, stock := range q.Stocks {
		days := slices.SortedFunc(maps.Values(m.bars[stock]), func(a, b events.Bar) int { return int(a.Date - b.Date) })
		if bars := q.Pick(days); len(bars) > 0 {
			want[stock] = bars
		}
	}
	return want
}

func (m *market) requireAnswer(ctx context.Context, r *Reader, q query.KlineQuery) {
	got, at, err := r.Klines(ctx, q)
	require.NoError(m.t, err)
	require.Equal(m.t, m.upto(), at.Sequence)
	if want := m.want(q); len(want)+len(got) > 0 { // an empty tier answers nil
		require.Equal(m.t, want, got, "%+v", q)
	}
}

// keeps tells whether a reader keeps the bars that count now.
func (m *market) keeps(r *Reader) bool {
	p, err := r.store.placeNow(m.ctx, 0)
	require.NoError(m.t, err)
	return p != nil && r.bars.kept.Load().of(p)
}

// keep lets a reader that is asked for recent bars read them, now and to the end.
func (m *market) keep(r *Reader) {
	r.bars.reading.forget()
	m.requireAnswer(m.ctx, r, lastBar)
	r.bars.reading.running.Wait()
	require.True(m.t, m.upto() == 0 || m.keeps(r))
}

var lastBar = query.KlineQuery{Stocks: []string{"600000.SH"}, Last: 1}

// TestKeptBarsAreThoseOfTheTier keeps one reader through batches, repairs,
// sweeps, rebuilds and losses: whatever it keeps, it answers what counts.
func TestKeptBarsAreThoseOfTheTier(t *testing.T) {
	projectortest.Checks(t, 8)
	tier := open(t, testserver.ClickHouse(t))
	stocks := []string{"600000.SH", "000001.SZ", "430047.BJ", "688001.SH"}
	rapid.Check(t, func(rt *rapid.T) {
		m := newMarket(rt, t.Context(), tier)
		m.empty()
		r := newReader(tier.store)
		// The first two are traded, the third was until some time ago, the fourth is new.
		first, last := []int{400, 200, 800, 9}, []int{0, -3, 90, 0}
		klines := func() {
			var data []events.Data
			for range rapid.IntRange(1, 4).Draw(rt, "events") {
				n := rapid.IntRange(0, len(stocks)-1).Draw(rt, "stock")
				from, every := rapid.IntRange(last[n], first[n]).Draw(rt, "from"), rapid.IntRange(1, 3).Draw(rt, "every")
				data = append(data, recorded(stocks[n], from, last[n], every, events.Price(1000*(int(m.upto())+len(data)+1))))
			}
			m.apply(data...)
		}
		klines()
		steps := map[string]func(){
			"klines": klines,
			"trades": func() {
				kept := m.keeps(r)
				m.apply(aTrade(), aTrade())
				require.Equal(rt, kept, m.keeps(r), "no kline changed")
			},
			"repair": func() {
				n := rapid.IntRange(0, len(stocks)-1).Draw(rt, "stock")
				b := events.Bar{Date: daysAgo(rapid.IntRange(last[n], first[n]).Draw(rt, "day")), Close: 7, Volume: 7}
				m.repair(stocks[n], b, rapid.Bool().Draw(rt, "remove"))
			},
			"sweep":         func() { require.NoError(rt, m.writer.store.sweep(m.ctx, 0)) },
			"rebuild":       m.rebuild,
			"older program": m.forget,
			"keep":          func() { m.keep(r) },
			"empty": func() {
				m.empty()
				if rapid.Bool().Draw(rt, "asked") {
					m.requireAnswer(m.ctx, r, query.KlineQuery{Stocks: stocks, Last: 5})
				}
				klines()
			},
		}
		names := []string{"klines", "trades", "trades", "repair", "sweep", "rebuild", "older program", "keep", "keep", "keep", "empty"}
		for range rapid.IntRange(4, 10).Draw(rt, "steps") {
			steps[rapid.SampledFrom(names).Draw(rt, "step")]()
			for range 3 {
				q := query.KlineQuery{Stocks: stocks[rapid.IntRange(0, len(stocks)).Draw(rt, "since"):], Last: rapid.SampledFrom([]int{0, 1, 7, 60, 100}).Draw(rt, "last")}
				if rapid.Bool().Draw(rt, "from") {
					q.From = daysAgo(rapid.IntRange(-5, 150).Draw(rt, "from ago"))
				}
				if rapid.Bool().Draw(rt, "to") {
					q.To = daysAgo(rapid.IntRange(-5, 150).Draw(rt, "to ago"))
				}
				m.requireAnswer(m.ctx, r, q)
				m.requireAnswer(query.Afresh(m.ctx), r, q)
			}
		}
		r.bars.reading.close()
	})
}

// TestKeptBarsNeedNoRows takes the rows away by hand, so that it shows what is
// answered from memory, and what is not.
func TestKeptBarsNeedNoRows(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	m := newMarket(t, t.Context(), tier)
	r := newReader(tier.store)
	m.apply(recorded("600000.SH", 300, 0, 1, 1000), recorded("000001.SZ", 300, 100, 1, 1000))
	m.keep(r)
	both := []string{"600000.SH", "000001.SZ", "430047.BJ"}
	answered := []query.KlineQuery{
		{Stocks: both, From: daysAgo(110)},
		{Stocks: both, From: daysAgo(110), To: daysAgo(50), Last: 30},
		{Stocks: both, Last: 10, To: daysAgo(105)}, // the third is queried for, in vain
		{Stocks: both[:1], Last: 60},
		{Stocks: both[:1], Last: 60, From: daysAgo(299)},
		{Stocks: both[:1], Last: 60, To: daysAgo(40)},
	}
	m.loseRows()
	for _, q := range answered {
		m.requireAnswer(t.Context(), r, q)
		found, _, err := r.Klines(query.Afresh(t.Context()), q)
		require.NoError(t, err)
		require.Empty(t, found)
	}

	found, _, err := r.Klines(t.Context(), lastBar)
	require.NoError(t, err)
	found["600000.SH"][0].Close++ // it is the caller's
	for range 3 {
		m.apply(aTrade())
		for _, q := range answered {
			m.requireAnswer(t.Context(), r, q)
		}
	}

	for _, q := range []query.KlineQuery{
		{Stocks: both, From: daysAgo(200)},
		{Stocks: both, To: daysAgo(50)},
		{Stocks: both, Last: 100, To: daysAgo(50)},
	} {
		found, _, err := r.Klines(t.Context(), q)
		require.NoError(t, err)
		require.Empty(t, found, "older bars may be asked for: %+v", q)
	}
	found, _, err = r.Klines(t.Context(), query.KlineQuery{Stocks: both, Last: 60})
	require.NoError(t, err)
	require.Len(t, found["600000.SH"], 60)
	require.NotContains(t, found, "000001.SZ", "there may be older ones: these are queried for")

	// New klines count at once, and those that are kept no more.
	began := r.bars.reading.began
	m.bars = make(map[string]map[events.Date]events.Bar)
	m.apply(recorded("600000.SH", 5, -1, 1, 2000))
	for _, q := range answered {
		m.requireAnswer(t.Context(), r, q)
	}
	require.Equal(t, began, r.bars.reading.began, "nothing is read anew before its time")
	m.keep(r)
	m.loseRows()
	m.requireAnswer(t.Context(), r, query.KlineQuery{Stocks: both, From: daysAgo(110)})
}

// TestKlinesOfOlderPrograms: where nobody noted what changed klines, all does.
func TestKlinesOfOlderPrograms(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	m := newMarket(t, t.Context(), tier)
	r := newReader(tier.store)
	m.apply(recorded("600000.SH", 20, 0, 1, 1000))
	m.forget()
	m.keep(r)
	m.apply(aTrade()) // by a program that notes: klines are those of before
	require.True(t, m.keeps(r))

	m.apply(aTrade())
	m.forget()
	require.False(t, m.keeps(r))
	m.keep(r)
	m.apply(recorded("600000.SH", 20, 0, 1, 2000))
	m.forget()
	require.False(t, m.keeps(r))
	m.requireAnswer(t.Context(), r, query.KlineQuery{Stocks: []string{"600000.SH"}, From: daysAgo(100)})
}

// TestTooManyBars: none is kept, and they are not read again and again.
func TestTooManyBars(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	m := newMarket(t, t.Context(), tier)
	r := newReader(tier.store)
	m.apply(recorded("600000.SH", 20, 0, 1, 1000))
	p, err := r.store.placeNow(t.Context(), 0)
	require.NoError(t, err)
	whole, err := r.readRecent(t.Context(), p, recently(), 21)
	require.NoError(t, err)
	require.Len(t, whole.by["600000.SH"], 21)
	none, err := r.readRecent(t.Context(), p, recently(), 20)
	require.NoError(t, err)
	require.Empty(t, none.by)
	r.bars.kept.Store(none)
	for _, q := range []query.KlineQuery{lastBar, {Stocks: lastBar.Stocks, From: daysAgo(100)}, {Stocks: lastBar.Stocks, Last: 60}} {
		m.requireAnswer(t.Context(), r, q)
	}
	require.Zero(t, r.bars.reading.began)
}

// TestKlinesOfACopyPutBack: an attempt's number is given out again.
func TestKlinesOfACopyPutBack(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	m := newMarket(t, t.Context(), tier)
	r := newReader(tier.store)
	m.apply(recorded("600000.SH", 20, 5, 1, 1000))
	copied, err := r.store.read(t.Context())
	require.NoError(t, err)
	m.apply(recorded("600000.SH", 4, 4, 1, 1000))
	m.apply(recorded("600000.SH", 3, 3, 1, 1000))
	m.keep(r)
	kept := r.bars.kept.Load().contents
	putBack(t, tier.store, copied.Revision)
	m.tape = m.tape[:1]
	m.fold()
	m.writer = &Tier{store: tier.store}
	m.apply(recorded("600000.SH", 4, 4, 1, 1000), recorded("600000.SH", 3, 3, 1, 1000), recorded("600000.SH", 2, 0, 1, 1000))
	p, err := r.store.placeNow(t.Context(), 0)
	require.NoError(t, err)
	for p.klines().attempt < kept.attempt { // how many numbers a batch takes is its own affair
		m.apply(recorded("600000.SH", 2, 0, 1, 1100))
		p, err = r.store.placeNow(t.Context(), 0)
		require.NoError(t, err)
	}
	m.apply(aTrade())
	m.requireAnswer(t.Context(), r, lastBar)
}

// TestTheFirstLookKeeps: no read finds that nothing is kept yet, but where the
// first look found nothing to keep.
func TestTheFirstLookKeeps(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	m := newMarket(t, t.Context(), tier)
	r := newReader(tier.store)
	look := func() {
		_, err := r.At(t.Context())
		require.NoError(t, err)
		r.bars.reading.running.Wait()
		r.trades.reading.running.Wait()
	}
	look()
	m.apply(recorded("600000.SH", 20, 0, 1, 1000), aTrade())
	look()
	require.True(t, m.keeps(r))
	require.False(t, r.keepsNone())
	m.requireAnswer(t.Context(), r, lastBar)
	m.apply(recorded("600001.SH", 20, 0, 1, 1000))
	look()
	require.False(t, m.keeps(r), "it was the first")
}

// TestCloseEndsReading closes a reader whose server hangs.
func TestCloseEndsReading(t *testing.T) {
	server := testserver.ClickHouse(t)
	m := newMarket(t, t.Context(), open(t, server))
	m.apply(recorded("600000.SH", 20, 0, 1, 1000))
	r, err := NewReader(server.URL())
	require.NoError(t, err)
	m.requireAnswer(t.Context(), r, query.KlineQuery{Stocks: []string{"600000.SH"}}) // connects, and keeps nothing
	server.Pause()
	defer server.Resume()
	r.keepBars(t.Context())
	require.NotZero(t, r.bars.reading.began)
	require.NoError(t, r.Close())
	require.Nil(t, r.bars.reading.stop, "Close waits for its end")
	require.Nil(t, r.bars.kept.Load())

	server.Resume()
	_, _, err = r.Klines(t.Context(), lastBar)
	require.Error(t, err)
	r.bars.reading.forget()
	r.keepBars(t.Context())
	require.Zero(t, r.bars.reading.began)
	require.NoError(t, r.Close())
}

// TestKeptBarsNoticeRepairs repairs a bar that is kept, and takes it away.
func TestKeptBarsNoticeRepairs(t *testing.T) {
	m := newMarket(t, t.Context(), open(t, testserver.ClickHouse(t)))
	r := newReader(m.writer.store)
	m.apply(recorded("600000.SH", 30, 0, 1, 1000))
	for _, remove := range []bool{false, true} {
		m.keep(r)
		require.True(t, m.keeps(r))
		m.repair("600000.SH", events.Bar{Date: daysAgo(10), Close: 5, Volume: 1}, remove)
		require.False(t, m.keeps(r))
		m.requireAnswer(t.Context(), r, query.KlineQuery{Stocks: []string{"600000.SH"}, Last: 20})
	}
	require.NoError(t, r.Close())
}
