package book_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
)

func fold(keep book.Keep, history []*events.Event) *book.Book {
	b := book.New(keep)
	for _, e := range history {
		b.Apply(e)
	}
	return b
}

func rowsOf(t require.TestingT, b *book.Book) []book.Row {
	var rows []book.Row
	require.NoError(t, b.Rows(book.AllKinds(), func(r book.Row) error {
		rows = append(rows, r)
		return nil
	}))
	return rows
}

func restored(t require.TestingT, keep book.Keep, rows []book.Row) *book.Book {
	b := book.New(keep)
	for _, r := range rows {
		require.NoError(t, b.Restore(r))
	}
	return b
}

// disorder draws events that no log holds: any order, half of them twice.
func disorder(t *rapid.T, history []*events.Event) []*events.Event {
	list := append(slices.Clone(history), history[:len(history)/2]...)
	// Rapid's own permutations stay close to the given order.
	seed := rapid.Uint64().Draw(t, "shuffle")
	rand.New(rand.NewPCG(seed, seed)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// drawEvents draws a history, a subset of one, or disorder.
func drawEvents(t *rapid.T, o booktest.Options) []*events.Event {
	history := booktest.Histories(t, o)
	return rapid.SampledFrom([]func(*rapid.T, []*events.Event) []*events.Event{
		func(_ *rapid.T, whole []*events.Event) []*events.Event { return whole },
		subset,
		disorder,
	}).Draw(t, "shape")(t, history)
}

// requireSameChecks holds two Books against each other by what they say to
// events of an unrelated history: that shows counts, sums and unique values
// that rows do not.
func requireSameChecks(t *rapid.T, want, got *book.Book) {
	for _, e := range booktest.Histories(t, booktest.Options{Events: 40}) {
		if d, ok := e.Data.(*events.ParamSaved); ok {
			d.Version = 0
		}
		verdict, err := want.Check(e)
		again, errAgain := got.Check(e)
		require.Equal(t, verdict, again, "%s", e.Type())
		require.Equal(t, err, errAgain, "%s", e.Type())
	}
}

// subset draws what a replay bounded by time may feed: some events are
// missing, the others keep their order.
func subset(t *rapid.T, history []*events.Event) []*events.Event {
	var some []*events.Event
	for _, e := range history {
		if rapid.IntRange(0, 3).Draw(t, "keep") > 0 {
			some = append(some, e)
		}
	}
	return some
}

func drawKeep(t *rapid.T) book.Keep {
	return book.Keep{History: rapid.Bool().Draw(t, "history")}
}

// naive is a second fold of positions, written from the contract's table and
// sharing nothing with Book: flat maps, and a loop for every increment.
type naive struct {
	held     map[string]int64
	max, min map[string]string
	inc      map[string]string
}

func naiveFold(history []*events.Event) naive {
	n := naive{map[string]int64{}, map[string]string{}, map[string]string{}, map[string]string{}}
	for _, e := range history {
		switch d := e.Data.(type) {
		case *events.PositionOpened:
			n.held[d.AccountID+"/"+d.StockCode] = d.HeldDays
		case *events.PositionHeldDaysSet:
			n.held[d.AccountID+"/"+d.StockCode] = d.HeldDays
		case *events.PositionPriceMarked:
			if d.MaxPrice != nil {
				n.max[d.AccountID+"/"+d.StockCode] = d.MaxPrice.String()
			}
			if d.MinPrice != nil {
				n.min[d.AccountID+"/"+d.StockCode] = d.MinPrice.String()
			}
		case *events.PositionClosed:
			delete(n.held, d.AccountID+"/"+d.StockCode)
			delete(n.max, d.AccountID+"/"+d.StockCode)
			delete(n.min, d.AccountID+"/"+d.StockCode)
		case *events.PositionDaysIncremented:
			if d.Date.String() <= n.inc[d.AccountID] {
				continue
			}
			n.inc[d.AccountID] = d.Date.String()
			for key := range n.held {
				if key[:len(key)-len("/600000.SH")] == d.AccountID {
					n.held[key]++
				}
			}
		}
	}
	return n
}

func TestPositionsEqualTheNaiveFold(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := drawEvents(t, booktest.Options{Events: 120, Wide: true})
		b := fold(book.Keep{}, history)
		valuesOf := func(kind book.Kind) map[string]string {
			values := make(map[string]string)
			require.NoError(t, b.Rows([]book.Kind{kind}, func(r book.Row) error {
				values[r.Key] = r.Value
				return nil
			}))
			return values
		}
		want := naiveFold(history)
		held := make(map[string]string)
		for key, days := range want.held {
			held[key] = strconv.FormatInt(days, 10)
		}
		require.Equal(t, held, valuesOf(book.KindHeldDays))
		require.Equal(t, want.max, valuesOf(book.KindMaxPrice))
		require.Equal(t, want.min, valuesOf(book.KindMinPrice))
		require.Equal(t, want.inc, valuesOf(book.KindIncDate))
	})
}

