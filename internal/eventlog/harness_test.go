package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
)

// node is one data folder and the server that runs on it.
type node struct {
	dir    string
	server *embedded.Server
}

// failer is what testing.TB and rapid.T have in common here.
type failer interface {
	require.TestingT
	Helper()
}

var (
	_ failer = (testing.TB)(nil)
	_ failer = (*rapid.T)(nil)
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func startNode(t testing.TB) *node {
	t.Helper()
	n := &node{dir: t.TempDir()}
	n.start(t, "127.0.0.1:0")
	t.Cleanup(func() { require.NoError(t, n.server.Shutdown()) })
	return n
}

func (n *node) start(t testing.TB, listen string) {
	t.Helper()
	s, err := embedded.Start(background(t), embedded.Options{Dir: n.dir, Listen: listen, Logger: quiet()})
	require.NoError(t, err)
	n.server = s
}

func (n *node) stop(t testing.TB) {
	t.Helper()
	require.NoError(t, n.server.Shutdown())
}

func (n *node) anchor() string { return filepath.Join(n.dir, "anchor") }

func (n *node) newWriter(t testing.TB) (*eventlog.Writer, error) {
	t.Helper()
	nc, err := n.server.WriterConn()
	require.NoError(t, err)
	return eventlog.NewWriter(background(t), eventlog.WriterConfig{
		Config: eventlog.Config{Logger: quiet()}, Conn: nc, Anchor: n.anchor(),
	})
}

func (n *node) writer(t testing.TB) *eventlog.Writer {
	t.Helper()
	w, err := n.newWriter(t)
	require.NoError(t, err)
	t.Cleanup(func() { closeWriter(t, w) })
	return w
}

func closeWriter(t testing.TB, w *eventlog.Writer) {
	t.Helper()
	if errors.Is(w.Err(), eventlog.ErrWriterClosed) {
		return
	}
	require.NoError(t, w.Close(background(t)))
}

func (n *node) open(t testing.TB) *eventlog.Log {
	t.Helper()
	l, err := eventlog.Open(background(t), eventlog.Config{URL: n.server.ClientURL(), Name: t.Name(), Logger: quiet()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

// lines is a payload of count events of about 300 bytes.
func lines(from uint64, count int) []byte {
	var b bytes.Buffer
	for i := range count {
		fmt.Fprintf(&b, `{"n":%d,"text":"%0250d"}`+"\n", from+uint64(i), i)
	}
	return b.Bytes()
}

// appendFrames appends frames of the given sizes.
func appendFrames(t failer, w *eventlog.Writer, sizes ...int) []eventlog.Frame {
	t.Helper()
	ctx := context.Background()
	frames := make([]eventlog.Frame, 0, len(sizes))
	pending := make([]*eventlog.Pending, 0, len(sizes))
	first := w.Info().Last + 1
	for _, size := range sizes {
		payload := lines(first, size)
		p, err := w.Begin(payload, size)
		require.NoError(t, err)
		pending = append(pending, p)
		frames = append(frames, eventlog.Frame{Payload: payload})
		first += uint64(size)
	}
	for i, p := range pending {
		f, err := p.Wait(ctx)
		require.NoError(t, err)
		f.Payload = frames[i].Payload
		frames[i] = f
	}
	return frames
}

// readAll reads to the end or the first error; io.EOF is no error.
func readAll(t testing.TB, l *eventlog.Log, after eventlog.Checkpoint) ([]eventlog.Frame, error) {
	t.Helper()
	ctx := background(t)
	r, err := l.Read(ctx, after, eventlog.ReadOptions{})
	if err != nil {
		return nil, err
	}
	defer func() { require.NoError(t, r.Close()) }()
	var frames []eventlog.Frame
	for {
		f, err := r.Next(ctx)
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		frames = append(frames, f)
	}
}

func requireCorrupt(t testing.TB, err error, sequence uint64) {
	t.Helper()
	var corrupt *eventlog.CorruptError
	require.ErrorAs(t, err, &corrupt)
	require.Equal(t, sequence, corrupt.Sequence, "%v", err)
	require.NotEmpty(t, corrupt.Hint)
}

func repeat(size, times int) []int {
	sizes := make([]int, times)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}
