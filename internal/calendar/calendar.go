// Package calendar knows the Chinese stock exchanges' trading days and
// sessions.
package calendar

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// tradingDays lists the exchanges' trading days from 1990-12-19 to 2025-12-31:
// a header line, then one ISO date a line, ascending.
//
//go:embed trading_days.csv
var tradingDays string

// known is tradingDays parsed, ascending. The file is part of the program, so
// a bad line is a programming error and panics.
var known = sync.OnceValue(func() []events.Date {
	lines := strings.Fields(tradingDays)[1:]
	days := make([]events.Date, len(lines))
	for i, line := range lines {
		day, err := events.ParseDate(line)
		if err != nil {
			panic(fmt.Sprintf("calendar: trading_days.csv line %d: %v", i+2, err))
		}
		days[i] = day
	}
	return days
})

// IsTradingDay tells whether the exchanges trade on day. Within the embedded
// calendar (1990–2025) it is exact, holidays included; after it every Monday
// to Friday counts; before the exchange's first day none does.
func IsTradingDay(day events.Date) bool {
	days := known()
	if day > days[len(days)-1] {
		weekday := day.Time().Weekday()
		return weekday != time.Saturday && weekday != time.Sunday
	}
	_, found := slices.BinarySearch(days, day)
	return found
}

// Window is a span of the day in the exchanges' zone, both ends included.
type Window struct {
	// Open and Close count from midnight.
	Open, Close time.Duration
}

// DefaultWindow is 09:15, the start of the opening auction, to 15:30, the end
// of after-hours trading.
var DefaultWindow = Window{Open: 9*time.Hour + 15*time.Minute, Close: 15*time.Hour + 30*time.Minute}

// InSession tells whether t lies inside the window of a trading day.
func InSession(t time.Time, w Window) bool {
	day := events.DateOf(t)
	sinceMidnight := t.Sub(day.Time())
	return sinceMidnight >= w.Open && sinceMidnight <= w.Close && IsTradingDay(day)
}

// String is the form that UnmarshalText reads.
func (w Window) String() string { return clock(w.Open) + "-" + clock(w.Close) }

func clock(d time.Duration) string {
	return fmt.Sprintf("%02d:%02d", int(d.Hours()), int(d.Minutes())%60)
}

// UnmarshalText reads "09:15-15:30": 24-hour times, the end not before the
// start.
func (w *Window) UnmarshalText(text []byte) error {
	from, to, _ := strings.Cut(string(text), "-")
	open, err1 := time.Parse("15:04", from)
	closing, err2 := time.Parse("15:04", to)
	if err1 != nil || err2 != nil || closing.Before(open) {
		return fmt.Errorf("session window %.40q: must be such as 09:15-15:30", text)
	}
	midnight := time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)
	*w = Window{Open: open.Sub(midnight), Close: closing.Sub(midnight)}
	return nil
}

// MarshalText is String, for settings and their help.
func (w Window) MarshalText() ([]byte, error) { return []byte(w.String()), nil }
