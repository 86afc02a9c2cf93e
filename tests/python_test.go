package tests

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// python is Debian's own; the client needs nothing beyond it.
const python = "/usr/bin/python3"

// pythonCommand runs Python in the client's folder.
func pythonCommand(args ...string) *exec.Cmd {
	cmd := exec.Command(python, append([]string{"-B"}, args...)...)
	cmd.Dir = filepath.Join("..", "clients", "python")
	return cmd
}

// TestPythonClient runs the Python client's own tests.
func TestPythonClient(t *testing.T) {
	out, err := pythonCommand("-W", "error", "-m", "unittest", "discover", "-t", ".", "-s", "tests").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out[max(0, len(out)-200):])
}

// strategy is a running Python process that records numbered events.
type strategy struct {
	cmd      *exec.Cmd
	recorded atomic.Int64 // the first event whose call has not returned
	done     chan struct{}
	longest  string // milliseconds of its longest call, once it is done
	errors   strings.Builder
	err      error
}

func startStrategy(t *testing.T, url, spool string, first, end int, seed uint64) *strategy {
	t.Helper()
	s := &strategy{done: make(chan struct{})}
	s.recorded.Store(int64(first))
	s.cmd = pythonCommand("-m", "tests.strategy", url, spool, strconv.Itoa(first), strconv.Itoa(end), strconv.FormatUint(seed, 10))
	s.cmd.Stderr = &s.errors
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if longest, done := strings.CutPrefix(lines.Text(), "done "); done {
				s.longest = longest
			} else if n, err := strconv.ParseInt(lines.Text(), 10, 64); err == nil {
				s.recorded.Store(n)
			}
		}
		s.err = s.cmd.Wait()
	}()
	t.Cleanup(s.kill)
	return s
}

// kill is kill -9. What it had printed until then is known afterwards.
func (s *strategy) kill() {
	_ = s.cmd.Process.Kill() // it may have ended by itself
	<-s.done
}

// until waits until the strategy has recorded so many events.
func (s *strategy) until(t *testing.T, events int) {
	t.Helper()
	require.Eventually(t, func() bool {
		select {
		case <-s.done:
			return true
		default:
			return s.recorded.Load() >= int64(events)
		}
	}, time.Minute, time.Millisecond, "the strategy stopped at %d", s.recorded.Load())
}

// finished waits for the strategy's end, which comes when ingest has all.
func (s *strategy) finished(t *testing.T) {
	t.Helper()
	select {
	case <-s.done:
	case <-time.After(time.Minute):
		t.Fatalf("the strategy did not end, it is at %d\n%s", s.recorded.Load(), s.errors.String())
	}
	require.NoError(t, s.err, s.errors.String())
	require.NotEmpty(t, s.longest, s.errors.String())
}

// onLog holds the log against the strategy's events: each once, in order.
func onLog(t *testing.T, server *ingest, events int) {
	t.Helper()
	reader := &chainReader{seen: map[string]uint64{}}
	reader.readOn(t, server.nats)
	for n := range events {
		require.Equal(t, uint64(n+2), reader.seen[fmt.Sprintf("py-%d", n)], "event %d", n)
	}
	require.Equal(t, uint64(events+1), reader.at.Sequence)
}

const pythonAccount = `{"specversion":"1.0","id":"account","source":"test","type":"account.created.v1","time":"2025-01-02T08:00:00+08:00","data":{"account_id":"10000001","account_name":"n","broker":"QMT","initial_capital":"1000.00"}}`

// TestPythonWhileIngestDies: a Python strategy records 10,000 events while
// ingest is killed and restarted five times. All are on the log once, in order,
// and the strategy never waited for ingest.
func TestPythonWhileIngestDies(t *testing.T) {
	const events, kills = 10_000, 5
	random := newRandom(t)
	dir := t.TempDir()
	server := startIngest(t, dir)
	address := strings.TrimPrefix(server.url, "http://")
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	s := startStrategy(t, server.url, filepath.Join(t.TempDir(), "spool"), 0, events, random.Uint64())
	for kill := range kills {
		at := events/kills*kill + random.IntN(events/kills*3/4)
		s.until(t, at)
		server.kill()
		s.until(t, at+1+random.IntN(events/kills/4)) // it goes on while ingest is down
		server = startIngest(t, dir, "--listen", address)
	}
	s.finished(t)
	onLog(t, server, events)
	t.Logf("%d kills; the longest call took %s ms", kills, s.longest)
}

// TestPythonDies: the strategy is killed at random instants, and ingest now and
// then. The next life goes on with the first event whose call had not returned.
// All events are on the log once, in order.
func TestPythonDies(t *testing.T) {
	const events, kills = 3000, 8
	random := newRandom(t)
	dir, spool := t.TempDir(), filepath.Join(t.TempDir(), "spool")
	server := startIngest(t, dir)
	address := strings.TrimPrefix(server.url, "http://")
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	first := 0
	for kill := range kills {
		s := startStrategy(t, server.url, spool, first, events, random.Uint64())
		s.until(t, events/kills*kill+random.IntN(events/kills))
		down := random.IntN(3) == 0
		if down {
			server.kill()
		}
		s.kill()
		first = int(s.recorded.Load())
		if down {
			server = startIngest(t, dir, "--listen", address)
		}
	}
	s := startStrategy(t, server.url, spool, first, events, random.Uint64())
	s.finished(t)
	onLog(t, server, events)
	segments, err := filepath.Glob(filepath.Join(spool, "*.spool"))
	require.NoError(t, err)
	require.Len(t, segments, 1)
	_, err = os.Stat(filepath.Join(spool, "rejects.ndjson"))
	require.ErrorIs(t, err, os.ErrNotExist)
}
