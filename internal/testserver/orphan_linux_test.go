package testserver

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const orphanHelper = "TAPEDECK_TEST_ORPHAN_HELPER"

// TestNoOrphan kills a test process, itself started again, whose server must
// die with it.
func TestNoOrphan(t *testing.T) {
	if os.Getenv(orphanHelper) != "" {
		fmt.Printf("pid %d\n", Redis(t).process.Process.Pid)
		select {}
	}
	helper := exec.Command(os.Args[0], "-test.run=^TestNoOrphan$")
	helper.Env = append(os.Environ(), orphanHelper+"=1", "TMPDIR="+t.TempDir())
	out, err := helper.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, helper.Start())
	lines := bufio.NewScanner(out)
	var pid int
	for pid == 0 && lines.Scan() {
		if text, ok := strings.CutPrefix(lines.Text(), "pid "); ok {
			pid, err = strconv.Atoi(text)
			require.NoError(t, err)
		}
	}
	require.NotZero(t, pid)
	require.NoError(t, syscall.Kill(pid, 0), "the server runs")
	require.NoError(t, helper.Process.Kill())
	require.Error(t, helper.Wait())
	require.Eventually(t, func() bool { return gone(pid) }, 10*time.Second, 10*time.Millisecond)
}

// gone tells that a process has ended; it may wait to be reaped by init.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(status), ") Z ")
}
