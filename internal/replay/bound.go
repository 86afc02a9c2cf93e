package replay

import (
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// boundFlags are the flags that bound a replay.
type boundFlags struct {
	UntilSequence *uint64 `help:"Play events up to this sequence." xor:"bound" placeholder:"N"`
	UntilLogged   string  `help:"Play what the log knew at this time." xor:"bound" placeholder:"TIME"`
	UntilTime     string  `help:"Play events whose own time is up to this one; a bare date means the end of that day in Shanghai." xor:"bound" placeholder:"TIME"`
}

func (f boundFlags) bound() (projector.Bound, error) {
	var b projector.Bound
	var err error
	if f.UntilSequence != nil {
		if b.UntilSequence = *f.UntilSequence; b.UntilSequence == 0 {
			return b, usage("--until-sequence: sequences start at 1")
		}
	}
	if b.UntilLogged, err = parseMoment("--until-logged", f.UntilLogged); err != nil {
		return b, err
	}
	b.UntilTime, err = parseMoment("--until-time", f.UntilTime)
	return b, err
}

// parseMoment reads RFC 3339, or the forms an operator types: a date (the end
// of that day) or a date with a time, both in the exchanges' zone.
func parseMoment(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	for _, layout := range []string{"2006-01-02T15:04:05.999999", "2006-01-02 15:04:05.999999", "2006-01-02T15:04", "2006-01-02 15:04"} {
		if t, err := time.ParseInLocation(layout, text, events.Zone); err == nil {
			return t, nil
		}
	}
	if t, err := time.ParseInLocation(time.DateOnly, text, events.Zone); err == nil {
		return t.AddDate(0, 0, 1).Add(-time.Microsecond), nil
	}
	return time.Time{}, usage("%s: %q is no time: write 2025-06-30T15:00:00+08:00, 2025-06-30 15:00 or 2025-06-30", flag, text)
}

func describe(b projector.Bound, last uint64) string {
	if b.IsZero() {
		return fmt.Sprintf("everything (%d events)", last)
	}
	return b.String()
}
