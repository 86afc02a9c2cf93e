package tests

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// hash is bcrypt's own example of cost 10.
const hash = "$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"

// allTypes are events of every type, as a publisher may write them: versions,
// amounts and statuses left out, numbers in odd spellings.
func allTypes() []byte {
	var out bytes.Buffer
	n := 0
	add := func(typ, data string) {
		n++
		fmt.Fprintf(&out, `{"specversion":"1.0","id":"all-%d","source":"test/\"all\"","type":"%s.v1","time":"2025-03-0%dT10:00:00.5+08:00","correlationid":"c,%d","data":%s}`+"\n", n, typ, n%9+1, n, data)
	}
	add("user.registered", `{"username":"lisi","email":"Li@Example.com","password_hash":"`+hash+`","roles":["viewer"]}`)
	add("user.login_failed", `{"username":"lisi","ip":"10.0.0.1"}`)
	add("user.logged_in", `{"username":"lisi","ip":"10.0.0.1"}`)
	add("user.password_changed", `{"username":"lisi","password_hash":"`+strings.Replace(hash, "lhWy", "lhWz", 1)+`"}`)
	add("role.granted", `{"username":"lisi","role":"trader"}`)
	add("role.revoked", `{"username":"lisi","role":"viewer"}`)
	add("user.status_changed", `{"username":"lisi","status":"inactive"}`)
	add("account.created", `{"account_id":"alltypes","account_name":"名, \"x\"","broker":"TDX","initial_capital":1e6}`)
	add("account.updated", `{"account_id":"alltypes","account_name":"neu"}`)
	add("account.status_changed", `{"account_id":"alltypes","status":"suspended"}`)
	add("strategy.created", `{"strategy_name":"Alle","strategy_code":"alle","strategy_type":"remote","version":"1.0.0"}`)
	add("strategy.updated", `{"strategy_code":"alle","description":"läuft, \"gut\""}`)
	add("strategy.status_changed", `{"strategy_code":"alle","status":"active"}`)
	add("strategy.bound", `{"account_id":"alltypes","strategy_code":"alle","allocated_capital":1000,"risk_limit":2.5}`)
	add("strategy.binding_changed", `{"account_id":"alltypes","strategy_code":"alle","risk_limit":"3"}`)
	add("param.saved", `{"strategy_code":"alle","params":{"z":1.10,"a":[1E400,-0],"\u540d":null,"o":{"y":1,"x":2}}}`)
	add("param.saved", `{"strategy_code":"alle","params":{"z":1.1,"o":{"x":2,"y":1}},"remark":"zwei"}`)
	add("param.activated", `{"strategy_code":"alle","version":1}`)
	add("trade.recorded", `{"account_id":"alltypes","stock_code":"SH600000","stock_name":"浦发银行","order_type":"buy_trade","price":8.300000190734863,"volume":100,"traded_at":"2025-01-04T03:00:00Z"}`)
	add("trade.recorded", `{"account_id":"alltypes","stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_order","price_type":"market","price":"8.3","volume":1e2,"amount":830,"traded_at":"2025-01-02T10:00:00+08:00","order_id":"o,1"}`)
	add("position.opened", `{"account_id":"alltypes","stock_code":"600000.SH"}`)
	add("position.held_days_set", `{"account_id":"alltypes","stock_code":"600000.SH","held_days":7}`)
	add("position.price_marked", `{"account_id":"alltypes","stock_code":"600000.SH","max_price":9}`)
	add("position.days_incremented", `{"account_id":"alltypes","date":"2025-01-03"}`)
	add("position.closed", `{"account_id":"alltypes","stock_code":"600000.SH"}`)
	add("account.capital_updated", `{"account_id":"alltypes","total_assets":"1000000.005"}`)
	add("kline.recorded", `{"stock_code":"600000.SH","bars":[{"date":"2025-01-02","open":8,"high":9,"low":7.5,"close":8.25,"volume":100,"amount":825}]}`)
	add("tier.parked", `{"tier":"redis","action":"parked","about":"account/alltypes","sequence":1,"reason":"x"}`)
	add("strategy.unbound", `{"account_id":"alltypes","strategy_code":"alle"}`)
	return out.Bytes()
}

