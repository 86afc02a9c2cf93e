package eventlog_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// store is the folder of the stream's own files.
func (n *node) store() string {
	return filepath.Join(n.dir, "jetstream", "LOG", "streams", eventlog.StreamName)
}

func (n *node) block(t testing.TB) string {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(n.store(), "msgs", "*.blk"))
	require.NoError(t, err)
	require.Len(t, blocks, 1)
	return blocks[0]
}

func (n *node) dropIndex(t testing.TB) {
	t.Helper()
	require.NoError(t, os.Remove(filepath.Join(n.store(), "msgs", "index.db")))
}

// filled is a stopped node with ten frames of ten events.
func filled(t testing.TB) (*node, []eventlog.Frame) {
	t.Helper()
	n := startNode(t)
	w := n.writer(t)
	frames := appendFrames(t, w, repeat(10, 10)...)
	closeWriter(t, w)
	n.stop(t)
	return n, frames
}

func checkpoint(f eventlog.Frame) eventlog.Checkpoint {
	return eventlog.Checkpoint{Sequence: f.Last(), Chain: f.Chain}
}

// One byte of a payload turns: the reader gives every frame before it and then
// names its first sequence; sequences are never used again.
func TestAFlippedByte(t *testing.T) {
	for name, c := range map[string]struct {
		frame     int
		dropIndex bool
		refused   bool // at the writer's start
	}{
		"first frame, index there":  {0, false, false},
		"middle frame, index there": {4, false, false},
		"last frame, index there":   {9, false, true},
		"first frame, no index":     {0, true, true},
		"middle frame, no index":    {4, true, true},
		"last frame, no index":      {9, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			n, frames := filled(t)
			data, err := os.ReadFile(n.block(t))
			require.NoError(t, err)
			at := bytes.Index(data, frames[c.frame].Payload)
			require.Positive(t, at)
			data[at+20] ^= 1
			require.NoError(t, os.WriteFile(n.block(t), data, 0o600))
			if c.dropIndex {
				n.dropIndex(t)
			}
			n.start(t, "127.0.0.1:0")

			lost := frames[c.frame].First
			l := n.open(t)
			got, err := readAll(t, l, eventlog.Checkpoint{})
			if err != nil {
				requireCorrupt(t, err, lost)
			} else {
				// Cut off where the byte is, as if it had never been longer: only
				// those who know better can tell, the anchor and any checkpoint.
				require.True(t, c.dropIndex)
			}
			require.Equal(t, frames[:c.frame], append([]eventlog.Frame{}, got...))
			_, err = readAll(t, l, checkpoint(frames[9]))
			if c.dropIndex || c.frame == 9 {
				requireCorrupt(t, err, lost)
			}

			w, err := n.newWriter(t)
			if c.refused {
				requireCorrupt(t, err, lost)
				return
			}
			require.NoError(t, err)
			require.Equal(t, uint64(100), w.Info().Last)
			require.NoError(t, w.Close(background(t)))
		})
	}
}

// The block file ends early, at a frame's border or inside of one.
func TestALogCutShort(t *testing.T) {
	for name, cut := range map[string]func(data []byte, f eventlog.Frame) int{
		"inside a frame": func(data []byte, f eventlog.Frame) int { return bytes.Index(data, f.Payload) + 100 },
		// A record begins 22 bytes before its subject.
		"between frames": func(data []byte, f eventlog.Frame) int {
			return bytes.LastIndex(data[:bytes.Index(data, f.Payload)], []byte(eventlog.Subject)) - 22
		},
	} {
		for _, index := range []string{"index there", "no index"} {
			t.Run(name+", "+index, func(t *testing.T) {
				n, frames := filled(t)
				data, err := os.ReadFile(n.block(t))
				require.NoError(t, err)
				require.NoError(t, os.Truncate(n.block(t), int64(cut(data, frames[6]))))
				if index == "no index" {
					n.dropIndex(t)
				}
				n.start(t, "127.0.0.1:0")
				_, err = n.newWriter(t)
				requireCorrupt(t, err, frames[6].First)
				l := n.open(t)
				_, err = readAll(t, l, checkpoint(frames[9]))
				requireCorrupt(t, err, frames[6].First)
				got, err := readAll(t, l, checkpoint(frames[2]))
				if index == "index there" { // the server still believes in ten
					requireCorrupt(t, err, frames[6].First)
				} else {
					require.NoError(t, err)
				}
				require.Equal(t, frames[3:6], got)
			})
		}
	}
}

