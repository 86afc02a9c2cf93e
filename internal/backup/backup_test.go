package backup_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/backup"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// tape is a log on its own server.
type tape struct {
	writer *eventlog.Writer
	log    *eventlog.Log
}

func newTape(t testing.TB) *tape {
	t.Helper()
	dir := t.TempDir()
	server, err := embedded.Start(background(t), embedded.Options{Dir: dir, Listen: "127.0.0.1:0", Logger: quiet()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Shutdown()) })
	conn, err := server.WriterConn()
	require.NoError(t, err)
	writer, err := eventlog.NewWriter(background(t), eventlog.WriterConfig{
		Config: eventlog.Config{Logger: quiet()}, Conn: conn, Anchor: filepath.Join(dir, "anchor"),
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, writer.Close(context.Background())) })
	log, err := eventlog.Open(background(t), eventlog.Config{URL: server.ClientURL(), Logger: quiet()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, log.Close()) })
	return &tape{writer, log}
}

// add appends frames of the given sizes; salt makes them differ from others'.
func (p *tape) add(t testing.TB, salt string, sizes ...int) {
	t.Helper()
	for _, size := range sizes {
		var payload bytes.Buffer
		for i := range size {
			fmt.Fprintf(&payload, `{"n":%d,"text":"%s 浦发银行 %0100d"}`+"\n", i, salt, i)
		}
		pending, err := p.writer.Begin(payload.Bytes(), size)
		require.NoError(t, err)
		_, err = pending.Wait(background(t))
		require.NoError(t, err)
	}
}

func (p *tape) frames(t testing.TB) []eventlog.Frame {
	t.Helper()
	reader, err := p.log.Read(background(t), eventlog.Checkpoint{}, eventlog.ReadOptions{})
	require.NoError(t, err)
	defer reader.Close()
	var all []eventlog.Frame
	for {
		frame, err := reader.Next(background(t))
		if errors.Is(err, io.EOF) {
			return all
		}
		require.NoError(t, err)
		all = append(all, frame)
	}
}

func frames(t testing.TB, set *backup.Set, after uint64) []eventlog.Frame {
	t.Helper()
	var all []eventlog.Frame
	for frame, err := range set.Frames(background(t), after) {
		require.NoError(t, err)
		all = append(all, frame)
	}
	return all
}

func take(t testing.TB, p *tape, dir string, segmentBytes int64) backup.Result {
	t.Helper()
	result, err := backup.Take(background(t), p.log, dir, backup.Options{Incremental: true, SegmentBytes: segmentBytes})
	require.NoError(t, err)
	return result
}

func place(f eventlog.Frame) eventlog.Checkpoint {
	return eventlog.Checkpoint{Sequence: f.Last(), Chain: f.Chain}
}

func TestASetHoldsTheFramesAsTheyAre(t *testing.T) {
	p, dir := newTape(t), filepath.Join(t.TempDir(), "set")
	p.add(t, "a", 1, 1000, 3, 7, 1)
	observed := 0
	result, err := backup.Take(background(t), p.log, dir, backup.Options{SegmentBytes: 500, Observe: func(n int) { observed += n }})
	require.NoError(t, err)
	require.EqualValues(t, 1012, result.Events)
	require.Equal(t, 1012, observed)
	require.Greater(t, result.Segments, 1)
	all := p.frames(t)
	require.Equal(t, all, frames(t, result.Set, 0))
	require.Equal(t, place(all[4]), result.Set.End())
	require.NoError(t, result.Set.Verify(background(t)))
	require.Equal(t, all[4].Logged, result.Set.Manifest().Logged)

	_, err = backup.Take(background(t), p.log, dir, backup.Options{})
	require.ErrorIs(t, err, backup.ErrExists)

	p.add(t, "b", 2, 5)
	require.EqualValues(t, 7, take(t, p, dir, 0).Events)
	result = take(t, p, dir, 0)
	require.Zero(t, result.Events)
	require.Zero(t, result.Segments)
	all = p.frames(t)
	require.Equal(t, all, frames(t, result.Set, 0))
	for i, frame := range all {
		require.Equal(t, all[i:], frames(t, result.Set, frame.First-1), "the frame that holds %d and later ones", frame.First)
		held, err := result.Set.Holds(background(t), eventlog.Checkpoint{Sequence: frame.First, Chain: frame.Chain})
		require.NoError(t, err)
		require.True(t, held)
		held, err = result.Set.Holds(background(t), eventlog.Checkpoint{Sequence: frame.First})
		require.NoError(t, err)
		require.False(t, held)
	}
	held, err := result.Set.Holds(background(t), eventlog.Checkpoint{Sequence: 5000})
	require.NoError(t, err)
	require.False(t, held)
}

func TestASetOfAnEmptyLog(t *testing.T) {
	p, dir := newTape(t), t.TempDir()
	result := take(t, p, dir, 0)
	require.Equal(t, eventlog.Checkpoint{}, result.Set.End())
	require.NoError(t, result.Set.Verify(background(t)))
	require.Empty(t, frames(t, result.Set, 0))
	p.add(t, "a", 4)
	require.EqualValues(t, 4, take(t, p, dir, 0).Events)
}

