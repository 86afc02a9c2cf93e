package tests

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestMakeRunGoesOn: what was published while `make run` ran is there when it
// runs again. The sample's folders, which do not hold it, do not close it.
func TestMakeRunGoesOn(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	http := freeAddress(t, random)
	env := append(os.Environ(), "TAPEDECK_BIN="+binaries, "TAPEDECK_DATA="+t.TempDir(), "TAPEDECK_LISTEN="+http, "TAPEDECK_CONSOLE_LISTEN="+freeAddress(t, random),
		"TAPEDECK_NATS_LISTEN="+freeAddress(t, random), "TAPEDECK_FILE_METRICS="+freeAddress(t, random))
	in := &ingest{url: "http://" + http}
	var before logInfo
	for life := range 2 {
		run := exec.Command("../deploy/run.sh")
		run.Env, run.SysProcAttr = env, &syscall.SysProcAttr{Setpgid: true}
		stdout, err := run.StdoutPipe()
		require.NoError(t, err)
		run.Stderr = run.Stdout
		require.NoError(t, run.Start())
		said, runs := make(chan string, 1), make(chan struct{})
		go func() {
			var all strings.Builder
			for lines := bufio.NewScanner(stdout); lines.Scan(); {
				all.WriteString(lines.Text() + "\n")
				if strings.HasPrefix(lines.Text(), "Ctrl-C stops") {
					close(runs)
				}
			}
			said <- all.String()
		}()
		t.Cleanup(func() { _ = run.Process.Signal(syscall.SIGTERM) }) // it may have ended
		select {
		case <-runs:
		case text := <-said:
			t.Fatalf("life %d ended: %v\n%s", life, run.Wait(), text)
		case <-time.After(2 * time.Minute):
			t.Fatalf("life %d does not run", life)
		}
		if life == 0 {
			status, answer := in.post(t, "application/json", []byte(`{"specversion":"1.0","id":"my-key-1","source":"strategy/wencai_v1","type":"position.opened.v1","time":"2025-10-10T10:00:00+08:00","data":{"account_id":"55009728","stock_code":"600000.SH"}}`))
			require.Equal(t, 200, status, "%s", answer)
			before = in.log(t)
		} else {
			require.Equal(t, before, in.log(t), "nothing is appended by starting again")
		}
		require.NoError(t, run.Process.Signal(syscall.SIGINT))
		text := <-said
		require.NoError(t, run.Wait(), text)
		require.Contains(t, text, "export TAPEDECK_FILE_DIR=")
		require.Contains(t, text, "stopped")
	}
}
