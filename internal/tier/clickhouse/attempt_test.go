package clickhouse

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

func open(t *testing.T, server *testserver.Server) *Tier {
	t.Helper()
	tier, err := Open(t.Context(), Options{DSN: server.URL()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tier.Close()) })
	_, err = tier.Checkpoint(t.Context())
	require.NoError(t, err)
	return tier
}

// batch is the events after from up to to of a history that never ends: each
// is a trade and, every third, a bar of a few days that come again and again.
func batch(from, to uint64) projector.Batch {
	b := projector.Batch{From: checkpoint(from), To: checkpoint(to)}
	for sequence := from + 1; sequence <= to; sequence++ {
		var data events.Data = &events.TradeRecorded{
			AccountID: "55009728", StockCode: "600000.SH", StockName: "浦发银行", OrderType: events.BuyTrade,
			Price: events.Price(sequence), Volume: 100, Amount: events.Money(sequence), TradedAt: time.Date(2025, 1, 2, 9, 30, int(sequence), 0, events.Zone),
		}
		if sequence%3 == 0 {
			data = &events.KlineRecorded{StockCode: "600000.SH", Bars: []events.Bar{{Date: events.Date(20250101 + sequence%7), Close: events.Price(sequence)}}}
		}
		b.Events = append(b.Events, &events.Event{Sequence: sequence, Data: data})
	}
	return b
}

func checkpoint(sequence uint64) eventlog.Checkpoint {
	at := eventlog.Checkpoint{Sequence: sequence}
	if sequence > 0 {
		at.Chain[0], at.Chain[31] = byte(sequence), 1
	}
	return at
}

// requireContents holds tier, and what readers see by plain SQL, against the
// fold of the first events.
func requireContents(t *testing.T, tier *Tier, upto uint64) {
	t.Helper()
	folded := book.New(book.Keep{History: true})
	for _, e := range batch(0, upto).Events {
		folded.Apply(e)
	}
	var want, got []book.Row
	require.NoError(t, folded.Rows(tier.Kinds(), func(r book.Row) error { want = append(want, r); return nil }))
	at, err := tier.Dump(t.Context(), func(r book.Row) error { got = append(got, r); return nil })
	require.NoError(t, err)
	require.Equal(t, checkpoint(upto), at)
	require.Equal(t, want, got)

	var trades, sequences, sum, bars, days uint64
	require.NoError(t, tier.store.conn.QueryRow(t.Context(),
		"SELECT count(), uniqExact(sequence), toUInt64(sum(price * 1000)) FROM trade").Scan(&trades, &sequences, &sum))
	require.NoError(t, tier.store.conn.QueryRow(t.Context(),
		"SELECT count(), uniqExact(stock_code, date) FROM daily_kline").Scan(&bars, &days))
	var wantSum uint64
	for _, trade := range folded.Trades() {
		wantSum += uint64(trade.Price)
	}
	require.EqualValues(t, len(folded.Trades()), trades)
	require.Equal(t, trades, sequences)
	require.Equal(t, wantSum, sum)
	require.EqualValues(t, len(folded.Klines("600000.SH")), bars)
	require.Equal(t, bars, days)

	r := newReader(tier.store)
	found, seen, err := r.Klines(t.Context(), query.KlineQuery{Stocks: []string{"600000.SH"}})
	require.NoError(t, err)
	require.Equal(t, upto, seen.Sequence)
	var wantBars []events.Bar
	for _, k := range folded.Klines("600000.SH") {
		wantBars = append(wantBars, k.Bar)
	}
	require.Equal(t, wantBars, found["600000.SH"])
	all, _, err := r.Fills(t.Context(), query.TradeFilter{})
	require.NoError(t, err)
	var fills uint64
	for _, of := range all {
		fills += uint64(len(of.Fills))
	}
	require.Equal(t, trades, fills, "each is a purchase")
}

// attemptOf inserts a batch's rows as a projector does that dies before it can
// make them count.
func attemptOf(t *testing.T, tier *Tier, b projector.Batch) attempt {
	t.Helper()
	now, err := tier.store.read(t.Context())
	require.NoError(t, err)
	_, err = tier.begin(t.Context(), now, b)
	require.NoError(t, err)
	require.NoError(t, tier.store.insertRows(t.Context(), tier.attempt, gather(b.Events)))
	return tier.attempt
}

