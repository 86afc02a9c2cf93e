package compare

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// tape numbers events.
func tape(data ...events.Data) []*events.Event {
	var list []*events.Event
	for i, d := range data {
		list = append(list, &events.Event{Sequence: uint64(i + 1), Time: time.Date(2025, 1, 2, 10, 0, i, 0, events.Zone), Data: d})
	}
	return list
}

const stock = "600000.SH"

// scene is a Comparer of one tier.
type scene struct {
	*Comparer
	log, tier *view
	lines     bytes.Buffer
}

func newScene(list []*events.Event) *scene {
	s := &scene{log: newView("memory", list), tier: newView("redis", list)}
	s.Comparer = New(Options{Log: s.log, Tiers: []query.Tier{s.tier}, Logger: slog.New(slog.NewTextHandler(&s.lines, nil))})
	return s
}

func (s *scene) look(t require.TestingT) TierReport {
	require.NoError(t, s.Round(context.Background()))
	return s.Report().Tiers[0]
}

func keys(list []Difference) []string {
	all := []string{}
	for _, d := range list {
		all = append(all, d.Kind+"/"+d.Key)
	}
	return all
}

// opened is an account with an open position.
var opened = []events.Data{
	&events.AccountCreated{AccountID: "acc-01", AccountName: "n", Broker: "QMT", InitialCapital: 100},
	&events.PositionOpened{AccountID: "acc-01", StockCode: stock, HeldDays: 3},
}

func oneDayMore(_ string, p *query.AccountPositions) {
	for i := range p.List {
		p.List[i].HeldDays++
	}
}

func TestDifferenceIsToldOnceAndWhenItIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(tape(opened...))
		s.log.advance(2)
		s.tier.advance(2)
		one := s.look(t)
		require.Empty(t, one.Differences)
		require.Equal(t, 2, one.Rows)
		require.EqualValues(t, 2, one.Sequence)
		require.Empty(t, s.lines.String())

		s.tier.damage = oneDayMore
		since := s.look(t).Differences[0].Since
		time.Sleep(time.Minute)
		one = s.look(t)
		three, four := "3", "4"
		require.Equal(t, []Difference{{Kind: "held_days", Account: "acc-01", Key: "acc-01/" + stock, Tier: &four, Log: &three, Since: since, unit: "positions/acc-01"}}, one.Differences)
		require.Equal(t, 1, strings.Count(s.lines.String(), "level=WARN"), s.lines.String())
		require.Contains(t, s.lines.String(), "replay verify --tier redis")

		s.tier.damage = nil
		require.Empty(t, s.look(t).Differences)
		require.Empty(t, s.look(t).Differences)
		require.Equal(t, 1, strings.Count(s.lines.String(), "level=INFO"), s.lines.String())
	})
}

func TestOneLookIsNotEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(tape(opened...))
		s.log.advance(2)
		s.tier.advance(2)
		looks := 0
		s.tier.damage = func(account string, p *query.AccountPositions) {
			if looks++; looks == 1 {
				oneDayMore(account, p)
			}
		}
		one := s.look(t)
		require.Empty(t, one.Differences)
		require.Zero(t, one.Undecided)
		require.Equal(t, 2, looks)
	})
}

// TestThereAndBackIsNoDifference: whenever the log is read it says the same, but
// between these moments the tier had another value, and rightly so.
func TestThereAndBackIsNoDifference(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		data := slices.Clone(opened)
		for i := range 200 {
			data = append(data, &events.PositionHeldDaysSet{AccountID: "acc-01", StockCode: stock, HeldDays: int64(3 + (i+1)%2)})
		}
		s := newScene(tape(data...))
		s.log.advance(2)
		s.tier.advance(2)
		s.tier.before = func() { s.tier.advance(s.log.at.Sequence + 1) } // ahead, at 4 days
		s.log.before = func() {
			if s.log.at.Sequence < s.tier.at.Sequence {
				s.log.advance(s.tier.at.Sequence + 1) // at 3 days
			}
		}
		for range 5 {
			one := s.look(t)
			require.NoError(t, one.Error)
			require.Empty(t, one.Differences)
			require.Positive(t, one.Undecided)
		}
		require.Empty(t, s.lines.String())
	})
}

func TestTierThatIsNotComparedSaysWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(tape(opened...))
		s.log.advance(2)
		s.tier.advance(2)
		s.tier.damage = oneDayMore
		require.Len(t, s.look(t).Differences, 1)
		checked := s.Report().Tiers[0].Checked
		s.tier.damage = nil
		time.Sleep(time.Minute)
		for _, c := range []struct {
			why  string
			make func()
		}{
			{"lost", func() { s.tier.err = errors.New("lost") }},
			{"a hold keeps it", func() { s.tier.err, s.tier.at.Held = nil, true }},
			{"redis is at 1, the log was at 2", func() { s.tier.at = query.At{Sequence: 1} }},
		} {
			c.make()
			one := s.look(t)
			require.ErrorContains(t, one.Error, c.why)
			require.Equal(t, s.tier.at.Held, one.Held)
			require.Len(t, one.Differences, 1, "what was told stays until a look finds it gone")
			require.Equal(t, checked, one.Checked)
		}
		s.tier.at.Sequence = 2
		one := s.look(t)
		require.NoError(t, one.Error)
		require.Empty(t, one.Differences)
		s.log.err = query.ErrNotReady
		require.ErrorIs(t, s.Round(t.Context()), query.ErrUnavailable)
		require.Len(t, s.Report().Tiers, 1)
	})
}

func TestNothingToCompareIsNotWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(tape(opened...))
		s.log.advance(2)
		s.Comparer = New(Options{Log: s.log, Tiers: []query.Tier{struct{ query.TradeReader }{s.tier}}})
		require.NoError(t, s.look(t).Error, "there are no trades")
		s.tier.err = errors.New("lost")
		require.ErrorContains(t, s.look(t).Error, "lost")
	})
}

// TestWhatCannotBeReadIsTold, but not while events are on their way: a projector
// may be writing.
func TestWhatCannotBeReadIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(tape(slices.Concat(opened, slices.Repeat(opened[1:], 100))...))
		s.log.advance(2)
		s.tier.advance(2)
		s.tier.fault = errors.New("another hand")
		s.log.before = func() { s.log.advance(s.log.at.Sequence + 1); s.tier.advance(s.log.at.Sequence) }
		one := s.look(t)
		require.NoError(t, one.Error)
		require.Empty(t, one.Differences)
		require.Equal(t, 1, one.Undecided)

		s.log.before = func() {}
		s.tier.advance(s.log.at.Sequence)
		one = s.look(t)
		require.Equal(t, []string{"positions/acc-01"}, keys(one.Differences))
		require.Equal(t, "acc-01", one.Differences[0].Account)
		require.Contains(t, *one.Differences[0].Tier, "another hand")
		s.tier.fault = nil
		require.Empty(t, s.look(t).Differences)
	})
}

// TestFlowNeverAlarms lets log and tier go on at random while they are compared:
// nothing is told. What somebody changes by hand is told when the flow pauses, if
// not before, and nothing else is.
func TestFlowNeverAlarms(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		list := booktest.Histories(rt, booktest.Options{Events: 120})
		s := newScene(list)
		s.pause = func(context.Context, time.Duration) error { return nil } // reads let time go on
		s.tier.deals = rapid.Bool().Draw(rt, "deals")
		var planted func(account string, p *query.AccountPositions)
		if rapid.Bool().Draw(rt, "planted") {
			planted = oneDayMore
			s.tier.damage = planted
		}
		lost := rapid.IntRange(-1, 3).Draw(rt, "lost trade")
		if lost >= 0 {
			s.tier.lose = func(trades []query.Trade) []query.Trade {
				if len(trades) > lost {
					return slices.Delete(trades, lost, lost+1)
				}
				return trades
			}
		}
		step := rapid.IntRange(0, 3)
		goOn := func() {
			s.log.advance(s.log.at.Sequence + uint64(step.Draw(rt, "log")))
			s.tier.advance(s.tier.at.Sequence + uint64(step.Draw(rt, "tier")))
		}
		s.log.before, s.tier.before = goOn, goOn
		right := func(one TierReport) {
			for _, d := range one.Differences {
				switch book.Kind(d.Kind) {
				case book.KindHeldDays:
					require.NotNil(rt, planted, "%v", d)
				case book.KindTrade, book.KindDeal:
					require.GreaterOrEqual(rt, lost, 0, "%v", d)
					require.Nil(rt, d.Tier)
				default:
					require.Fail(rt, "false alarm", "%v", d)
				}
			}
		}
		for range 3 {
			right(s.look(rt))
		}
		s.log.before, s.tier.before = func() {}, func() {}
		s.log.advance(uint64(len(list)))
		s.tier.advance(uint64(len(list)))
		one := s.look(rt)
		right(one)
		require.NoError(rt, one.Error)
		require.Zero(rt, one.Undecided)
		want := 0
		if planted != nil {
			for _, account := range s.log.book.AccountIDs() {
				for _, p := range s.log.book.Positions(account) {
					if p.Open {
						want++
					}
				}
			}
		}
		whole, _, _ := s.log.Trades(context.Background(), query.TradeFilter{From: s.log.LastTrades(DefaultTradeDays, 0)})
		if lost >= 0 && len(whole) > lost {
			want++
		}
		require.Len(rt, one.Differences, want)
	})
}
