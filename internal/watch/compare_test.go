package watch

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

const account = "55009728"

func always(string, string) bool { return true }

// stateOf is what the ledger would hand out of a book.
func stateOf(b *book.Book) state {
	s := state{created: true, incDate: b.IncDate(account), stocks: make(map[string]book.Position), holdings: &holdings{}}
	for _, p := range b.Positions(account) {
		s.stocks[p.StockCode] = p
	}
	return s
}

// planOf compares and applies the moves, as the log's fold does.
func planOf(t require.TestingT, b *book.Book, v *view) *plan {
	p := &plan{account: account, view: v, from: stateOf(b), lasting: always}
	p.compare()
	for _, e := range p.moves {
		verdict, err := b.Check(e)
		require.NoError(t, err)
		require.True(t, verdict.Applied, "an event that changes nothing: %v", e.Data)
		b.Apply(e)
	}
	return p
}

func newBook() *book.Book {
	b := book.New(book.Keep{})
	b.Apply(&events.Event{Time: anyTime, Data: &events.AccountCreated{AccountID: account, AccountName: "n", Broker: "QMT", InitialCapital: 100}})
	return b
}

// TestPlanMakesTheBookEqualTheView: from any state of the book to any view that
// events can reach, in one plan; after that there is nothing left to do.
func TestPlanMakesTheBookEqualTheView(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := rapid.Custom(func(t *rapid.T) string { return fmt.Sprintf("60000%d.SH", rapid.IntRange(0, 5).Draw(t, "code")) })
		price := rapid.Custom(func(t *rapid.T) events.Price { return events.Price(rapid.Int64Range(1, 9).Draw(t, "price")) })
		date := events.Date(20250101)
		b := newBook()
		for i := range 4 {
			date += events.Date(rapid.IntRange(0, 1).Draw(t, "another day"))
			v := &view{
				held:    rapid.MapOf(code, rapid.Int64Range(0, 3)).Draw(t, "held"),
				incDate: date,
				max:     rapid.MapOf(code, price).Draw(t, "max"),
				min:     rapid.MapOf(code, price).Draw(t, "min"),
				changed: anyTime.Add(time.Duration(i) * time.Second),
			}
			// A part that cannot be read now stays as it is.
			unknown := rapid.IntRange(0, 7).Draw(t, "unknown")
			before := stateOf(b)
			for j, forget := range []func(){func() { v.held = nil }, func() { v.max = nil }, func() { v.min = nil }} {
				if unknown&(1<<j) != 0 {
					forget()
				}
			}
			p := planOf(t, b, v)
			require.Empty(t, p.drifts)
			after := stateOf(b)
			for code := range union(before.stocks, after.stocks) {
				was, is := before.stocks[code], after.stocks[code]
				if v.held != nil {
					days, held := v.held[code]
					require.Equal(t, held, is.Open, code)
					require.Equal(t, days, is.HeldDays, code)
				} else {
					require.Equal(t, was.Open, is.Open, code)
					require.Equal(t, was.HeldDays, is.HeldDays, code)
				}
				closed := v.held != nil && was.Open && !is.Open
				for _, mark := range []struct {
					file    map[string]events.Price
					was, is events.Price
				}{{v.max, was.MaxPrice, is.MaxPrice}, {v.min, was.MinPrice, is.MinPrice}} {
					switch {
					case mark.file != nil:
						require.Equal(t, mark.file[code], mark.is, code)
					case !closed: // a closing takes unknown prices along
						require.Equal(t, mark.was, mark.is, code)
					}
				}
			}
			again := planOf(t, b, v)
			require.Empty(t, again.moves, "nothing is left")
			require.True(t, again.equal())
		}
	})
}

func union(all ...map[string]book.Position) map[string]bool {
	codes := make(map[string]bool)
	for _, m := range all {
		for code := range m {
			codes[code] = true
		}
	}
	return codes
}

// TestIncrementIsOneEvent: a day of ten positions is one event, and one more
// for the position that was bought the same day.
func TestIncrementIsOneEvent(t *testing.T) {
	b, held := newBook(), make(map[string]int64)
	for i := range 10 {
		held[fmt.Sprintf("60000%d.SH", i)] = int64(i)
	}
	require.Len(t, planOf(t, b, &view{held: held, incDate: 20250102, changed: anyTime}).moves, 11)
	for code := range held {
		held[code]++
	}
	held["600009.SH"] = 0
	p := planOf(t, b, &view{held: held, incDate: 20250103, changed: anyTime})
	require.Len(t, p.moves, 2)
	require.Equal(t, &events.PositionDaysIncremented{AccountID: account, Date: 20250103}, p.moves[0].Data)
	require.Equal(t, &events.PositionOpened{AccountID: account, StockCode: "600009.SH"}, p.moves[1].Data)

	p = planOf(t, b, &view{held: held, changed: anyTime})
	require.Empty(t, p.moves)
	require.Len(t, p.drifts, 1, "no event takes _inc_date back")
	require.Equal(t, "_inc_date", p.drifts[0].Key)
}

// TestHalfWrittenIsNotYet: what a writer leaves between open and close changes
// nothing; lasting, it is told.
func TestHalfWrittenIsNotYet(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	f := &follower{Folder: Folder{Dir: dir, Account: account}, patience: time.Second, void: make(map[string]time.Time), bad: make(map[string]time.Time), kept: make(map[string]*table)}
	at := time.Now()
	look := func(after time.Duration) *view {
		v, err := f.look(at.Add(after))
		require.NoError(t, err)
		return v
	}
	_, err := f.look(at)
	require.ErrorContains(t, err, "not mounted")

	const whole = `{"600000.SH": {"day_count": 3}, "SH600001": 2, "600002.SH": {"day_count": null}, "_inc_date": "2025-01-02"}`
	for cut := range len(whole) {
		put(silverquant.PositionsFile, whole[:cut])
		require.Nil(t, look(0).held, whole[:cut])
	}
	put(silverquant.PositionsFile, whole)
	require.Equal(t, map[string]int64{"600000.SH": 3, "600001.SH": 2}, look(0).held)
	put(silverquant.PositionsFile, whole[:20])
	require.Empty(t, look(time.Second).drifts)
	v := look(3 * time.Second)
	require.Nil(t, v.held)
	require.Len(t, v.drifts, 1)
	require.Equal(t, silverquant.PositionsFile, v.drifts[0].File)
	put(silverquant.PositionsFile, "")
	require.Nil(t, look(3*time.Second).held, "half for long, but empty only now: somebody writes it anew")
	require.Empty(t, look(4*time.Second).held, "emptied")

	// One entry is damaged: the others count, and the log's word on it stays.
	put(silverquant.PositionsFile, `{"600000.SH": {"day_count": 3}, "600001.SH": {"day_count": "x"}}`)
	v = look(5 * time.Second)
	require.Equal(t, map[string]int64{"600000.SH": 3}, v.held)
	require.True(t, v.dim[silverquant.PositionsFile]["600001.SH"])
	require.Len(t, v.drifts, 1)

	put(silverquant.AssetsFile, silverquant.AssetsHeader+"2025-01-02,100.0\n2025-01-03,20")
	v = look(5 * time.Second)
	require.Len(t, v.assets, 1)
	require.NotEmpty(t, v.unsettled)
}
