package backup_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/backup"
)

// sets lists what lies in a rotation's folder.
func sets(t testing.TB, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

const (
	day  = 24 * time.Hour
	keep = 30 * day
)

// Four months of daily runs: at each moment some set reaches back so that every
// moment of the last 30 days is an end of it, and there are never more than
// three sets.
func TestFourMonthsOfDailyRuns(t *testing.T) {
	p, dir := newTape(t), filepath.Join(t.TempDir(), "backups")
	rotation := backup.Rotation{Dir: dir, Keep: keep, Logger: quiet()}
	last, err := rotation.LastRun()
	require.NoError(t, err)
	require.True(t, last.IsZero())
	begin := time.Date(2025, 1, 1, 3, 0, 0, 0, time.UTC)
	begun := map[string]bool{}
	for i := range 125 {
		now := begin.Add(time.Duration(i) * day)
		p.add(t, "a", 1)
		result, err := rotation.Run(background(t), p.log, now)
		require.NoError(t, err)
		require.EqualValues(t, i+1, result.Set.End().Sequence)
		last, err := rotation.LastRun()
		require.NoError(t, err)
		require.Equal(t, now, last)
		names := sets(t, dir)
		require.LessOrEqual(t, len(names), 3)
		oldest, err := backup.Open(filepath.Join(dir, names[0]))
		require.NoError(t, err)
		if i >= 60 {
			require.False(t, oldest.Manifest().Begun.After(now.Add(-keep+day)))
		}
		for _, name := range names {
			begun[name] = true
		}
	}
	require.Len(t, begun, 5, "a set is gone on with for 30 days")
	require.Equal(t, p.frames(t), frames(t, newest(t, dir), 0))
}

func newest(t testing.TB, dir string) *backup.Set {
	t.Helper()
	names := sets(t, dir)
	set, err := backup.Open(filepath.Join(dir, names[len(names)-1]))
	require.NoError(t, err)
	return set
}

func TestNothingIsDroppedForASetThatIsNotSound(t *testing.T) {
	p, dir := newTape(t), filepath.Join(t.TempDir(), "backups")
	rotation := backup.Rotation{Dir: dir, Keep: keep, Logger: quiet()}
	begin := time.Date(2025, 1, 1, 3, 0, 0, 0, time.UTC)
	run := func(after time.Duration) error {
		p.add(t, "a", 3)
		_, err := rotation.Run(background(t), p.log, begin.Add(after))
		return err
	}
	require.NoError(t, run(0))
	require.NoError(t, run(keep))
	require.Len(t, sets(t, dir), 1, "the first set is kept for 30 days after its last run, which was the first")
	require.NoError(t, run(keep+day))
	require.NoError(t, os.Mkdir(filepath.Join(dir, sets(t, dir)[0]+".dropped"), 0o700))
	require.NoError(t, run(keep+2*day))
	require.Len(t, sets(t, dir), 1, "what a killed drop left goes")

	second := newest(t, dir)
	lost := filepath.Join(second.Dir(), second.Manifest().Segments[0].File)
	require.NoError(t, run(2*keep))
	third := newest(t, dir)
	require.NotEqual(t, second.Dir(), third.Dir())
	flip(t, filepath.Join(third.Dir(), third.Manifest().Segments[0].File), 30)
	require.ErrorIs(t, run(3*keep-day), backup.ErrDamaged)
	require.Len(t, sets(t, dir), 2)
	require.NoError(t, readAll(t, second.Dir()), "it outlives its time")

	// A set with a file missing is not gone on with, and not dropped by itself.
	require.NoError(t, os.Remove(lost))
	require.NoError(t, os.Remove(filepath.Join(third.Dir(), third.Manifest().Segments[0].File)))
	require.NoError(t, run(3*keep-day/2))
	require.NotEqual(t, third.Dir(), newest(t, dir).Dir())
	require.Equal(t, p.frames(t), frames(t, newest(t, dir), 0))
}

// A log that lost events stops the rotation; nothing is begun or dropped.
func TestALostLogDropsNothing(t *testing.T) {
	p, dir := newTape(t), filepath.Join(t.TempDir(), "backups")
	rotation := backup.Rotation{Dir: dir, Keep: 30 * 24 * time.Hour, Logger: quiet()}
	p.add(t, "a", 3)
	result, err := rotation.Run(background(t), p.log, time.Now())
	require.NoError(t, err)
	other := newTape(t)
	other.add(t, "b", 1, 1, 1, 1)
	for range 2 {
		_, err = rotation.Run(background(t), other.log, time.Now())
		require.ErrorIs(t, err, backup.ErrOtherLog)
	}
	require.Equal(t, []string{filepath.Base(result.Set.Dir())}, sets(t, dir))
	require.False(t, strings.Contains(filepath.Base(result.Set.Dir()), "dropped"))
	require.NoError(t, readAll(t, result.Set.Dir()))
}
