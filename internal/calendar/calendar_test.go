package calendar_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
)

func TestIsTradingDay(t *testing.T) {
	for day, want := range map[events.Date]bool{
		19901218: false, // the day before the exchange opened
		19901219: true,
		20250101: false, // a holiday on a Wednesday
		20250102: true,
		20250104: false, // Saturday
		20250128: false, // Spring Festival
		20250205: true,
		20250928: false, // a Sunday that others worked
		20251001: false,
		20251231: true,
		20260101: true, // past the known calendar every weekday counts
		20260103: false,
		20260104: false,
		20260105: true,
		21000104: true,
	} {
		require.Equal(t, want, calendar.IsTradingDay(day), day)
	}
	days := 0
	for day := events.Date(20250101).Time(); day.Year() == 2025; day = day.AddDate(0, 0, 1) {
		if calendar.IsTradingDay(events.DateOf(day)) {
			days++
		}
	}
	require.Equal(t, 243, days, "trading days of 2025")
}

func TestInSession(t *testing.T) {
	at := func(clock string) time.Time {
		parsed, err := time.ParseInLocation("2006-01-02 15:04:05.999999", "2025-01-02 "+clock, events.Zone)
		require.NoError(t, err)
		return parsed
	}
	for clock, want := range map[string]bool{
		"00:00:00":        false,
		"09:14:59.999999": false,
		"09:15:00":        true,
		"12:00:00":        true,
		"15:30:00":        true,
		"15:30:00.000001": false,
		"23:59:59":        false,
	} {
		require.Equal(t, want, calendar.InSession(at(clock), calendar.DefaultWindow), clock)
		require.Equal(t, want, calendar.InSession(at(clock).UTC(), calendar.DefaultWindow), "%s in UTC", clock)
	}
	require.False(t, calendar.InSession(at("10:00:00").AddDate(0, 0, 2), calendar.DefaultWindow), "Saturday")
	var wide calendar.Window
	require.NoError(t, wide.UnmarshalText([]byte("00:00-23:59")))
	require.True(t, calendar.InSession(at("00:00:00"), wide))
}

func TestWindowText(t *testing.T) {
	var w calendar.Window
	require.NoError(t, w.UnmarshalText([]byte("09:15-15:30")))
	require.Equal(t, calendar.DefaultWindow, w)
	text, err := w.MarshalText()
	require.NoError(t, err)
	require.Equal(t, "09:15-15:30", string(text))
	for _, bad := range []string{"", "09:15", "15:30-09:15", "9-15", "09:15-25:00", "09:15-15:30-16:00"} {
		require.Error(t, w.UnmarshalText([]byte(bad)), bad)
		require.Equal(t, calendar.DefaultWindow, w, "an error changes nothing")
	}
}

func TestPolicyText(t *testing.T) {
	for _, want := range []calendar.Policy{calendar.PolicyOff, calendar.PolicyFlag, calendar.PolicyEnforce} {
		text, err := want.MarshalText()
		require.NoError(t, err)
		var got calendar.Policy
		require.NoError(t, got.UnmarshalText(text))
		require.Equal(t, want, got)
	}
	var p calendar.Policy
	require.Error(t, p.UnmarshalText([]byte("ENFORCE")))
	require.Error(t, p.UnmarshalText(nil))
}
