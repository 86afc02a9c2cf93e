package projector_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// day is the time of the n-th event: later events may have earlier times.
func day(n int) time.Time { return time.Date(2025, 1, n, 10, 0, 0, 0, events.Zone) }

// framesOf puts events, given by the day of their time, into frames of two.
func framesOf(t *testing.T, days ...int) *frames {
	t.Helper()
	f := &frames{}
	var chain eventlog.Chain
	for first := 0; first < len(days); first += 2 {
		var payload []byte
		count := 0
		for i := first; i < min(first+2, len(days)); i++ {
			e := &events.Event{ID: fmt.Sprint(i), Source: "test", Time: day(days[i]),
				Data: &events.PositionOpened{AccountID: "10000001", StockCode: fmt.Sprintf("%06d.SH", 600001+i)}}
			require.NoError(t, e.Validate())
			line, err := e.AppendJSON(payload)
			require.NoError(t, err)
			payload = append(line, '\n')
			count++
		}
		sequence := uint64(first + 1)
		chain = chain.Next(sequence, payload)
		f.list = append(f.list, eventlog.Frame{First: sequence, Count: count, Chain: chain, Logged: day(20 + first/2), Payload: payload})
	}
	return f
}

type frames struct{ list []eventlog.Frame }

func (f *frames) Next(context.Context) (eventlog.Frame, error) {
	if len(f.list) == 0 {
		return eventlog.Frame{}, io.EOF
	}
	next := f.list[0]
	f.list = f.list[1:]
	return next, nil
}

func positions(t *testing.T, tier projector.Tier) (codes []string) {
	t.Helper()
	_, err := tier.Dump(t.Context(), func(r book.Row) error {
		codes = append(codes, r.Key[len("10000001/600"):len("10000001/600")+3])
		return nil
	})
	require.NoError(t, err)
	return codes
}

func TestBounds(t *testing.T) {
	for name, c := range map[string]struct {
		bound    projector.Bound
		sequence uint64
		want     []string
	}{
		"everything":           {projector.Bound{}, 5, []string{"001", "002", "003", "004", "005"}},
		"sequence in a frame":  {projector.Bound{UntilSequence: 3}, 3, []string{"001", "002", "003"}},
		"sequence at its end":  {projector.Bound{UntilSequence: 4}, 4, []string{"001", "002", "003", "004"}},
		"logged":               {projector.Bound{UntilLogged: day(21)}, 4, []string{"001", "002", "003", "004"}},
		"before the first":     {projector.Bound{UntilLogged: day(19)}, 0, nil},
		"time filters the log": {projector.Bound{UntilTime: day(2)}, 5, []string{"001", "003", "005"}},
	} {
		t.Run(name, func(t *testing.T) {
			tier := memory.New([]book.Kind{book.KindHeldDays})
			at, err := projector.Player{Bound: c.bound, BatchRows: 1}.Play(t.Context(), framesOf(t, 1, 3, 2, 4, 1), tier, eventlog.Checkpoint{})
			require.NoError(t, err)
			require.Equal(t, c.sequence, at.Sequence)
			require.Equal(t, c.want, positions(t, tier))
		})
	}
}

// TestUnreadableEventStops: an event that this version cannot read stops the
// player before it, with its sequence.
func TestUnreadableEventStops(t *testing.T) {
	f := framesOf(t, 1, 2, 3, 4)
	f.list[1].Payload = append([]byte("{}\n"), f.list[1].Payload...)
	tier := memory.New([]book.Kind{book.KindHeldDays})
	at, err := projector.Player{}.Play(t.Context(), f, tier, eventlog.Checkpoint{})
	var corrupt *eventlog.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.EqualValues(t, 3, corrupt.Sequence)
	require.LessOrEqual(t, at.Sequence, uint64(2))
}

// TestFailedApplyIsReported: the error tells the events' range, and Play ends.
func TestFailedApplyIsReported(t *testing.T) {
	broken := errors.New("disk full")
	_, err := projector.Player{}.Play(t.Context(), framesOf(t, 1, 2), failing{memory.New(nil), broken}, eventlog.Checkpoint{})
	require.ErrorIs(t, err, broken)
	require.ErrorContains(t, err, "apply events 1 to 2")
}

type failing struct {
	*memory.Tier
	err error
}

func (f failing) Apply(context.Context, projector.Batch) error { return f.err }

func TestLag(t *testing.T) {
	s := projector.NewState("memory")
	ready, why := s.Ready()
	require.False(t, ready)
	require.NotEmpty(t, why)
	s.Waiting(10, time.Now().Add(-time.Hour))
	s.Waiting(20, time.Now())
	require.EqualValues(t, 20, s.Lag().Events)
	require.InDelta(t, time.Hour.Seconds(), s.Lag().Age.Seconds(), 60)
	s.Applied(projector.Batch{To: eventlog.Checkpoint{Sequence: 10}}, time.Second)
	require.EqualValues(t, 10, s.Lag().Events)
	require.Less(t, s.Lag().Age, time.Minute)
	s.Applied(projector.Batch{To: eventlog.Checkpoint{Sequence: 20}}, time.Second)
	require.Equal(t, projector.Lag{}, s.Lag())
}
