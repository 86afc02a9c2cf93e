package projector

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Bound says up to which moment the log is played. At most one field is set;
// the zero Bound is everything.
type Bound struct {
	// UntilSequence keeps events up to this sequence: a prefix of the log.
	UntilSequence uint64
	// UntilLogged keeps what the log knew at this time: a prefix, too.
	UntilLogged time.Time
	// UntilTime keeps events whose own time is up to this one, in log order.
	// It is a filter over the whole log: events may arrive late.
	UntilTime time.Time
}

// admission is what a Bound says of one event.
type admission int

const (
	admit admission = iota // the event is played
	skip                   // the event is filtered out, later ones may not be
	stop                   // neither this event nor any later one is played
)

func (b Bound) admits(e *events.Event) admission {
	switch {
	case b.UntilSequence > 0 && e.Sequence > b.UntilSequence:
		return stop
	case !b.UntilLogged.IsZero() && e.Logged.After(b.UntilLogged):
		return stop
	case !b.UntilTime.IsZero() && e.Time.After(b.UntilTime):
		return skip
	}
	return admit
}

// Includes reports whether the bound lets an event pass.
func (b Bound) Includes(e *events.Event) bool { return b.admits(e) == admit }

// IsPrefix reports whether what passes is a prefix of the log, so that a tier
// bounded so can go on from there.
func (b Bound) IsPrefix() bool { return b.UntilTime.IsZero() }

// reached tells that no event after the given sequence can be admitted.
func (b Bound) reached(sequence uint64) bool {
	return b.UntilSequence > 0 && sequence >= b.UntilSequence
}

// IsZero reports whether the bound lets everything pass.
func (b Bound) IsZero() bool { return b == Bound{} }

func (b Bound) String() string {
	switch {
	case b.UntilSequence > 0:
		return fmt.Sprintf("until sequence %d", b.UntilSequence)
	case !b.UntilLogged.IsZero():
		return "until logged " + b.UntilLogged.Format(time.RFC3339Nano)
	case !b.UntilTime.IsZero():
		return "until time " + b.UntilTime.Format(time.RFC3339Nano)
	}
	return "everything"
}

// ParseBound reads what String wrote; "" is the zero Bound.
func ParseBound(text string) (Bound, error) {
	var b Bound
	var err error
	switch kind, value := cutLast(text); kind {
	case "", "everything":
	case "until sequence":
		b.UntilSequence, err = strconv.ParseUint(value, 10, 64)
	case "until logged":
		b.UntilLogged, err = time.Parse(time.RFC3339Nano, value)
	case "until time":
		b.UntilTime, err = time.Parse(time.RFC3339Nano, value)
	default:
		err = errors.New("unknown kind of bound")
	}
	if err != nil {
		return Bound{}, fmt.Errorf("bound %q: %w: %w", text, err, ErrRefused)
	}
	return b, nil
}

func cutLast(text string) (kind, value string) {
	i := strings.LastIndexByte(text, ' ')
	if i < 0 {
		return text, ""
	}
	return text[:i], text[i+1:]
}