func TestALogThatIsNotTheSetsIsRefused(t *testing.T) {
	p, dir := newTape(t), t.TempDir()
	p.add(t, "a", 3, 3)
	take(t, p, dir, 0)
	for name, sizes := range map[string][]int{"cut": {3}, "cut and grown again": {3, 3, 3, 3}} {
		t.Run(name, func(t *testing.T) {
			other := newTape(t)
			other.add(t, "a", sizes[0])
			other.add(t, "b", sizes[1:]...)
			_, err := backup.Take(background(t), other.log, dir, backup.Options{Incremental: true})
			require.ErrorIs(t, err, backup.ErrOtherLog)
			require.ErrorContains(t, err, "sequence 6")
			require.ErrorContains(t, err, "cut, replaced, or restored")
		})
	}
	require.Zero(t, take(t, p, dir, 0).Events, "the set is as it was")
}

func TestOneRunAtATime(t *testing.T) {
	p, dir := newTape(t), t.TempDir()
	p.add(t, "a", 1)
	var inner error
	_, err := backup.Take(background(t), p.log, dir, backup.Options{Observe: func(int) {
		_, inner = backup.Take(background(t), p.log, dir, backup.Options{Incremental: true})
	}})
	require.NoError(t, err)
	require.ErrorIs(t, inner, backup.ErrBusy)
}

// What each instant of a kill leaves, made by hand: the next run clears it and
// goes on.
func TestWhatAKilledRunLeavesIsCleared(t *testing.T) {
	p, dir := newTape(t), t.TempDir()
	p.add(t, "a", 2, 2)
	take(t, p, dir, 0)
	p.add(t, "b", 5)
	unlisted := filepath.Join(dir, fmt.Sprintf("%020d-%020d.tape.zst", 5, 7))
	for _, left := range []string{"segment.tmp", "MANIFEST.json.tmp"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, left), []byte("half"), 0o600))
	}
	require.NoError(t, os.WriteFile(unlisted, []byte("a segment that was not listed"), 0o600))
	set, err := backup.Open(dir)
	require.NoError(t, err)
	require.NoError(t, set.Verify(background(t)), "sound as of the last run")
	result := take(t, p, dir, 0)
	require.Equal(t, p.frames(t), frames(t, result.Set, 0))
	require.NoFileExists(t, unlisted)
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2+len(result.Set.Manifest().Segments), "segments, manifest, lock")
}

// A failing run keeps what it completed and leaves no half segment.
func TestACancelledRunKeepsWhatIsComplete(t *testing.T) {
	p, dir := newTape(t), t.TempDir()
	p.add(t, "a", slices.Repeat([]int{5}, 40)...)
	ctx, cancel := context.WithCancel(background(t))
	copied := 0
	_, err := backup.Take(ctx, p.log, dir, backup.Options{SegmentBytes: 2000, Observe: func(n int) {
		if copied += n; copied == 100 {
			cancel()
		}
	}})
	require.ErrorIs(t, err, context.Canceled)
	require.NoFileExists(t, filepath.Join(dir, "segment.tmp"))
	set, err := backup.Open(dir)
	require.NoError(t, err)
	require.NoError(t, set.Verify(background(t)))
	require.Positive(t, set.End().Sequence)
	require.LessOrEqual(t, set.End().Sequence, uint64(100))
	require.True(t, set.Manifest().Time.IsZero(), "no run has ended")
	result := take(t, p, dir, 2000)
	require.Equal(t, p.frames(t), frames(t, result.Set, 0))
	require.False(t, result.Set.Manifest().Time.IsZero())
}