// filled starts an ingest with both accounts' year and an event of every type.
func filled(t testing.TB) (in *ingest, env []string) {
	t.Helper()
	in = startIngest(t, t.TempDir())
	env = replayEnv(in)
	body := allTypes()
	for _, account := range accounts(t) {
		body = append(body, yearEvents(t, account)...)
	}
	path := filepath.Join(t.TempDir(), "events.ndjson")
	require.NoError(t, os.WriteFile(path, body, 0o600))
	mustRun(t, env, "replay", "import", path, "--rejects", filepath.Join(t.TempDir(), "rejects.csv"))
	require.EqualValues(t, bytes.Count(body, []byte("\n")), in.log(t).Last)
	return in, env
}

func replayEnv(in *ingest) []string {
	return []string{"TAPEDECK_NATS_URL=" + in.nats, "TAPEDECK_INGEST_URL=" + in.url}
}

// rawLog is what lies on the log: the frames' payloads, one after the other.
func rawLog(t testing.TB, url string) []byte {
	t.Helper()
	ctx := context.Background()
	log, err := eventlog.Open(ctx, eventlog.Config{URL: url})
	require.NoError(t, err)
	defer log.Close()
	frames, err := log.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	require.NoError(t, err)
	defer frames.Close()
	var raw []byte
	for {
		frame, err := frames.Next(ctx)
		if errors.Is(err, io.EOF) {
			return raw
		}
		require.NoError(t, err)
		raw = append(raw, frame.Payload...)
	}
}

// exported runs an export and returns the file's bytes.
func exported(t testing.TB, env []string, name string, flags ...string) (path string, content []byte) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	mustRun(t, env, "replay", append([]string{"export", "--out", path}, flags...)...)
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	return path, content
}

