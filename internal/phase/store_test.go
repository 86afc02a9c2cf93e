package phase_test

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/phase"
)

const account = "55009728"

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func open(t testing.TB, path string) *phase.Store {
	t.Helper()
	s, err := phase.Open(path)
	require.NoError(t, err)
	return s
}

func TestStoreRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "phases.json")
	s := open(t, path)
	require.Equal(t, phase.Entry{Phase: phase.Shadow}, s.Of(account))
	require.Empty(t, s.All())
	require.NoError(t, s.Set(account, phase.Dual, noon))
	found := phase.Reconciliation{Statement: "持仓.csv", SHA256: strings.Repeat("0", 64), Sequence: 7, Breaks: 2, ComparedAt: noon}
	kept, err := s.Reconciled("7654321", found, 10)
	require.NoError(t, err)
	require.Equal(t, found, kept)
	require.Equal(t, phase.Entry{Phase: phase.Shadow, Reconciliation: &found}, s.Of("7654321"))

	// A comparison with an earlier part of the log says nothing of now.
	earlier := found
	earlier.Sequence, earlier.Breaks = 6, 0
	kept, err = s.Reconciled("7654321", earlier, 10)
	require.NoError(t, err)
	require.Equal(t, found, kept)
	again := open(t, path)
	require.Equal(t, s.All(), again.All())
	// What lies beyond the log's end was of another log.
	kept, err = again.Reconciled("7654321", earlier, 6)
	require.NoError(t, err)
	require.Equal(t, earlier, kept)
}

func TestStoreRefusesADamagedFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "phases.json")
	require.NoError(t, open(t, path).Set(account, phase.Tiers, noon))
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for cut := range len(whole) - 2 {
		require.NoError(t, os.WriteFile(path, whole[:cut], 0o600))
		_, err := phase.Open(path)
		require.ErrorContains(t, err, path, "%d bytes", cut)
		require.ErrorContains(t, err, "--watch")
	}
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(whole), "tiers", "later", 1)), 0o600))
	_, err = phase.Open(path)
	require.ErrorContains(t, err, `"later" is no phase`)
}

// TestStoreSurvivesKill: killed at any instant between and in writes, the file
// is whole and holds the last change that was done, or the one after it.
func TestStoreSurvivesKill(t *testing.T) {
	if path := os.Getenv("TAPEDECK_TEST_PHASES"); path != "" {
		s := open(t, path)
		for i := int64(1); ; i++ {
			require.NoError(t, s.Set(account, phase.Tiers, time.Unix(i, 0)))
			fmt.Printf("done %d\n", i)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 10 {
		path := filepath.Join(t.TempDir(), "phases.json")
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStoreSurvivesKill$")
		child.Env = append(os.Environ(), "TAPEDECK_TEST_PHASES="+path)
		out, err := child.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, child.Start())
		lines, done, stop := bufio.NewScanner(out), int64(0), 1+random.Int64N(40)
		for lines.Scan() {
			if _, err := fmt.Sscanf(lines.Text(), "done %d", &done); err == nil && done == stop {
				require.NoError(t, child.Process.Kill())
			}
		}
		require.Error(t, child.Wait())
		require.GreaterOrEqual(t, done, stop)
		e := open(t, path).Of(account)
		require.Equal(t, phase.Tiers, e.Phase)
		require.Contains(t, []int64{done, done + 1}, e.Since.Unix())
	}
}

// TestStoreIsReadWhileItChanges is for the race detector.
func TestStoreIsReadWhileItChanges(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "phases.json"))
	var running sync.WaitGroup
	for i := range 4 {
		id := fmt.Sprintf("account%d", i)
		running.Go(func() {
			for j := range 20 {
				require.NoError(t, s.Set(id, phase.Dual, time.Unix(int64(j), 0)))
				require.Equal(t, int64(j), s.Of(id).Since.Unix())
				s.All()
			}
		})
	}
	running.Wait()
	require.Len(t, s.All(), 4)
}