// TestZombies lets inserts of dead projectors arrive at every later moment:
// before and after their batch was brought by another, cut otherwise, and after
// a rebuild took the live place.
func TestZombies(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	zombie := &Tier{store: tier.store}
	require.NoError(t, tier.Apply(t.Context(), batch(0, 20)))

	late := batch(20, 33)
	dead := attemptOf(t, zombie, late)
	requireContents(t, tier, 20)
	fresh := &Tier{store: tier.store}
	require.NoError(t, fresh.Apply(t.Context(), batch(20, 27)))
	requireContents(t, tier, 27)
	require.NoError(t, tier.store.insertRows(t.Context(), dead, gather(late.Events)))
	requireContents(t, tier, 27)
	require.ErrorIs(t, zombie.Apply(t.Context(), late), projector.ErrConflict)
	require.NoError(t, fresh.Apply(t.Context(), batch(27, 40)))
	requireContents(t, tier, 40)

	require.NoError(t, tier.store.sweep(t.Context(), 0))
	var rows uint64
	require.NoError(t, tier.store.conn.QueryRow(t.Context(), "SELECT count() FROM tapedeck_trade").Scan(&rows))
	require.EqualValues(t, 40-13, rows, "swept: a row a trade")
	require.NoError(t, tier.store.insertRows(t.Context(), dead, gather(late.Events)))
	requireContents(t, tier, 40)

	// The same when the live place has changed under the zombie.
	dead = attemptOf(t, zombie, batch(40, 50))
	rebuilt, err := tier.Shadow(t.Context(), "again")
	require.NoError(t, err)
	require.NoError(t, rebuilt.Apply(t.Context(), batch(0, 40)))
	require.NoError(t, rebuilt.Promote(t.Context(), projector.Hold{}))
	require.NoError(t, tier.store.insertRows(t.Context(), dead, gather(batch(40, 50).Events)))
	now, err := tier.store.read(t.Context())
	require.NoError(t, err)
	zombie.attempt = dead
	_, err = zombie.bring(t.Context(), now, batch(40, 50), gather(batch(40, 50).Events))
	require.ErrorIs(t, err, projector.ErrConflict)
	requireContents(t, tier, 40)
	require.NoError(t, tier.Apply(t.Context(), batch(40, 50)))
	requireContents(t, tier, 50)
}

// TestStateIsComparedAndSet lets many writers race: each revision is written
// once, and every change is built upon the one before.
func TestStateIsComparedAndSet(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	const writers, changes = 6, 15
	var wait sync.WaitGroup
	errs := make([]error, writers)
	for i := range writers {
		wait.Go(func() {
			for range changes {
				_, err := tier.store.change(t.Context(), func(next *state) error {
					if next.Live == nil {
						next.Live = newPlace()
					}
					next.Live.Sequence++
					return nil
				})
				if err != nil {
					errs[i] = err
				}
			}
		})
	}
	wait.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
	now, err := tier.store.read(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, writers*changes, now.Live.Sequence)
	require.EqualValues(t, writers*changes, now.Revision)
	var rows uint64
	require.NoError(t, tier.store.conn.QueryRow(t.Context(), "SELECT count() FROM tapedeck_state").Scan(&rows))
	require.EqualValues(t, writers*changes, rows)
}

// TestLateState: a state that a server writes long after its revision was taken
// is no state, and one whose token is burnt without a row holds nobody up.
func TestLateState(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	require.NoError(t, tier.Apply(t.Context(), batch(0, 5)))
	require.NoError(t, tier.Apply(t.Context(), batch(5, 9)))
	now, err := tier.store.read(t.Context())
	require.NoError(t, err)
	old := now
	old.Revision--
	old.Live = newPlace()
	require.NoError(t, tier.store.append(t.Context(), old, "late", 77))
	requireContents(t, tier, 9)

	burnt := now.next()
	require.NoError(t, tier.store.append(t.Context(), burnt, "burnt", 0))
	require.NoError(t, tier.store.conn.Exec(t.Context(), fmt.Sprintf("ALTER TABLE tapedeck_state DELETE WHERE revision = %d", burnt.Revision)))
	require.NoError(t, tier.Apply(t.Context(), batch(9, 12)))
	requireContents(t, tier, 12)
}

