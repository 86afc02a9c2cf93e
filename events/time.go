package events

import (
	"fmt"
	"time"
)

// Zone is the exchanges' zone, UTC+8 without daylight saving (China has had
// none since 1991). Every time in an event is kept in it.
var Zone = time.FixedZone("CST", 8*60*60)

// timeLayout is the canonical form: RFC 3339 with at most microseconds.
const timeLayout = "2006-01-02T15:04:05.999999Z07:00"

// FormatTime writes t canonically: RFC 3339 in Zone, at most microseconds.
func FormatTime(t time.Time) string {
	return t.In(Zone).Format(timeLayout)
}

// ParseTime reads an RFC 3339 time with zone, moves it into Zone and cuts it
// to microseconds, the finest that every tier can hold. Years 1990–2200.
func ParseTime(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("must be an RFC 3339 time with zone, such as 2025-01-02T09:30:00+08:00")
	}
	t = t.In(Zone).Truncate(time.Microsecond)
	if y := t.Year(); y < 1990 || y > 2200 {
		return time.Time{}, fmt.Errorf("must lie in the years 1990 to 2200")
	}
	return t, nil
}

// Date is a calendar day as yyyymmdd, so that dates compare as numbers.
// The zero Date is no date.
type Date int32

// DateOf is the day of t in Zone.
func DateOf(t time.Time) Date {
	y, m, d := t.In(Zone).Date()
	return Date(y*10000 + int(m)*100 + d)
}

// ParseDate reads "2025-01-02".
func ParseDate(text string) (Date, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1900 || t.Year() > 2200 {
		return 0, fmt.Errorf("must be a date such as 2025-01-02")
	}
	return DateOf(t), nil
}

// Time is midnight at the start of the day in Zone.
func (d Date) Time() time.Time {
	return time.Date(int(d)/10000, time.Month(int(d)/100%100), int(d)%100, 0, 0, 0, 0, Zone)
}

func (d Date) String() string {
	return fmt.Sprintf("%04d-%02d-%02d", int(d)/10000, int(d)/100%100, int(d)%100)
}
