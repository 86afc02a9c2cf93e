package tests

import (
	"bufio"
	"encoding/csv"
	"encoding/json"
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
	t.Parallel()
	out, err := pythonCommand("-W", "error", "-m", "unittest", "discover", "-t", ".", "-s", "tests").CombinedOutput()
	require.NoError(t, err, "%s", out)
	t.Logf("%s", out[max(0, len(out)-200):])
}

// strategy is a running Python process that says how far it is; which one, and
// what it takes, is told in its file under clients/python/tests.
type strategy struct {
	cmd      *exec.Cmd
	recorded atomic.Int64 // the first event, or step, whose call has not returned
	done     chan struct{}
	said     string // what it said of itself once it was done
	errors   strings.Builder
	err      error
}

func startStrategy(t *testing.T, name, url, dir string, first, end int, seed uint64) *strategy {
	t.Helper()
	s := &strategy{done: make(chan struct{})}
	s.recorded.Store(int64(first))
	s.cmd = pythonCommand("-m", "tests."+name, url, dir, strconv.Itoa(first), strconv.Itoa(end), strconv.FormatUint(seed, 10))
	s.cmd.Env = append(os.Environ(), "TZ=CST-8") // China's time, also where there is no zone file
	s.cmd.Stderr = &s.errors
	stdout, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, s.cmd.Start())
	go func() {
		defer close(s.done)
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			if said, done := strings.CutPrefix(lines.Text(), "done "); done {
				s.said = said
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
	require.NotEmpty(t, s.said, s.errors.String())
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
	t.Parallel()
	const events, kills = 10_000, 5
	random := newRandom(t)
	dir := t.TempDir()
	server := startIngest(t, dir)
	address := strings.TrimPrefix(server.url, "http://")
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	s := startStrategy(t, "strategy", server.url, filepath.Join(t.TempDir(), "spool"), 0, events, random.Uint64())
	for kill := range kills {
		at := events/kills*kill + random.IntN(events/kills*3/4)
		s.until(t, at)
		server.kill()
		s.until(t, at+1+random.IntN(events/kills/4)) // it goes on while ingest is down
		server = startIngest(t, dir, "--listen", address)
	}
	s.finished(t)
	onLog(t, server, events)
	t.Logf("%d kills; the longest call took %s ms", kills, s.said)
}

// TestPythonDies: the strategy is killed at random instants, and ingest now and
// then. The next life goes on with the first event whose call had not returned.
// All events are on the log once, in order.
func TestPythonDies(t *testing.T) {
	t.Parallel()
	const events, kills = 3000, 8
	random := newRandom(t)
	dir, spool := t.TempDir(), filepath.Join(t.TempDir(), "spool")
	server := startIngest(t, dir)
	address := strings.TrimPrefix(server.url, "http://")
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	first := 0
	for kill := range kills {
		s := startStrategy(t, "strategy", server.url, spool, first, events, random.Uint64())
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
	s := startStrategy(t, "strategy", server.url, spool, first, events, random.Uint64())
	s.finished(t)
	onLog(t, server, events)
	segments, err := filepath.Glob(filepath.Join(spool, "*.spool"))
	require.NoError(t, err)
	require.Len(t, segments, 1)
	_, err = os.Stat(filepath.Join(spool, "rejects.ndjson"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestPythonHelpers: a strategy that writes its cache folder by the existing
// helpers is recorded by install's one line, while it and ingest are killed. In
// the end a snapshot of the log says what the folder says, and who watches the
// folder finds nothing to record: the way back to it is open.
func TestPythonHelpers(t *testing.T) {
	t.Parallel()
	const steps, kills = 400, 6
	random := newRandom(t)
	dir, folder := t.TempDir(), t.TempDir()
	server := startIngest(t, dir, "--session-policy", "off")
	address := strings.TrimPrefix(server.url, "http://")
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	first := 0
	for kill := range kills {
		s := startStrategy(t, "trader", server.url, folder, first, steps, random.Uint64())
		s.until(t, steps/kills*kill+random.IntN(steps/kills))
		server.kill()
		s.kill()
		first = int(s.recorded.Load())
		server = startIngest(t, dir, "--session-policy", "off", "--listen", address)
	}
	s := startStrategy(t, "trader", server.url, folder, first, steps, random.Uint64())
	s.finished(t)
	require.Equal(t, "0", s.said, "refused")
	out := filepath.Join(t.TempDir(), "snapshot")
	mustRun(t, []string{"TAPEDECK_NATS_URL=" + server.nats}, "replay", "snapshot", "--out", out)
	taped := readCache(t, filepath.Join(out, "10000001"))
	require.Equal(t, readCache(t, folder), taped)
	require.NotEmpty(t, taped.deals)
	last := server.log(t).Last
	server.kill()
	server = startIngest(t, dir, "--watch", folder+"=10000001", "--watch-patience", "300ms")
	require.Eventually(t, func() bool { return server.watched(t).InStep }, 20*time.Second, 5*time.Millisecond)
	require.Equal(t, last, server.log(t).Last)
	t.Logf("%d deals, %d positions", len(taped.deals), len(taped.held))
}

// cache is what counts of a strategy's folder.
type cache struct {
	incDate  string
	held     map[string]int // open positions
	max, min map[string]float64
	deals    []string
}

func readCache(t *testing.T, dir string) cache {
	t.Helper()
	c := cache{held: map[string]int{}}
	standard := func(code string) string {
		if digits, ok := strings.CutPrefix(code, "SZ"); ok {
			return digits + ".SZ"
		}
		return code
	}
	var positions map[string]json.RawMessage
	readJSON(t, filepath.Join(dir, "positions.json"), &positions)
	for code, raw := range positions {
		var entry struct {
			Days *int `json:"day_count"`
		}
		if code == "_inc_date" {
			require.NoError(t, json.Unmarshal(raw, &c.incDate))
		} else if require.NoError(t, json.Unmarshal(raw, &entry)); entry.Days != nil {
			c.held[standard(code)] = *entry.Days
		}
	}
	prices := func(name string) map[string]float64 {
		all, open := map[string]float64{}, map[string]float64{}
		readJSON(t, filepath.Join(dir, name), &all)
		for code, price := range all {
			if _, held := c.held[standard(code)]; held {
				open[standard(code)] = price
			}
		}
		return open
	}
	c.max, c.min = prices("max_price.json"), prices("min_price.json")
	file, err := os.Open(filepath.Join(dir, "deal_hist.csv"))
	require.NoError(t, err)
	defer file.Close()
	rows, err := csv.NewReader(file).ReadAll()
	require.NoError(t, err)
	for _, row := range rows[1:] {
		price, err := strconv.ParseFloat(row[6], 64)
		require.NoError(t, err)
		row[2], row[6] = standard(row[2]), strconv.FormatFloat(price, 'f', 3, 64)
		c.deals = append(c.deals, strings.Join(row, "|"))
	}
	return c
}

func readJSON(t *testing.T, path string, into any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, into), "%s", path)
}