// Somebody puts back an older copy of the store: refused by the writer; and
// once it grew again by force, refused by readers that knew the newer one.
func TestAnOlderCopyOfTheStore(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	frames := appendFrames(t, w, repeat(10, 4)...)
	closeWriter(t, w)
	n.stop(t)
	older := filepath.Join(t.TempDir(), "older")
	require.NoError(t, os.CopyFS(older, os.DirFS(n.store())))

	n.start(t, "127.0.0.1:0")
	w = n.writer(t)
	frames = append(frames, appendFrames(t, w, repeat(10, 4)...)...)
	closeWriter(t, w)
	listen := strings.TrimPrefix(n.server.ClientURL(), "nats://")
	ctx := background(t)
	following, err := n.open(t).Read(ctx, checkpoint(frames[6]), eventlog.ReadOptions{Follow: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, following.Close()) }()
	f, err := following.Next(ctx)
	require.NoError(t, err)
	require.Equal(t, frames[7], f)

	n.stop(t)
	require.NoError(t, os.RemoveAll(n.store()))
	require.NoError(t, os.CopyFS(n.store(), os.DirFS(older)))
	n.start(t, listen)

	_, err = n.newWriter(t)
	requireCorrupt(t, err, 41)
	_, err = following.Next(ctx)
	requireCorrupt(t, err, 41)
	l := n.open(t)
	_, err = readAll(t, l, checkpoint(frames[7]))
	requireCorrupt(t, err, 41)

	require.NoError(t, os.Remove(n.anchor()))
	w = n.writer(t)
	require.Equal(t, uint64(40), w.Info().Last, "without an anchor the log's end is taken as it is")
	appendFrames(t, w, 30, 30)
	_, err = readAll(t, l, checkpoint(frames[7]))
	requireCorrupt(t, err, 71)
	_, err = readAll(t, l, checkpoint(frames[5]))
	requireCorrupt(t, err, 41)
	_, err = readAll(t, l, checkpoint(frames[3]))
	require.NoError(t, err)
}

func TestTheStreamIsGone(t *testing.T) {
	n, frames := filled(t)
	require.NoError(t, os.RemoveAll(n.store()))
	n.start(t, "127.0.0.1:0")
	_, err := n.newWriter(t)
	requireCorrupt(t, err, 1)
	require.NoError(t, os.Remove(n.anchor()))
	n.writer(t)
	_, err = readAll(t, n.open(t), checkpoint(frames[9]))
	requireCorrupt(t, err, 1)
}

func TestADamagedAnchorIsNotGuessedAt(t *testing.T) {
	n, _ := filled(t)
	good, err := os.ReadFile(n.anchor())
	require.NoError(t, err)
	require.Contains(t, string(good), "00000000000000000100")
	n.start(t, "127.0.0.1:0")
	for name, text := range map[string]string{
		"empty": "", "cut": string(good[:40]), "digit": strings.Replace(string(good), "100 ", "090 ", 1), "longer": string(good) + "x",
	} {
		require.NoError(t, os.WriteFile(n.anchor(), []byte(text), 0o600))
		_, err := n.newWriter(t)
		require.ErrorContains(t, err, n.anchor(), name)
	}
	require.NoError(t, os.WriteFile(n.anchor(), good, 0o600))
	require.Equal(t, uint64(100), n.writer(t).Info().Last)
}

// TestInfoNoticesTheLastFrame: what is damaged while the server is down is
// noticed by a log that stays open, too, though the stream ends where it did.
func TestInfoNoticesTheLastFrame(t *testing.T) {
	n := startNode(t)
	w := n.writer(t)
	frames := appendFrames(t, w, repeat(10, 10)...)
	closeWriter(t, w)
	addr := strings.TrimPrefix(n.server.ClientURL(), "nats://")
	l := n.open(t)
	for range 2 {
		info, err := l.Info(background(t))
		require.NoError(t, err)
		require.EqualValues(t, 100, info.Last)
	}
	n.stop(t)
	data, err := os.ReadFile(n.block(t))
	require.NoError(t, err)
	place := bytes.Index(data, frames[9].Payload)
	require.Positive(t, place)
	data[place+20] ^= 1
	require.NoError(t, os.WriteFile(n.block(t), data, 0o600))
	n.start(t, addr)
	require.Eventually(t, func() bool {
		_, err = l.Info(background(t))
		return !errors.Is(err, eventlog.ErrUnreachable)
	}, 20*time.Second, 50*time.Millisecond)
	require.ErrorAs(t, err, new(*eventlog.CorruptError))
}
