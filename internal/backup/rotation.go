package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Rotation keeps sets in one folder: it goes on with the newest, begins a new
// one when that is old, and drops whole sets. Each set holds the log from its
// first event, so each alone can be restored.
type Rotation struct {
	// Dir holds a folder for each set, named by when the set was begun.
	Dir string
	// Keep is how long a set is gone on with, and how long after its last run
	// it is kept.
	Keep time.Duration
	// Logger gets what needs a person but does not keep a run from succeeding.
	Logger *slog.Logger
}

const (
	setName = "20060102T150405Z"
	dropped = ".dropped"
)

// LastRun is when the newest set was last found to hold all of the log; zero
// when no run ended yet.
func (r Rotation) LastRun() (time.Time, error) {
	sets, err := r.sets()
	if err != nil || len(sets) == 0 {
		return time.Time{}, err
	}
	newest, err := Open(filepath.Join(r.Dir, sets[len(sets)-1]))
	if errors.Is(err, ErrNone) || errors.Is(err, ErrDamaged) {
		return time.Time{}, nil // the next run sees to it
	}
	if err != nil {
		return time.Time{}, err
	}
	return newest.manifest.Time, nil
}

// Run brings the newest set up to the log's end, or begins another, and then
// drops the sets that are no longer kept. A set that is damaged is not gone on
// with; it stays for a person to look at. A log that does not hold the newest
// set's end is an error each time, and nothing is dropped: see Take.
func (r Rotation) Run(ctx context.Context, log *eventlog.Log, now time.Time) (Result, error) {
	sets, err := r.sets()
	if err != nil {
		return Result{}, err
	}
	name, err := r.current(sets, now)
	if err != nil {
		return Result{}, err
	}
	result, err := Take(ctx, log, filepath.Join(r.Dir, name), Options{Incremental: true, Now: now})
	if err != nil {
		return result, err
	}
	return result, r.drop(ctx, sets, result.Set, now)
}

// sets are the folders of sets, oldest first.
func (r Rotation) sets() ([]string, error) {
	entries, err := os.ReadDir(r.Dir) // sorted by name, so by time
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("backup: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if _, err := time.Parse(setName, entry.Name()); err == nil && entry.IsDir() {
			names = append(names, entry.Name())
		}
	}
	return names, nil
}

// current is the set to go on with.
func (r Rotation) current(sets []string, now time.Time) (string, error) {
	fresh := now.UTC().Format(setName)
	if len(sets) == 0 {
		return fresh, nil
	}
	newest := sets[len(sets)-1]
	set, err := openWhole(filepath.Join(r.Dir, newest))
	switch {
	case errors.Is(err, ErrNone):
		return newest, nil // a run was killed before its first manifest
	case errors.Is(err, ErrDamaged):
		if newest == fresh {
			return "", err
		}
		r.Logger.Error("the newest backup is damaged; beginning a new one beside it", "error", err)
		return fresh, nil
	case err != nil:
		return "", err
	case now.Sub(set.manifest.Begun) >= r.Keep && newest != fresh:
		return fresh, nil
	}
	return newest, nil
}

// drop removes the sets whose last run is out of date. The one that replaces
// them is read and proved first.
func (r Rotation) drop(ctx context.Context, sets []string, current *Set, now time.Time) error {
	proved := false
	for _, name := range sets {
		dir := filepath.Join(r.Dir, name)
		if dir == current.dir {
			continue
		}
		set, err := Open(dir)
		if err != nil {
			r.Logger.Warn("an old backup cannot be read and is not dropped by itself; look at it and remove it", "error", err)
			continue
		}
		last := set.manifest.Time
		if last.IsZero() {
			last = set.manifest.Begun
		}
		if now.Sub(last) < r.Keep {
			continue
		}
		if !proved {
			if err := current.Verify(ctx); err != nil {
				return fmt.Errorf("old backups are kept: %w", err)
			}
			proved = true
		}
		// Renamed first: a set is there whole or not at all.
		if err := os.Rename(dir, dir+dropped); err != nil {
			return fmt.Errorf("backup: drop %s: %w", dir, err)
		}
		r.Logger.Info("backup dropped", "set", name, "last_run", last)
	}
	return r.clear()
}

// clear removes what is renamed, also by a run that was killed.
func (r Rotation) clear() error {
	entries, err := os.ReadDir(r.Dir)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), dropped) {
			if err := os.RemoveAll(filepath.Join(r.Dir, entry.Name())); err != nil {
				return fmt.Errorf("backup: %w", err)
			}
		}
	}
	return nil
}
