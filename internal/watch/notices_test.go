package watch

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// noTape is a log that cannot be reached.
type noTape struct{}

func (noTape) Open(context.Context) (*eventlog.Log, error) { return nil, errors.New("no log") }
func (noTape) Last() (uint64, bool)                        { return 0, false }
func (noTape) Append(context.Context, []*events.Event, bool) ([]Fate, error) {
	return nil, errors.New("no log")
}

// waiting is a folder whose goroutine is the test.
type waiting struct {
	*folder
	t *testing.T
}

func newWaiting(t *testing.T) waiting {
	t.Helper()
	dir := filepath.Join(t.TempDir(), account)
	require.NoError(t, os.Mkdir(dir, 0o700))
	f := newFolder(Folder{Dir: dir, Account: account}, noTape{}, nil, Options{Logger: slog.New(slog.DiscardHandler)})
	t.Cleanup(func() { f.notices.close() })
	return waiting{f, t}
}

// next does what run does between two looks. Most looks come an hour later: only
// a change can end the wait before the test is given up.
func (w waiting) next(most time.Duration, change func()) {
	w.t.Helper()
	w.notices.arm()
	w.before = w.marks()
	change()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	w.await(ctx, most)
	require.NoError(w.t, ctx.Err(), "the change was not noticed")
}

func (w waiting) path(name string) string { return filepath.Join(w.Dir, name) }

// write writes a file; its length tells that it is another content.
func (w waiting) write(name string) {
	file, err := os.OpenFile(w.path(name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	require.NoError(w.t, err)
	_, err = file.WriteString("{}")
	require.NoError(w.t, errors.Join(err, file.Close()))
}

// prove changes the folder until a notification comes before the glance.
func (w waiting) prove() {
	w.t.Helper()
	for range 100 {
		w.next(time.Hour, func() { w.write(silverquant.MaxPriceFile) })
		if w.notices.proved {
			return
		}
	}
	w.t.Fatal("no notification ever came")
}

// TestNotificationEndsTheWait: once a notification has come nobody glances at
// the folder, so whatever ends the wait is another one.
func TestNotificationEndsTheWait(t *testing.T) {
	w := newWaiting(t)
	w.prove()
	for _, change := range []func(){
		func() { w.write(silverquant.PositionsFile) },
		func() { require.NoError(t, os.Truncate(w.path(silverquant.PositionsFile), 0)) },
		func() {
			w.write("positions.tmp")
			require.NoError(t, os.Rename(w.path("positions.tmp"), w.path(silverquant.PositionsFile)))
		},
		func() { require.NoError(t, os.Remove(w.path(silverquant.PositionsFile))) },
	} {
		w.next(time.Hour, change)
		require.True(t, w.notices.proved)
		require.NotEqual(t, w.before, w.marks())
	}

	// What is no change ends no wait: a reading, and other files.
	began := time.Now()
	const most = 200 * time.Millisecond
	w.next(most, func() {
		for range 10 {
			_, err := w.look(began)
			require.NoError(t, err)
			w.write("strategy.log")
		}
	})
	require.GreaterOrEqual(t, time.Since(began), most)
	require.True(t, w.notices.proved)
}

// look is the follower's: the folder's own needs a log.
func (w waiting) look(now time.Time) (*view, error) { return w.follower.look(now) }

// TestFolderIsMadeAnew: a folder that is deleted, or moved away, and comes back
// is glanced at until it is there, and then watched again.
func TestFolderIsMadeAnew(t *testing.T) {
	for name, remove := range map[string]func(dir string) error{
		"deleted": os.RemoveAll,
		"moved":   func(dir string) error { return os.Rename(dir, dir+".old") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWaiting(t)
			w.prove()
			w.next(time.Hour, func() { require.NoError(t, remove(w.Dir)) })
			if name == "moved" {
				// Empty it goes too, though none of its files changes.
				require.NoError(t, os.Mkdir(w.Dir, 0o700))
				w.prove()
				w.next(time.Hour, func() { require.NoError(t, os.Remove(w.path(silverquant.MaxPriceFile))) })
				require.True(t, w.notices.proved)
				w.next(time.Hour, func() { require.NoError(t, os.Remove(w.Dir)) })
			}
			w.next(time.Hour, func() {
				require.NoError(t, os.MkdirAll(w.Dir, 0o700))
				w.write(silverquant.PositionsFile)
			})
			w.prove()
		})
	}

	t.Run("between two waits", func(t *testing.T) {
		w := newWaiting(t)
		w.prove()
		require.NoError(t, os.RemoveAll(w.Dir))
		require.NoError(t, os.Mkdir(w.Dir, 0o700))
		w.prove()
	})
}

// TestGlancesWhereNothingIsTold: without a watch changes are noticed all the
// same, and it is tried again.
func TestGlancesWhereNothingIsTold(t *testing.T) {
	w := newWaiting(t)
	w.notices.open = func(string) (*fsnotify.Watcher, error) { return nil, errors.New("too many") }
	for range 3 {
		w.next(time.Hour, func() { w.write(silverquant.PositionsFile) })
		require.False(t, w.notices.proved)
	}
	w.notices.open = openWatcher
	w.prove()

	// A file that is a link changes elsewhere. The scan finds the first change,
	// glances find those that follow.
	target := filepath.Join(t.TempDir(), "positions.json")
	require.NoError(t, os.WriteFile(target, []byte("{}"), 0o600))
	require.NoError(t, os.Remove(w.path(silverquant.PositionsFile)))
	require.NoError(t, os.Symlink(target, w.path(silverquant.PositionsFile)))
	w.prove()
	w.next(100*time.Millisecond, func() {}) // what was told already tells nothing
	w.next(100*time.Millisecond, func() { w.write(silverquant.PositionsFile) })
	require.False(t, w.notices.proved)
	w.next(time.Hour, func() { w.write(silverquant.PositionsFile) })
	require.False(t, w.notices.proved)

	// Lost notifications are made up for by a look, and the watch is anew.
	w.prove()
	before := w.notices.watcher
	w.next(time.Hour, func() { go func() { before.Errors <- fsnotify.ErrEventOverflow }() })
	require.False(t, w.notices.proved)
	w.prove()
}

// TestStopEndsAll: nothing runs on after Stop.
func TestStopEndsAll(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	w, err := Start(noTape{}, Options{
		Folders: []Folder{{dir, account}, {filepath.Join(dir, "missing"), "10000001"}}, Scan: time.Hour, Patience: time.Second,
		State: filepath.Join(dir, "watch.snapshot"), Logger: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.Eventually(t, func() bool { return !w.Status()[0].Scanned.IsZero() }, 10*time.Second, time.Millisecond)
	w.Stop()
}
