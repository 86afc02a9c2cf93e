package events_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2025-01-02T10:20:08+08:00":                     "2025-01-02T10:20:08+08:00",
		"2025-01-02T02:20:08Z":                          "2025-01-02T10:20:08+08:00",
		"2025-01-01T21:20:08-05:00":                     "2025-01-02T10:20:08+08:00",
		"2025-01-02T07:50:08+05:30":                     "2025-01-02T10:20:08+08:00",
		"2025-01-02T10:20:08.1234567+08:00":             "2025-01-02T10:20:08.123456+08:00",
		"2025-01-02T10:20:08.9999999999999999999+08:00": "2025-01-02T10:20:08.999999+08:00",
		"2025-01-02T10:20:08.100+08:00":                 "2025-01-02T10:20:08.1+08:00",
		"2024-02-29T00:00:00+08:00":                     "2024-02-29T00:00:00+08:00",
		"1989-12-31T16:00:00Z":                          "1990-01-01T00:00:00+08:00",
	} {
		got, err := events.ParseTime(text)
		require.NoError(t, err, text)
		require.Equal(t, want, events.FormatTime(got), text)
	}
	for _, text := range []string{
		"", "2025-01-02", "2025-01-02T10:20:08", "2025-01-02 10:20:08+08:00", "2025-01-02T10:20:08+0800", "2025-01-02t10:20:08z",
		"2025-01-02T24:00:00+08:00", "2025-01-02T10:60:08+08:00", "2025-01-02T10:20:60+08:00", "2025-02-29T10:20:08+08:00",
		"2025-13-02T10:20:08+08:00", "2025-00-02T10:20:08+08:00", "2025-01-00T10:20:08+08:00", "2025-01-02T10:20:08.+08:00",
		"2025-01-02T10:20:08.5", "2025-01-02T10:20:08,5+08:00", "2025-01-02T10:20:08+24:00", "2025-01-02T9:20:08+08:00",
		"2025-01-02T10:20:08+08:00x", "1989-12-31T15:59:59Z", "2201-01-01T00:00:00+08:00", "0000-01-01T00:00:00Z", "２025-01-02T10:20:08Z",
	} {
		_, err := events.ParseTime(text)
		require.Error(t, err, text)
	}
}

// TestParseTimeAgainstStandardLibrary holds the parser against time.Parse.
func TestParseTimeAgainstStandardLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.Unix(rapid.Int64Range(631152000, 7258089600).Draw(t, "unix"), rapid.Int64Range(0, 999_999_999).Draw(t, "nanos"))
		zone := time.FixedZone("", rapid.IntRange(-23*60, 23*60).Draw(t, "offset minutes")*60)
		text := at.In(zone).Format(time.RFC3339Nano)
		got, err := events.ParseTime(text)
		require.NoError(t, err, text)
		require.True(t, got.Equal(at.Truncate(time.Microsecond)), text)
		again, err := events.ParseTime(events.FormatTime(got))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func TestParseDate(t *testing.T) {
	for _, text := range []string{"1900-01-01", "2025-01-02", "2024-02-29", "2200-12-31"} {
		d, err := events.ParseDate(text)
		require.NoError(t, err, text)
		require.Equal(t, text, d.String())
		require.Equal(t, d, events.DateOf(d.Time()))
	}
	for _, text := range []string{"", "20250102", "2025-1-2", "2025-02-29", "2025-00-01", "2025-01-00", "2025-01-32", "1899-12-31", "2201-01-01", "2025/01/02"} {
		_, err := events.ParseDate(text)
		require.Error(t, err, text)
	}
}