// TestEmptiedUnderWriter: a writer that has the state in hand while someone
// empties the tables does not bring a checkpoint without contents back.
func TestEmptiedUnderWriter(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	require.NoError(t, tier.Apply(t.Context(), batch(0, 5)))
	now, err := tier.store.read(t.Context())
	require.NoError(t, err)
	for _, table := range tableNames {
		require.NoError(t, tier.store.conn.Exec(t.Context(), "TRUNCATE TABLE "+table))
	}
	_, err = tier.store.changeFrom(t.Context(), now, func(*state) error { return nil })
	require.ErrorIs(t, err, projector.ErrConflict)
	requireContents(t, tier, 0)
	require.NoError(t, tier.Apply(t.Context(), batch(0, 5)))
	requireContents(t, tier, 5)
}

// TestSweepIsInvisible revises the same days over and over, sweeps, and looks
// for what a reader could notice; a dump that began before goes on whole.
func TestSweepIsInvisible(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	for from := uint64(0); from < 60; from += 20 {
		require.NoError(t, tier.Apply(t.Context(), batch(from, from+20)))
	}
	before, err := tier.store.placeNow(t.Context(), 0)
	require.NoError(t, err)
	require.NotEmpty(t, before.Stocks, "days were revised")
	require.NoError(t, tier.store.sweep(t.Context(), 0))
	requireContents(t, tier, 60)
	after, err := tier.store.placeNow(t.Context(), 0)
	require.NoError(t, err)
	require.Empty(t, after.Stocks, "readers have the plain scan")
	var rows uint64
	require.NoError(t, tier.store.conn.QueryRow(t.Context(), "SELECT count() FROM tapedeck_daily_kline").Scan(&rows))
	require.EqualValues(t, 7, rows)

	before.Upto-- // as if it was read before the last batch: its rows may be gone
	done, err := tier.store.dumpKlines(context.WithoutCancel(t.Context()), before, func(book.Row) error { return nil })
	require.NoError(t, err)
	require.False(t, done)
}

// TestSweepHoldsNobodyUp keeps a sweep in the middle of its work: batches and
// dumps go on beside it, what it takes off the list is what it has cleaned, and
// Close ends it.
func TestSweepHoldsNobodyUp(t *testing.T) {
	tier := open(t, testserver.ClickHouse(t))
	var reached uint64
	next := func() {
		t.Helper()
		require.NoError(t, tier.Apply(t.Context(), batch(reached, reached+20)))
		reached += 20
		requireContents(t, tier, reached)
	}
	stuck := func() {
		t.Helper()
		// No mutation is executed from here on, so that the sweep waits for its first.
		require.NoError(t, tier.store.conn.Exec(t.Context(), "SYSTEM STOP MERGES tapedeck_daily_kline"))
		tier.swept = time.Now().Add(-sweepEvery)
		next()
		require.Eventually(t, func() bool {
			var waiting uint64
			return tier.store.conn.QueryRow(t.Context(), "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done").Scan(&waiting) == nil && waiting == 1
		}, 20*time.Second, 10*time.Millisecond)
	}
	sweeping := func() bool {
		tier.store.sweeper.mu.Lock()
		defer tier.store.sweeper.mu.Unlock()
		return tier.store.sweeper.stop != nil
	}
	next()
	stuck()
	swept := reached
	for range 3 {
		require.True(t, sweeping(), "a batch waited for the sweep")
		tier.swept = time.Now().Add(-sweepEvery) // time for the next: it must not begin
		next()
	}
	require.NoError(t, tier.store.conn.Exec(t.Context(), "SYSTEM START MERGES tapedeck_daily_kline"))
	tier.store.sweeper.running.Wait()
	requireContents(t, tier, reached)
	p, err := tier.store.placeNow(t.Context(), 0)
	require.NoError(t, err)
	require.NotZero(t, p.Swept)
	require.Less(t, p.Swept, p.Stocks["600000.SH"], "revised since: still on the list")
	var kept uint64
	require.NoError(t, tier.store.conn.QueryRow(t.Context(), fmt.Sprintf("SELECT count() FROM tapedeck_daily_kline WHERE attempt <= %d", p.Swept)).Scan(&kept))
	require.EqualValues(t, 7, kept, "a row a day of the first %d events", swept)

	stuck()
	require.True(t, sweeping())
	require.NoError(t, tier.Close())
	require.False(t, sweeping(), "Close waits for its end")
}
