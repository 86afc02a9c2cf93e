//go:build unix

package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWatchFaults: a folder with more prices than one atomic request takes, a
// bad byte, and a pipe in the place of a file.
func TestWatchFaults(t *testing.T) {
	dir := filepath.Join(t.TempDir(), watchAccount)
	require.NoError(t, os.Mkdir(dir, 0o700))
	put := func(name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	const row = "2025-01-02,10:20:08,603390.SH,通达电气,买入成交,问财选股,12.43,1600\r\n"
	held, prices := map[string]map[string]int{}, map[string]float64{}
	for i := range 1500 {
		code := fmt.Sprintf("6%05d.SH", i)
		if prices[code] = 9.5; i < 50 {
			held[code] = map[string]int{"day_count": i % 5}
		}
	}
	save := func(name string, v any) {
		raw, err := json.Marshal(v)
		require.NoError(t, err)
		put(name, string(raw))
	}
	save("positions.json", held)
	save("max_price.json", prices)
	save("min_price.json", map[string]float64{})
	put("assets.csv", assetHeader+"2025-01-02,1000.0\n")
	put("deal_hist.csv", dealHeader+row+row)
	server := startIngest(t, t.TempDir(), "--watch", dir+"="+watchAccount, "--watch-patience", "300ms")
	await := func(what string, so func(watchStatus) bool) {
		t.Helper()
		require.Eventually(t, func() bool { return so(server.watched(t)) }, 30*time.Second, 20*time.Millisecond, what)
	}
	await("in step", func(s watchStatus) bool { return s.InStep })
	require.Len(t, readTape(t, server.nats), 1+2+1+50+1500, "the account, two trades and a balance; positions and prices")

	put("deal_hist.csv", dealHeader+row+row+strings.Replace(row, "通", "\xff", 1)+row)
	await("one drift", func(s watchStatus) bool { return len(s.Drifts) == 1 && strings.Contains(string(s.Drifts[0]), "line 4") })

	require.NoError(t, os.Remove(filepath.Join(dir, "deal_hist.csv")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "deal_hist.csv"), 0o600))
	await("a pipe is a drift", func(s watchStatus) bool {
		return len(s.Drifts) == 1 && strings.Contains(string(s.Drifts[0]), "regular")
	})
	began := time.Now()
	server.stop(t)
	require.Less(t, time.Since(began), 15*time.Second)
}