// TestExportRoundTrip exports a log, imports it into empty ones, and exports
// those: the bytes are the log's own every time, whatever the format was.
func TestExportRoundTrip(t *testing.T) {
	t.Parallel()
	in, env := filled(t)
	raw := string(rawLog(t, in.nats))
	types, err := filepath.Glob("../events/testdata/golden/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, types)
	for _, path := range types {
		require.Contains(t, raw, `"type":"`+strings.TrimSuffix(filepath.Base(path), ".json")+`"`, "every type of event is on the log")
	}
	_, first := exported(t, env, "events.ndjson")
	require.True(t, raw == string(first), "NDJSON is the log's own bytes")
	stdout := mustRun(t, env, "replay", "export", "--out", "-", "--json")
	require.True(t, raw == stdout, "and so on standard output, with nothing else there")

	for _, name := range []string{"events.ndjson", "events.csv", "events.parquet", "events.csv.gz"} {
		path, _ := exported(t, env, name)
		other := startIngest(t, t.TempDir())
		mustRun(t, replayEnv(other), "replay", "import", path)
		_, second := exported(t, replayEnv(other), "again.ndjson")
		require.True(t, raw == string(second), "%s: exported, imported, exported", name)
		before := other.log(t)
		mustRun(t, replayEnv(other), "replay", "import", path)
		require.Equal(t, before, other.log(t), "%s: importing again adds nothing", name)
		require.Zero(t, other.stop(t))
	}
}

// TestExportFilters holds filtered exports against a filter over the raw log.
func TestExportFilters(t *testing.T) {
	in, env := filled(t)
	type event struct {
		Type string         `json:"type"`
		Time time.Time      `json:"time"`
		Data map[string]any `json:"data"`
	}
	lines := bytes.SplitAfter(bytes.TrimSuffix(rawLog(t, in.nats), []byte("\n")), []byte("\n"))
	lines[len(lines)-1] = append(lines[len(lines)-1], '\n')
	events := make([]event, len(lines))
	for i, line := range lines {
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		require.NoError(t, d.Decode(&events[i]))
	}
	june := time.Date(2025, 6, 1, 0, 0, 0, 0, time.FixedZone("", 8*3600))
	for _, one := range []struct {
		flags []string
		keep  func(sequence int, e event) bool
	}{
		{[]string{"--since-sequence", "100", "--until-sequence", "4200"}, func(n int, _ event) bool { return n >= 100 && n <= 4200 }},
		{[]string{"--since-time", "2025-06-01", "--until-time", "2025-06-30"}, func(_ int, e event) bool {
			return !e.Time.Before(june) && e.Time.Before(june.AddDate(0, 0, 30))
		}},
		{[]string{"--account", "55009728", "--account", "alltypes"}, func(_ int, e event) bool {
			return e.Data["account_id"] == "55009728" || e.Data["account_id"] == "alltypes"
		}},
		{[]string{"--type", "trade.*", "--type", "account.created.v1", "--account", "55009728"}, func(_ int, e event) bool {
			return (strings.HasPrefix(e.Type, "trade.") || e.Type == "account.created.v1") && e.Data["account_id"] == "55009728"
		}},
		{[]string{"--until-logged", "2020-01-01"}, func(int, event) bool { return false }},
	} {
		var want []byte
		for i, line := range lines {
			if one.keep(i+1, events[i]) {
				want = append(want, line...)
			}
		}
		_, got := exported(t, env, "part.ndjson", one.flags...)
		require.True(t, string(want) == string(got), "%v: %d bytes, want %d", one.flags, len(got), len(want))
	}

	_, table := exported(t, env, "trades.csv", "--type", "trade.recorded.v1")
	rows, err := csv.NewReader(bytes.NewReader(table)).ReadAll()
	require.NoError(t, err)
	at := 1
	for i, e := range events {
		if e.Type != "trade.recorded.v1" {
			continue
		}
		require.Equal(t, fmt.Sprint(i+1), rows[at][0])
		for k, name := range rows[0] {
			if k < 10 {
				continue // of the envelope
			}
			want := ""
			if v, ok := e.Data[name]; ok {
				want = fmt.Sprint(v)
			}
			require.Equal(t, want, rows[at][k], "%s of event %d", name, i+1)
		}
		at++
	}
	require.Len(t, rows, at)

	path, _ := exported(t, env, "once.ndjson")
	for _, refused := range [][]string{
		{"--out", path}, {"--out", t.TempDir()}, {"--out", "-", "--type", "nope.*"}, {"--out", "-", "--account", "nobody"},
		{"--out", "-", "--since-sequence", "999999"}, {"--out", "-", "--until-sequence", "999999"}, {"--out", "x.parquet.gz"},
	} {
		_, stderr, code := run(t, env, "replay", append([]string{"export"}, refused...)...)
		require.Equal(t, 2, code, "%v: %s", refused, stderr)
	}
	mustRun(t, env, "replay", "export", "--out", path, "--force", "--type", "role.*")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, 2, bytes.Count(content, []byte("\n")))
}

// TestExportInterrupted ends exports at random instants, by Ctrl-C and by
// kill -9: there is the whole file or none.
func TestExportInterrupted(t *testing.T) {
	in, env := filled(t)
	raw := rawLog(t, in.nats)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	path := filepath.Join(dir, "events.csv")
	_, whole := exported(t, env, "whole.csv")
	for i := range 16 {
		_ = os.Remove(path) // there or not
		if i%2 == 0 {
			_ = os.Remove(path + ".exporting") // of a kill before
		}
		signal := []os.Signal{os.Interrupt, syscall.SIGKILL}[i%2]
		cmd := exec.Command(filepath.Join(binaries, "replay"), "export", "--out", path)
		cmd.Env = append(os.Environ(), env...)
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		require.NoError(t, cmd.Start())
		timer := time.AfterFunc(time.Duration(random.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Signal(signal) })
		err := cmd.Wait()
		timer.Stop()
		content, readErr := os.ReadFile(path)
		if err == nil || readErr == nil {
			require.NoError(t, readErr)
			require.True(t, bytes.Equal(whole, content), "a file that is there is whole")
		}
		if cmd.ProcessState.ExitCode() >= 0 { // not killed, nor interrupted before it listened
			require.NoFileExists(t, path+".exporting")
		}
	}
	mustRun(t, env, "replay", "export", "--out", path, "--force", "--format", "ndjson")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, content))
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "what kills left is cleared")
}