// damages are changes of a sound set of several segments, and what of the set
// is named for each.
var damages = []struct {
	name, names string
	do          func(t *testing.T, dir string, segments []string)
}{
	{"a byte of a segment's start", "segment 1", func(t *testing.T, _ string, s []string) { flip(t, s[1], 0) }},
	{"a byte of a segment's middle", "segment 1", func(t *testing.T, _ string, s []string) { flip(t, s[1], size(t, s[1])/2) }},
	{"the last byte of the last segment", "segment last", func(t *testing.T, _ string, s []string) { flip(t, s[len(s)-1], size(t, s[len(s)-1])-1) }},
	{"a segment cut by a byte", "segment 1", func(t *testing.T, _ string, s []string) { require.NoError(t, os.Truncate(s[1], size(t, s[1])-1)) }},
	{"an empty segment", "segment 1", func(t *testing.T, _ string, s []string) { require.NoError(t, os.Truncate(s[1], 0)) }},
	{"a segment with a byte more", "segment 1", func(t *testing.T, _ string, s []string) {
		text, err := os.ReadFile(s[1])
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(s[1], append(text, 0), 0o600))
	}},
	{"the first segment missing", "segment 0", func(t *testing.T, _ string, s []string) { require.NoError(t, os.Remove(s[0])) }},
	{"the last segment missing", "segment last", func(t *testing.T, _ string, s []string) { require.NoError(t, os.Remove(s[len(s)-1])) }},
	{"two segments changed places", "segment 0", func(t *testing.T, _ string, s []string) {
		require.NoError(t, os.Rename(s[0], s[0]+".x"))
		require.NoError(t, os.Rename(s[1], s[0]))
		require.NoError(t, os.Rename(s[0]+".x", s[1]))
	}},
	{"a manifest that is missing", backup.ManifestFile, func(t *testing.T, dir string, _ []string) {
		require.NoError(t, os.Remove(filepath.Join(dir, backup.ManifestFile)))
	}},
	{"a manifest cut", backup.ManifestFile, func(t *testing.T, dir string, _ []string) {
		path := filepath.Join(dir, backup.ManifestFile)
		require.NoError(t, os.Truncate(path, size(t, path)/2))
	}},
	{"two lists of the manifest changed places", backup.ManifestFile, func(t *testing.T, dir string, s []string) {
		edit(t, dir, filepath.Base(s[0]), "X", filepath.Base(s[1]), filepath.Base(s[0]), "X", filepath.Base(s[1]))
	}},
}

func size(t *testing.T, path string) int64 {
	stat, err := os.Stat(path)
	require.NoError(t, err)
	return stat.Size()
}

func flip(t *testing.T, path string, at int64) {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	text[at] ^= 1
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

// edit replaces texts of the manifest one after the other.
func edit(t *testing.T, dir string, oldnew ...string) {
	path := filepath.Join(dir, backup.ManifestFile)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := 0; i < len(oldnew); i += 2 {
		text = bytes.ReplaceAll(text, []byte(oldnew[i]), []byte(oldnew[i+1]))
	}
	require.NoError(t, os.WriteFile(path, text, 0o600))
}

// readAll opens and proves a set.
func readAll(t testing.TB, dir string) error {
	set, err := backup.Open(dir)
	if err != nil {
		return err
	}
	return set.Verify(background(t))
}

func copySet(t *testing.T, from string) (dir string, segments []string) {
	dir = filepath.Join(t.TempDir(), "set")
	require.NoError(t, os.CopyFS(dir, os.DirFS(from)))
	segments, err := filepath.Glob(filepath.Join(dir, "*.tape.zst"))
	require.NoError(t, err)
	slices.Sort(segments)
	return dir, segments
}

func TestDamageIsFoundAndNamed(t *testing.T) {
	p, sound := newTape(t), t.TempDir()
	p.add(t, "a", slices.Repeat([]int{3}, 30)...)
	take(t, p, sound, 1500)
	require.NoError(t, readAll(t, sound))
	for _, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			dir, segments := copySet(t, sound)
			require.Greater(t, len(segments), 3)
			named := strings.NewReplacer("segment 0", filepath.Base(segments[0]), "segment 1", filepath.Base(segments[1]),
				"segment last", filepath.Base(segments[len(segments)-1])).Replace(damage.names)
			damage.do(t, dir, segments)
			err := readAll(t, dir)
			require.ErrorIs(t, err, backup.ErrDamaged)
			require.ErrorContains(t, err, named)
			require.ErrorContains(t, err, dir)
		})
	}
}

// Every single byte of the manifest is held.
func TestNoByteOfTheManifestMayChange(t *testing.T) {
	p, sound := newTape(t), t.TempDir()
	p.add(t, "a", 2, 2)
	take(t, p, sound, 1)
	path := filepath.Join(sound, backup.ManifestFile)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for i := range text {
		changed := bytes.Clone(text)
		changed[i] ^= 1
		require.NoError(t, os.WriteFile(path, changed, 0o600))
		_, err := backup.Open(sound)
		require.Error(t, err, "byte %d, %q", i, text[max(0, i-20):i+1])
	}
	require.NoError(t, os.WriteFile(path, text, 0o600))
	require.NoError(t, readAll(t, sound))
}

// What is before a damage can still be had; a run does not go on behind it.
func TestADamagedSet(t *testing.T) {
	p, dir := newTape(t), t.TempDir()
	p.add(t, "a", slices.Repeat([]int{3}, 30)...)
	set := take(t, p, dir, 1500).Set
	lost := set.Manifest().Segments[2]
	require.NoError(t, os.Remove(filepath.Join(dir, lost.File)))
	_, err := backup.Take(background(t), p.log, dir, backup.Options{Incremental: true})
	require.ErrorIs(t, err, backup.ErrDamaged)
	var last uint64
	for frame, err := range set.Frames(background(t), 0) {
		if err != nil {
			require.ErrorContains(t, err, fmt.Sprintf("sequences from %d on", lost.First))
			break
		}
		last = frame.Last()
	}
	require.Equal(t, lost.First-1, last)
}
