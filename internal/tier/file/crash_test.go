package file

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

var errCrash = errors.New("crash")

// dyingDisk makes n steps, half of the next where a step has halves, and none
// after that.
type dyingDisk struct {
	disk osDisk
	left int
	// before tells whether the step that it dies in is not begun.
	before bool
	// renames makes it a system that cannot exchange directories.
	renames bool
	// busy is a directory that the system refuses to rename.
	busy string
}

// unsynced never dies. It does not fsync either: a test loses no power.
func unsynced() disk { return &dyingDisk{left: math.MaxInt} }

func (d *dyingDisk) step(whole, half func() error) error {
	d.left--
	if d.left >= 0 {
		return whole()
	}
	if d.left == -1 && !d.before {
		if err := half(); err != nil {
			return err
		}
	}
	return errCrash
}

func (d *dyingDisk) Write(path string, data []byte, mode fs.FileMode) error {
	return d.step(func() error { return os.WriteFile(path, data, mode) },
		func() error { return os.WriteFile(path, data[:len(data)/2], mode) })
}

func (d *dyingDisk) AppendAt(path string, offset int64, data []byte) error {
	return d.step(func() error { return appendAt(path, offset, data) },
		func() error { return appendAt(path, offset, data[:len(data)/2]) })
}

func appendAt(path string, offset int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	truncateErr := f.Truncate(offset)
	_, writeErr := f.WriteAt(data, offset)
	return errors.Join(truncateErr, writeErr, f.Close())
}

// The others are one system call: the crash comes before it or after it.
func (d *dyingDisk) Rename(from, to string) error {
	if from == d.busy {
		return fs.ErrPermission
	}
	f := func() error { return d.disk.Rename(from, to) }
	return d.step(f, f)
}

func (d *dyingDisk) Exchange(a, b string) error {
	if d.renames {
		return errors.ErrUnsupported
	}
	if b == d.busy {
		return fs.ErrPermission
	}
	f := func() error { return d.disk.Exchange(a, b) }
	return d.step(f, f)
}

func (d *dyingDisk) Remove(path string) error {
	f := func() error { return d.disk.Remove(path) }
	return d.step(f, f)
}

func (d *dyingDisk) MakeDir(path string) error {
	f := func() error { return d.disk.MakeDir(path) }
	return d.step(f, f)
}

func (d *dyingDisk) SyncDir(string) error {
	nothing := func() error { return nil }
	return d.step(nothing, nothing)
}

// crashEverywhere runs do on disks that die after 0, 1, 2 … steps, until one
// lives through it.
func crashEverywhere(t *testing.T, do func(d disk) error, after func(step int)) int {
	t.Helper()
	for step := 0; ; step++ {
		for _, before := range []bool{true, false} {
			d := &dyingDisk{left: step, before: before}
			err := do(d)
			if d.left >= 0 {
				require.NoError(t, err)
				return step
			}
			require.ErrorIs(t, err, errCrash)
			after(step)
		}
	}
}

func TestApplyCrashesAfterEveryStep(t *testing.T) {
	ctx := t.Context()
	history := everything()
	cut := batches(history, (len(history)+2)/3)
	require.Len(t, cut, 3)
	dir := filepath.Join(memoryDir(t), "tier")
	steps := crashEverywhere(t, func(d disk) error {
		require.NoError(t, os.RemoveAll(dir))
		tier, err := open(dir, Options{}, unsynced())
		require.NoError(t, err)
		require.NoError(t, tier.Apply(ctx, cut[0]))
		tier.disk = d
		return tier.Apply(ctx, cut[1])
	}, func(step int) {
		requireGoesOn(t, dir, cut, history, step)
	})
	require.Greater(t, steps, 20)
}

func TestRecoveryCrashesAfterEveryStep(t *testing.T) {
	ctx := t.Context()
	history := everything()
	cut := batches(history, (len(history)+2)/3)
	dir := filepath.Join(memoryDir(t), "tier")
	crashEverywhere(t, func(d disk) error {
		require.NoError(t, os.RemoveAll(dir))
		tier, err := open(dir, Options{}, unsynced())
		require.NoError(t, err)
		require.NoError(t, tier.Apply(ctx, cut[0]))
		// Directory, its parent's fsync, journal, its rename: committed.
		tier.disk = &dyingDisk{left: 5, before: true}
		require.ErrorIs(t, tier.Apply(ctx, cut[1]), errCrash)
		_, err = open(dir, Options{}, d)
		return err
	}, func(step int) {
		requireGoesOn(t, dir, cut, history, step)
	})
}

// requireGoesOn reopens a directory that a crash in the second batch left behind,
// finds the state before or after it, and plays the rest of the log.
func requireGoesOn(t *testing.T, dir string, cut []projector.Batch, history []*events.Event, step int) {
	t.Helper()
	tier, err := open(dir, Options{}, unsynced())
	require.NoError(t, err, "step %d", step)
	at, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	require.Contains(t, []uint64{cut[0].To.Sequence, cut[1].To.Sequence}, at.Sequence, "step %d", step)
	require.Equal(t, foldRows(t, history[:at.Sequence]), dump(t, tier), "step %d", step)
	for _, b := range cut {
		if b.From.Sequence >= at.Sequence {
			require.NoError(t, tier.Apply(t.Context(), b))
		}
	}
	require.Equal(t, foldRows(t, history), dump(t, tier), "step %d", step)
}

func TestFailedApplyGoesOnInTheSameProcess(t *testing.T) {
	ctx := t.Context()
	history := everything()
	cut := batches(history, (len(history)+2)/3)
	dir := filepath.Join(memoryDir(t), "tier")
	crashEverywhere(t, func(d disk) error {
		require.NoError(t, os.RemoveAll(dir))
		tier, err := open(dir, Options{}, unsynced())
		require.NoError(t, err)
		require.NoError(t, tier.Apply(ctx, cut[0]))
		tier.disk = d
		failed := tier.Apply(ctx, cut[1])
		tier.disk = unsynced()
		at, err := tier.Checkpoint(ctx)
		require.NoError(t, err)
		for _, b := range cut {
			if b.From.Sequence >= at.Sequence {
				require.NoError(t, tier.Apply(ctx, b))
			}
		}
		require.Equal(t, foldRows(t, history), dump(t, tier))
		return failed
	}, func(int) {})
}
