package testserver

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const orphanHelper = "TAPEDECK_TEST_ORPHAN_HELPER"

var everyEngine = map[string]func(T) *Server{
	"redis":      func(t T) *Server { return Redis(t, Quota(64<<20)) },
	"mariadb":    func(t T) *Server { return MariaDB(t, Quota(128<<20)) },
	"clickhouse": func(t T) *Server { return ClickHouse(t, Quota(64<<20)) },
}

// TestNoOrphan kills a test process, itself started again, whose server must
// die with it, and whose limited disk was never seen by others.
func TestNoOrphan(t *testing.T) {
	if engine := os.Getenv(orphanHelper); engine != "" {
		s := everyEngine[engine](t)
		fmt.Printf("pid %d data %s\n", s.process.Process.Pid, s.data)
		select {}
	}
	for engine := range everyEngine {
		t.Run(engine, func(t *testing.T) {
			helper := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNoOrphan$")
			helper.Env = append(os.Environ(), orphanHelper+"="+engine, "TMPDIR="+t.TempDir())
			out, err := helper.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, helper.Start())
			var pid int
			var data string
			for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
				_, _ = fmt.Sscanf(lines.Text(), "pid %d data %s", &pid, &data) // other lines are no news
			}
			require.NotZero(t, pid)
			require.NoError(t, syscall.Kill(pid, 0), "the server runs")
			own, err := os.ReadFile("/proc/self/mountinfo")
			require.NoError(t, err)
			require.NotContains(t, string(own), data)
			its, err := os.ReadFile(fmt.Sprintf("/proc/%d/mountinfo", pid))
			require.NoError(t, err)
			require.Contains(t, string(its), data)

			require.NoError(t, helper.Process.Kill())
			require.Error(t, helper.Wait())
			require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 10*time.Millisecond)
			left, err := os.ReadDir(data)
			require.NoError(t, err)
			require.Empty(t, left, "the disk went with the process")
		})
	}
}

// gone tells that a process has ended; it may wait to be reaped by init.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(status), ") Z ")
}
