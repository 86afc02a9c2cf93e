package eventlog_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

func TestWhatIsAppendedIsRead(t *testing.T) {
	n := startNode(t)
	l := n.open(t)
	_, err := l.Info(background(t))
	require.ErrorIs(t, err, eventlog.ErrUnreachable, "there is no stream yet")

	w := n.writer(t)
	info, err := l.Info(background(t))
	require.NoError(t, err)
	require.Zero(t, info.Last)
	empty, err := readAll(t, l, eventlog.Checkpoint{})
	require.NoError(t, err)
	require.Empty(t, empty)

	wrote := appendFrames(t, w, 1, 1000, 3, 500, 1)
	got, err := readAll(t, l, eventlog.Checkpoint{})
	require.NoError(t, err)
	require.Equal(t, wrote, got)
	require.Equal(t, uint64(1), got[0].First)
	require.WithinDuration(t, time.Now(), got[4].Logged, time.Minute)

	info, err = l.Info(background(t))
	require.NoError(t, err)
	require.Equal(t, uint64(1505), info.Last)
	require.Equal(t, uint64(1), info.First)
	require.Equal(t, got[4].Chain, info.Chain)
	require.Equal(t, got[4].Logged, info.Logged)
	require.Equal(t, info.Last, w.Info().Last)
	require.Equal(t, info.Logged, w.Info().Logged)
}

func TestANewWriterGoesOnAtTheEnd(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	first := appendFrames(t, w, 5, 7)
	closeWriter(t, w)
	n.stop(t)
	n.start(t, "127.0.0.1:0")

	again := n.writer(t)
	require.Equal(t, uint64(12), again.Info().Last)
	require.Equal(t, first[1].Chain, again.Info().Chain)
	second := appendFrames(t, again, 2)
	got, err := readAll(t, n.open(t), eventlog.Checkpoint{})
	require.NoError(t, err)
	require.Equal(t, append(first, second...), got)
}

func TestWhatCannotBeAFrameIsRefused(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	for name, c := range map[string]struct {
		payload []byte
		count   int
	}{
		"nothing":              {nil, 0},
		"count too low":        {[]byte("a\nb\n"), 1},
		"count too high":       {[]byte("a\nb\n"), 3},
		"no final line feed":   {[]byte("a\nb"), 1},
		"above 1000 events":    {lines(1, 1001), 1001},
		"above the server's":   {append(make([]byte, w.MaxPayload()), '\n'), 1},
		"a count without text": {nil, 1},
	} {
		_, err := w.Begin(c.payload, c.count)
		require.Error(t, err, name)
	}
	require.NoError(t, w.Err(), "refusing a payload is no failure of the writer")
	largest := make([]byte, w.MaxPayload())
	largest[len(largest)-1] = '\n'
	p, err := w.Begin(largest, 1)
	require.NoError(t, err)
	_, err = p.Wait(background(t))
	require.NoError(t, err)
	got, err := readAll(t, n.open(t), eventlog.Checkpoint{})
	require.NoError(t, err)
	require.Equal(t, largest, got[0].Payload)
}

// From any event on, a reader gets every later frame and none twice.
func TestReadFromAnyCheckpoint(t *testing.T) {
	n := startNode(t)
	l := n.open(t)
	w := n.writer(t)
	var wrote []eventlog.Frame
	rapid.Check(t, func(rt *rapid.T) {
		sizes := rapid.SliceOfN(rapid.IntRange(1, 40), 1, 20).Draw(rt, "sizes")
		wrote = append(wrote, appendFrames(rt, w, sizes...)...)
		end := wrote[len(wrote)-1].Last()
		sequence := rapid.Uint64Range(0, end).Draw(rt, "after")
		want, after := wrote, eventlog.Checkpoint{}
		if sequence > 0 {
			for len(want) > 0 && want[0].Last() < sequence {
				want = want[1:]
			}
			after = eventlog.Checkpoint{Sequence: sequence, Chain: want[0].Chain}
			if want[0].Last() == sequence {
				want = want[1:]
			}
		}
		got, err := readAll(t, l, after)
		require.NoError(rt, err)
		require.Len(rt, got, len(want))
		for i := range want {
			require.Equal(rt, want[i], got[i])
		}
	})
}

func TestFollowing(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	ctx := background(t)
	l := n.open(t)
	r, err := l.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{Follow: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()

	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	_, err = r.Next(short)
	require.ErrorIs(t, err, context.DeadlineExceeded, "nothing is there yet")

	var slowest time.Duration
	for range 50 {
		wrote := appendFrames(t, w, 3)[0]
		since := time.Now()
		got, err := r.Next(ctx)
		require.NoError(t, err)
		require.Equal(t, wrote, got)
		slowest = max(slowest, time.Since(since))
	}
	require.Less(t, slowest, 900*time.Millisecond, "announcements wake the reader, not its idle look")
}

// A following reader goes on by itself when the server comes back.
func TestFollowingOverARestart(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	ctx := background(t)
	l := n.open(t)
	r, err := l.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{Follow: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	want := appendFrames(t, w, 3, 4)
	listen := n.server.ClientURL()[len("nats://"):]
	for range 3 {
		for _, f := range want {
			got, err := r.Next(ctx)
			require.NoError(t, err)
			require.Equal(t, f, got)
		}
		n.stop(t)
		<-w.Failed()
		require.ErrorIs(t, w.Err(), eventlog.ErrUnreachable)
		n.start(t, listen)
		w = n.writer(t)
		want = appendFrames(t, w, 5, 6)
	}
}

func TestClosing(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	ctx := background(t)
	l := n.open(t)
	r, err := l.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{Follow: true})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		_, err := r.Next(ctx)
		ended <- err
	}()
	require.NoError(t, r.Close())
	require.Error(t, <-ended)

	p, err := w.Begin([]byte("{}\n"), 1)
	require.NoError(t, err)
	require.NoError(t, w.Close(ctx))
	_, err = p.Wait(ctx)
	require.NoError(t, err, "Close waits for what is in flight")
	_, err = w.Begin([]byte("{}\n"), 1)
	require.ErrorIs(t, err, eventlog.ErrWriterClosed)
}

// Without following, a server that is gone ends the read in an error.
func TestReadingFromAServerThatIsGone(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	appendFrames(t, w, repeat(1000, 60)...)
	ctx := background(t)
	l := n.open(t)
	r, err := l.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()
	n.stop(t)
	for err == nil {
		_, err = r.Next(ctx)
	}
	require.ErrorIs(t, err, eventlog.ErrUnreachable)

	_, err = eventlog.Open(ctx, eventlog.Config{URL: n.server.ClientURL(), Logger: quiet()})
	require.ErrorIs(t, err, eventlog.ErrUnreachable)
}
