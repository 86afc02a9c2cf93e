package ingest

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/backup"
)

func scheduled(dir string, every time.Duration) func(*Config) {
	return func(c *Config) { c.Backups = BackupConfig{Dir: dir, Every: every, Keep: 30 * 24 * time.Hour} }
}

func metric(t testing.TB, s *Service, name string) string {
	t.Helper()
	for line := range strings.Lines(string(send(t, s, http.MethodGet, "/metrics", "", nil).body)) {
		if value, ok := strings.CutPrefix(line, "tapedeck_ingest_"+name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// newestSet is the one set that the schedule has made, nil before there is one.
func newestSet(t testing.TB, dir string) *backup.Set {
	t.Helper()
	sets, err := filepath.Glob(filepath.Join(dir, "*Z"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(sets), 1)
	if len(sets) == 0 {
		return nil
	}
	set, err := backup.Open(sets[0])
	if err != nil {
		require.ErrorIs(t, err, backup.ErrNone)
		return nil
	}
	return set
}

func TestTheLogIsBackedUpOnSchedule(t *testing.T) {
	data, dir := t.TempDir(), filepath.Join(t.TempDir(), "backups")
	s := start(t, data, scheduled(dir, 20*time.Millisecond))
	register(t, s)
	for i := range 5 {
		require.Equal(t, http.StatusOK, post(t, s, opened(string(rune('a'+i)), "600000.SH")).status)
		require.Eventually(t, func() bool {
			set := newestSet(t, dir)
			return set != nil && set.End().Sequence == uint64(3+i)
		}, 10*time.Second, 5*time.Millisecond)
	}
	require.Eventually(t, func() bool { return metric(t, s, "backup_last_sequence") == "7" }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, "0", metric(t, s, "backup_failures_total"))
	require.NotEqual(t, "0", metric(t, s, "backup_last_success_timestamp_seconds"))
	require.NoError(t, s.Stop())
	require.NoError(t, newestSet(t, dir).Verify(t.Context()))

	// A restart waits until the next one is due.
	last := newestSet(t, dir).Manifest().Time
	s = start(t, data, scheduled(dir, time.Hour))
	require.Equal(t, http.StatusOK, post(t, s, opened("z", "600001.SH")).status)
	require.NotEqual(t, "0", metric(t, s, "backup_last_success_timestamp_seconds"), "it is known from the set")
	require.NoError(t, s.Stop())
	require.Equal(t, last, newestSet(t, dir).Manifest().Time)
}

// A backup that fails shows, and hinders nothing else.
func TestAFailingBackupHindersNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a file")
	require.NoError(t, os.WriteFile(dir, nil, 0o600))
	s := start(t, t.TempDir(), scheduled(dir, 10*time.Millisecond))
	register(t, s)
	require.Eventually(t, func() bool {
		failures := metric(t, s, "backup_failures_total")
		return failures != "" && failures != "0" && failures != "1"
	}, 10*time.Second, 5*time.Millisecond, "it is tried again")
	require.Equal(t, "0", metric(t, s, "backup_last_success_timestamp_seconds"))
	require.Equal(t, http.StatusOK, send(t, s, http.MethodGet, "/readyz", "", nil).status)
	require.Equal(t, http.StatusOK, post(t, s, opened("a", "600000.SH")).status)
}

func TestDaysAreWrittenAsDays(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "1d": 24 * time.Hour, "90m": 90 * time.Minute} {
		var d Days
		require.NoError(t, d.UnmarshalText([]byte(text)))
		require.Equal(t, want, time.Duration(d))
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "x", "99999d"} {
		require.Error(t, new(Days).UnmarshalText([]byte(text)), text)
	}
}
