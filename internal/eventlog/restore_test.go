package eventlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// kept is a backup in memory.
type kept []eventlog.Frame

func (k kept) Holds(_ context.Context, at eventlog.Checkpoint) (bool, error) {
	for _, f := range k {
		if f.First <= at.Sequence && at.Sequence <= f.Last() {
			return f.Chain == at.Chain, nil
		}
	}
	return false, nil
}

func (n *node) restorer(t testing.TB, from kept, target eventlog.Checkpoint) (*eventlog.Restorer, error) {
	t.Helper()
	nc, err := n.server.WriterConn()
	require.NoError(t, err)
	return eventlog.NewRestorer(background(t), eventlog.WriterConfig{
		Config: eventlog.Config{Logger: quiet()}, Conn: nc, Anchor: n.anchor(),
	}, from, target)
}

func place(f eventlog.Frame) eventlog.Checkpoint {
	return eventlog.Checkpoint{Sequence: f.Last(), Chain: f.Chain}
}

// original is a log to put back, with other times than now.
func original(t testing.TB) kept {
	t.Helper()
	n := startNode(t)
	frames := appendFrames(t, n.writer(t), 3, 1, 1000, 7, 2)
	past := time.Date(2025, 6, 30, 15, 0, 0, 123456789, time.UTC)
	for i := range frames {
		frames[i].Logged = past.Add(time.Duration(i) * time.Second)
	}
	return frames
}

func TestRestoredFramesAreWhatTheyWere(t *testing.T) {
	frames := original(t)
	n := startNode(t)
	target := place(frames[len(frames)-1])
	r, err := n.restorer(t, frames, target)
	require.NoError(t, err)
	for _, f := range frames {
		require.NoError(t, r.Append(background(t), f))
	}
	require.Equal(t, target, eventlog.Checkpoint{Sequence: r.Info().Last, Chain: r.Info().Chain})
	require.Equal(t, frames[len(frames)-1].Logged, r.Info().Logged)
	require.NoError(t, r.Close(background(t)))

	w := n.writer(t)
	require.Equal(t, frames[len(frames)-1].Logged, w.Info().Logged)
	more := appendFrames(t, w, 5)
	found, err := readAll(t, n.open(t), eventlog.Checkpoint{})
	require.NoError(t, err)
	require.Equal(t, append([]eventlog.Frame(frames), more...), found)
}

// A Writer refuses what a killed restore left; a Restorer goes on with it, also
// up to a later place.
func TestAnUnfinishedRestoreIsNoLogYet(t *testing.T) {
	frames := original(t)
	n := startNode(t)
	r, err := n.restorer(t, frames, place(frames[2]))
	require.NoError(t, err)
	require.NoError(t, r.Append(background(t), frames[0]))
	require.NoError(t, r.Close(background(t)))

	_, err = n.newWriter(t)
	requireCorrupt(t, err, frames[1].First)
	_, err = n.restorer(t, frames, place(frames[1]))
	requireCorrupt(t, err, frames[1].First)
	_, err = n.restorer(t, frames[:1], place(frames[2]))
	requireCorrupt(t, err, frames[1].First)

	r, err = n.restorer(t, frames, place(frames[4]))
	require.NoError(t, err)
	require.Equal(t, frames[0].Last(), r.Info().Last)
	for _, f := range frames[1:4] {
		require.NoError(t, r.Append(background(t), f))
	}
	require.NoError(t, r.Close(background(t)))
	_, err = n.newWriter(t)
	requireCorrupt(t, err, frames[4].First)

	r, err = n.restorer(t, frames, place(frames[4]))
	require.NoError(t, err)
	require.NoError(t, r.Append(background(t), frames[4]))
	require.NoError(t, r.Close(background(t)))
	require.Equal(t, frames[4].Last(), n.writer(t).Info().Last)
}

func TestARestorerTakesOnlyTheFrameThatFollows(t *testing.T) {
	frames := original(t)
	n := startNode(t)
	_, err := n.restorer(t, frames, eventlog.Checkpoint{})
	require.Error(t, err)
	r, err := n.restorer(t, frames, place(frames[1]))
	require.NoError(t, err)
	refused := func(f eventlog.Frame, why string) {
		t.Helper()
		require.ErrorContains(t, r.Append(background(t), f), why)
	}
	refused(frames[1], "goes on with 1")
	refused(frames[2], "behind sequence 4")
	changed := frames[0]
	changed.Payload = append([]byte(nil), changed.Payload...)
	changed.Payload[5] ^= 1
	refused(changed, "does not link")
	undated := frames[0]
	undated.Logged = time.Time{}
	refused(undated, "not known when")
	require.NoError(t, r.Append(background(t), frames[0]))
	other := frames[1]
	other.Payload = lines(99, 1)
	other.Chain = frames[0].Chain.Next(other.First, other.Payload)
	refused(other, "want "+frames[1].Chain.String())
	require.NoError(t, r.Append(background(t), frames[1]))
	require.NoError(t, r.Close(background(t)))
}
