package events

import (
	"errors"
	"time"
)

// Zone is the exchanges' zone, UTC+8 without daylight saving (China has had
// none since 1991). Every time in an event is kept in it.
var Zone = time.FixedZone("CST", 8*60*60)

// The years that times and dates may lie in.
const (
	minTimeYear = 1990
	minDateYear = 1900
	maxYear     = 2200
)

var (
	errNotTime  = errors.New("must be an RFC 3339 time with zone, such as 2025-01-02T09:30:00+08:00")
	errTimeSpan = errors.New("must lie in the years 1990 to 2200")
	errNotDate  = errors.New("must be a date such as 2025-01-02")
)

// FormatTime writes t canonically: RFC 3339 in Zone, at most microseconds.
func FormatTime(t time.Time) string { return string(appendTime(nil, t)) }

func appendTime(b []byte, t time.Time) []byte {
	return t.In(Zone).Truncate(time.Microsecond).AppendFormat(b, time.RFC3339Nano)
}

// ParseTime reads an RFC 3339 time with zone, moves it into Zone and cuts it
// to microseconds, the finest that every tier can hold. Years 1990–2200.
func ParseTime(text string) (time.Time, error) { return parseTime(text) }

// parseTime is stricter and faster than time.Parse: RFC 3339 to the letter,
// nothing allocated.
func parseTime[T ~string | ~[]byte](s T) (time.Time, error) {
	if len(s) < len("2006-01-02T15:04:05Z") || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, errNotTime
	}
	day, ok := parseDay(s[:10])
	hour, ok1 := twoDigits(s[11:13], 23)
	minute, ok2 := twoDigits(s[14:16], 59)
	second, ok3 := twoDigits(s[17:19], 59)
	if !ok || !ok1 || !ok2 || !ok3 {
		return time.Time{}, errNotTime
	}
	rest := s[19:]
	nanos := 0
	if rest[0] == '.' {
		i := 1
		for unit := 100_000_000; i < len(rest) && rest[i]-'0' <= 9; i++ {
			nanos += int(rest[i]-'0') * unit
			unit /= 10
		}
		if i == 1 || i == len(rest) {
			return time.Time{}, errNotTime
		}
		rest = rest[i:]
	}
	offset, ok := parseOffset(rest)
	if !ok {
		return time.Time{}, errNotTime
	}
	y, m, d := day.split()
	t := time.Date(y, m, d, hour, minute, second-offset, nanos, time.UTC)
	t = t.In(Zone).Truncate(time.Microsecond)
	return t, checkYear(t)
}

func checkYear(t time.Time) error {
	if y := t.Year(); y < minTimeYear || y > maxYear {
		return errTimeSpan
	}
	return nil
}

// parseOffset reads Z or ±hh:mm into seconds east of UTC.
func parseOffset[T ~string | ~[]byte](s T) (int, bool) {
	if len(s) == 1 && s[0] == 'Z' {
		return 0, true
	}
	if len(s) != 6 || s[3] != ':' || s[0] != '+' && s[0] != '-' {
		return 0, false
	}
	hour, ok := twoDigits(s[1:3], 23)
	minute, ok1 := twoDigits(s[4:6], 59)
	offset := hour*3600 + minute*60
	if s[0] == '-' {
		offset = -offset
	}
	return offset, ok && ok1
}

func twoDigits[T ~string | ~[]byte](s T, most int) (int, bool) {
	if s[0]-'0' > 9 || s[1]-'0' > 9 {
		return 0, false
	}
	n := int(s[0]-'0')*10 + int(s[1]-'0')
	return n, n <= most
}

// Date is a calendar day as yyyymmdd, so that dates compare as numbers.
// The zero Date is no date.
type Date int32

// DateOf is the day of t in Zone.
func DateOf(t time.Time) Date {
	y, m, d := t.In(Zone).Date()
	return Date(y*10000 + int(m)*100 + d)
}

// ParseDate reads "2025-01-02". Years 1900–2200.
func ParseDate(text string) (Date, error) { return parseDate(text) }

func parseDate[T ~string | ~[]byte](s T) (Date, error) {
	d, ok := parseDay(s)
	if !ok || !d.valid() {
		return 0, errNotDate
	}
	return d, nil
}

// parseDay reads yyyy-mm-dd of any year, checking that the day exists.
func parseDay[T ~string | ~[]byte](s T) (Date, bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return 0, false
	}
	century, ok := twoDigits(s[:2], 99)
	year, ok1 := twoDigits(s[2:4], 99)
	month, ok2 := twoDigits(s[5:7], 12)
	day, ok3 := twoDigits(s[8:10], 31)
	d := Date((century*100+year)*10000 + month*100 + day)
	return d, ok && ok1 && ok2 && ok3 && d.exists()
}

func (d Date) split() (year int, month time.Month, day int) {
	return int(d) / 10000, time.Month(int(d) / 100 % 100), int(d) % 100
}

func (d Date) exists() bool {
	year, month, day := d.split()
	if month < 1 || month > 12 || day < 1 {
		return false
	}
	return day <= 28 || time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Day() == day
}

func (d Date) valid() bool {
	year := int(d) / 10000
	return year >= minDateYear && year <= maxYear && d.exists()
}

// Time is midnight at the start of the day in Zone.
func (d Date) Time() time.Time {
	year, month, day := d.split()
	return time.Date(year, month, day, 0, 0, 0, 0, Zone)
}

func (d Date) String() string { return string(d.append(nil)) }

// AppendText makes other encoders write the canonical form, too.
func (d Date) AppendText(b []byte) ([]byte, error) { return d.append(b), nil }

func (d Date) append(b []byte) []byte {
	year, month, day := d.split()
	b = append(b, byte('0'+year/1000%10), byte('0'+year/100%10), byte('0'+year/10%10), byte('0'+year%10))
	b = append(b, '-', byte('0'+month/10), byte('0'+month%10))
	return append(b, '-', byte('0'+day/10), byte('0'+day%10))
}
