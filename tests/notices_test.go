package tests

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestNotificationsAreEnough: with an hour between two scans a folder is
// followed by what the system tells of it, also after it was deleted and made
// anew.
func TestNotificationsAreEnough(t *testing.T) {
	random, dir := newRandom(t), filepath.Join(t.TempDir(), watchAccount)
	require.NoError(t, os.Mkdir(dir, 0o700))
	s := newCacheWriter(t, dir, rand.New(rand.NewPCG(random.Uint64(), 0)))
	s.recordAsset()
	server := startIngest(t, t.TempDir(), "--watch", dir+"="+watchAccount, "--watch-patience", "300ms", "--watch-scan", "1h")
	prove := func() {
		t.Helper()
		for range 100 {
			s.recordDeal()
			s.awaitStep(server)
			if server.watched(t).Notified {
				return
			}
		}
		t.Fatal("no notification ever came")
	}
	prove()
	for range 20 {
		s.step()
	}
	s.awaitStep(server)
	require.True(t, server.watched(t).Notified)

	require.NoError(t, os.RemoveAll(dir))
	require.Eventually(t, func() bool { return !server.watched(t).InStep }, 20*time.Second, 5*time.Millisecond)
	require.False(t, server.watched(t).Notified)
	require.NoError(t, os.Mkdir(dir, 0o700))
	s.savePositions()
	prove()
}