func TestRestoreIsTheInverseOfRows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := drawKeep(t)
		history := drawEvents(t, booktest.Options{Events: 120})
		cut := rapid.IntRange(0, len(history)).Draw(t, "cut")

		stopped := rowsOf(t, fold(keep, history[:cut]))
		again := restored(t, keep, stopped)
		require.Equal(t, stopped, rowsOf(t, again), "rows → restore → rows")
		requireSameChecks(t, fold(keep, history[:cut]), again)

		// Kinds may come in any order.
		order := rapid.Permutation(book.AllKinds()).Draw(t, "order")
		shuffled := book.New(keep)
		require.NoError(t, fold(keep, history[:cut]).Rows(order, shuffled.Restore))
		require.Equal(t, stopped, rowsOf(t, shuffled), "kinds in another order")

		for _, e := range history[cut:] {
			again.Apply(e)
		}
		require.Equal(t, rowsOf(t, fold(keep, history)), rowsOf(t, again), "the fold goes on")
	})
}

func TestRowsAreOrderedAndUnique(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := fold(book.Keep{History: true}, booktest.Histories(t, booktest.Options{Events: 150}))
		kinds := rapid.Permutation(book.AllKinds()).Draw(t, "kinds")
		at, last := 0, ""
		require.NoError(t, b.Rows(kinds, func(r book.Row) error {
			for r.Kind != kinds[at] {
				at, last = at+1, ""
			}
			require.Less(t, last, r.Key, "%s", r.Kind)
			last = r.Key
			return nil
		}))
	})
}

// The fold must not fail or depend on anything but the events, whatever their
// order.
func TestApplyIsTotalAndDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keep := drawKeep(t)
		history := drawEvents(t, booktest.Options{Events: 80})
		rows := rowsOf(t, fold(keep, history))
		require.Equal(t, rows, rowsOf(t, fold(keep, history)))
		requireParents(t, rows)
	})
}

// requireParents holds the relations that have foreign keys in a database
// against each other.
func requireParents(t require.TestingT, rows []book.Row) {
	have := make(map[book.Kind]map[string]bool)
	for _, kind := range book.AllKinds() {
		have[kind] = make(map[string]bool)
	}
	for _, r := range rows {
		have[r.Kind][r.Key] = true
	}
	for _, c := range []struct {
		child, parent book.Kind
		part          int
	}{
		{book.KindBinding, book.KindAccount, 0},
		{book.KindBinding, book.KindStrategy, 1},
		{book.KindParam, book.KindStrategy, 0},
		{book.KindUserRole, book.KindUser, 0},
	} {
		for key := range maps.Keys(have[c.child]) {
			require.True(t, have[c.parent][splitKey(key)[c.part]], "%s %q without its %s", c.child, key, c.parent)
		}
	}
}

func TestRollbackLeavesNothingBehind(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		history := booktest.Histories(t, booktest.Options{Events: 120, Wide: true})
		cut := rapid.IntRange(0, len(history)).Draw(t, "cut")
		end := rapid.IntRange(cut, len(history)).Draw(t, "end")
		b := fold(book.Keep{}, history[:cut])
		before := rowsOf(t, b)

		tx := b.Begin()
		for _, e := range history[cut:end] {
			tx.Apply(e)
		}
		require.Equal(t, rowsOf(t, fold(book.Keep{}, history[:end])), rowsOf(t, b), "a Tx applies like the Book")
		tx.Rollback()
		require.Equal(t, before, rowsOf(t, b))
		requireSameChecks(t, fold(book.Keep{}, history[:cut]), b)

		// What rows do not show (counts, sums, unique values) shows in Check.
		for _, e := range history[cut:] {
			verdict, err := b.Check(e)
			require.NoError(t, err, "%s after rollback", e.Type())
			require.True(t, verdict.Applied, "%s after rollback: %s", e.Type(), verdict.Reason)
			b.Apply(e)
		}
		require.Equal(t, rowsOf(t, fold(book.Keep{}, history)), rowsOf(t, b))
	})
}

func TestRollbackTakesARoleOutOfTheMiddle(t *testing.T) {
	b := known(t)
	for _, role := range []string{"viewer", "developer"} {
		b.Apply(event(&events.RoleGranted{Username: "li_lei", Role: role}))
	}
	before := b.UserRoles()
	tx := b.Begin()
	tx.Apply(event(&events.RoleGranted{Username: "li_lei", Role: "admin"}))
	require.Len(t, b.UserRoles(), 4)
	tx.Rollback()
	require.Equal(t, before, b.UserRoles())
}

func TestBeginRefusesHistory(t *testing.T) {
	require.Panics(t, func() { book.New(book.Keep{History: true}).Begin() })
}
