package query

import (
	"cmp"
	"errors"
	"math/bits"
	"slices"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Grouping is what a statistic has one line for.
type Grouping string

// The groupings.
const (
	ByDay     Grouping = "day"
	ByMonth   Grouping = "month"
	ByYear    Grouping = "year"
	ByStock   Grouping = "stock"
	ByAccount Grouping = "account"
)

// key is the line that a fill belongs to.
func (g Grouping) key(of *StockFills, day events.Date) string {
	switch g {
	case ByDay:
		return day.String()
	case ByMonth:
		return day.String()[:len("2006-01")]
	case ByYear:
		return day.String()[:len("2006")]
	case ByStock:
		return of.Stock
	default:
		return of.Account
	}
}

// Statistic sums up buys and sells: order types buy_trade and sell_trade; no
// others count.
//
// Profit is realized profit without fees. Each sell is matched with the oldest
// purchases of the same account and stock that are not used up (first in, first
// out, by second of traded_at, then by sequence), over the whole history, and
// belongs to the day of the sell. Shares that were sold but never bought on the
// tape are Unmatched and bring no profit. The profit of each sell is rounded
// half away from zero to 0.01, then added up.
type Statistic struct {
	Key                string
	Count, Buys, Sells int64
	Amount, Profit     events.Money
	Unmatched          int64
	Wins, Losses       int64

	first, last int64 // seconds since 1970
}

// WinRate is the share of Wins among the sells with a profit or a loss; false
// when there are none.
func (s Statistic) WinRate() (events.Percent, bool) {
	decided := s.Wins + s.Losses
	if decided == 0 {
		return 0, false
	}
	return events.Percent((s.Wins*20_000 + decided) / (2 * decided)), true
}

// ErrTooLarge: a sum has more digits than an answer can tell.
var ErrTooLarge = errors.New("the sums of these trades do not fit into 64 bits; ask for fewer days, one account or one stock")

// sum adds; it is false when the sum does not fit.
func sum[T ~int64](to *T, n T) bool {
	was := *to
	*to += n
	return *to >= was == (n >= 0)
}

// product multiplies with a number that is not negative; it is false when the
// product does not fit.
func product(a, n int64) (int64, bool) {
	high, low := bits.Mul64(uint64(max(a, -a)), uint64(n))
	return a * n, high == 0 && low < 1<<63
}

// add is false when a sum does not fit.
func (s *Statistic) add(f *Fill, m match) bool {
	s.Count++
	fits := sum(&s.Amount, f.Amount)
	if f.Sell {
		s.Sells++
	} else {
		s.Buys++
	}
	fits = m.fits && sum(&s.Profit, m.profit) && sum(&s.Unmatched, m.unmatched) && fits
	switch {
	case m.profit > 0:
		s.Wins++
	case m.profit < 0:
		s.Losses++
	}
	if s.Count == 1 || f.Second < s.first {
		s.first = f.Second
	}
	if s.Count == 1 || f.Second > s.last {
		s.last = f.Second
	}
	return fits
}

// FirstTrade is when the first of them was; zero when there are none.
func (s Statistic) FirstTrade() time.Time { return s.moment(s.first) }

// LastTrade is when the last of them was; zero when there are none.
func (s Statistic) LastTrade() time.Time { return s.moment(s.last) }

func (s Statistic) moment(second int64) time.Time {
	if s.Count == 0 {
		return time.Time{}
	}
	return time.Unix(second, 0).In(events.Zone)
}

// lot is what is left of a purchase.
type lot struct {
	price  events.Price
	volume int64
}

// match is what came of a sell.
type match struct {
	profit    events.Money
	unmatched int64
	// fits is false when the profit has too many digits.
	fits bool
}

// lots are the purchases of one account and stock that are not used up.
type lots struct {
	queue []lot
	head  int
}

func (l *lots) take(f *Fill) match {
	if !f.Sell {
		l.queue = append(l.queue, lot{f.Price, f.Volume})
		return match{fits: true}
	}
	left, gain, fits := f.Volume, int64(0), true // gain in thousandths of a yuan
	for left > 0 && l.head < len(l.queue) {
		first := &l.queue[l.head]
		n := min(left, first.volume)
		part, small := product(int64(f.Price-first.price), n)
		fits = sum(&gain, part) && small && fits
		left -= n
		if first.volume -= n; first.volume == 0 {
			l.head++
		}
	}
	return match{profit: toMoney(gain), unmatched: left, fits: fits}
}

// toMoney rounds thousandths of a yuan half away from zero to hundredths.
func toMoney(milli int64) events.Money {
	return events.Money(milli/10 + milli%10/5)
}

const secondsADay = 24 * 60 * 60

// aggregate makes the lines of a statistic, of which only the days from…to show;
// they come sorted by key, and total is the sum of all. The error is ErrTooLarge.
func aggregate(all []StockFills, by Grouping, from, to events.Date) (lines []Statistic, total Statistic, err error) {
	groups := make(map[string]*Statistic)
	var open lots
	for i := range all {
		of := &all[i]
		open = lots{queue: open.queue[:0]}
		var day, was events.Date
		var since int64 // when the day began
		var group *Statistic
		for j := range of.Fills {
			f := &of.Fills[j]
			m := open.take(f)
			if day == 0 || f.Second-since >= secondsADay {
				day = f.Day()
				since = day.Time().Unix()
			}
			if day < from || to != 0 && day > to {
				continue
			}
			if day != was { // what follows is looked up once a day
				was = day
				key := by.key(of, day)
				if group = groups[key]; group == nil {
					group = &Statistic{Key: key}
					groups[key] = group
				}
			}
			if !group.add(f, m) || !total.add(f, m) {
				return nil, Statistic{}, ErrTooLarge
			}
		}
	}
	for _, group := range groups {
		lines = append(lines, *group)
	}
	slices.SortFunc(lines, func(a, b Statistic) int { return cmp.Compare(a.Key, b.Key) })
	return lines, total, nil
}
