package tests

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

const sample = "../deploy/sample"

// yearEvents are the events that an account's strategy published in 2025.
func yearEvents(t testing.TB, account string) []byte {
	t.Helper()
	f, err := os.Open("testdata/year/" + account + ".events.ndjson.gz")
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	raw, err := io.ReadAll(z)
	require.NoError(t, err)
	return raw
}

// publishNATS publishes ndjson over the NATS door, in requests of some lines.
func publishNATS(t testing.TB, url string, ndjson []byte) {
	t.Helper()
	nc, err := nats.Connect(url)
	require.NoError(t, err)
	defer nc.Close()
	lines := bytes.SplitAfter(bytes.TrimSpace(ndjson), []byte("\n"))
	for len(lines) > 0 {
		n := min(len(lines), 100)
		answer, err := nc.Request("ingest.v1.events", bytes.Join(lines[:n], nil), 10*time.Second)
		require.NoError(t, err)
		var receipts []map[string]any
		require.NoError(t, json.Unmarshal(answer.Data, &receipts), "%s", answer.Data)
		require.Len(t, receipts, n)
		lines = lines[n:]
	}
}

// TestPublishedYear publishes both accounts' year through each door and holds
// both tiers, and snapshots as of three dates, against the strategies' folders.
func TestPublishedYear(t *testing.T) {
	t.Parallel()
	for _, door := range []string{"http", "nats"} {
		t.Run(door, func(t *testing.T) {
			in := startIngest(t, t.TempDir())
			redis := testserver.Redis(t)
			files := filepath.Join(t.TempDir(), "files")
			env := []string{"TAPEDECK_NATS_URL=" + in.nats, "TAPEDECK_REDIS_URL=" + redis.URL(), "TAPEDECK_FILE_DIR=" + files}
			start(t, "projector-redis", env, "--metrics", "127.0.0.1:0")
			start(t, "projector-file", env, "--metrics", "127.0.0.1:0")
			var events uint64
			for _, account := range accounts(t) {
				body := yearEvents(t, account)
				events += uint64(bytes.Count(body, []byte("\n")))
				if door == "nats" {
					publishNATS(t, in.nats, body)
					continue
				}
				status, answer := in.post(t, "application/x-ndjson", body)
				require.Equal(t, 200, status, "%.2000s", answer)
			}
			require.Equal(t, events, in.log(t).Last)
			projected(t, env, "file", events)
			projected(t, env, "redis", events)
			for _, account := range accounts(t) {
				want := readFolder(t, filepath.Join(sample, account))
				require.Equal(t, want, readFolder(t, filepath.Join(files, account)))
				want.deals = nil
				require.Equal(t, want, redisFolder(t, redis.URL(), account))
			}
			for _, date := range []string{"2025-03-31", "2025-06-30", "2025-09-30"} {
				out := filepath.Join(t.TempDir(), "snapshot")
				mustRun(t, env, "replay", "snapshot", "--out", out, "--until-time", date+"T23:59:59+08:00")
				for _, account := range accounts(t) {
					require.Equal(t, readFolder(t, "testdata/year/asof/"+account+"@"+date), readFolder(t, filepath.Join(out, account)), "%s at %s", account, date)
				}
			}
			mustRun(t, env, "replay", "verify", "--tier", "all")
			mustRun(t, env, "replay", "audit")
		})
	}
}

// TestImportedYear imports both folders, twice and across a restart, and lets
// verify find one change by hand.
func TestImportedYear(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	in := startIngest(t, data)
	redis := testserver.Redis(t)
	files := filepath.Join(t.TempDir(), "files")
	env := func() []string {
		return []string{"TAPEDECK_NATS_URL=" + in.nats, "TAPEDECK_INGEST_URL=" + in.url, "TAPEDECK_REDIS_URL=" + redis.URL(), "TAPEDECK_FILE_DIR=" + files}
	}
	importAll := func() {
		for _, account := range accounts(t) {
			mustRun(t, env(), "replay", "import", filepath.Join(sample, account), "--account", account, "--daily", filepath.Join(sample, "_daily"))
		}
	}
	importAll()
	first := in.log(t)
	importAll()
	require.Equal(t, first, in.log(t), "importing twice adds nothing")
	require.Zero(t, in.stop(t))
	in = startIngest(t, data)
	importAll()
	require.Equal(t, first, in.log(t), "nor does it after a restart")

	start(t, "projector-redis", env(), "--metrics", "127.0.0.1:0")
	start(t, "projector-file", env(), "--metrics", "127.0.0.1:0")
	projected(t, env(), "redis", first.Last)
	projected(t, env(), "file", first.Last)
	for _, account := range accounts(t) {
		want := readFolder(t, filepath.Join(sample, account))
		require.Equal(t, want, readFolder(t, filepath.Join(files, account)))
		require.Equal(t, rows(t, filepath.Join(sample, account, "deal_hist.csv")), rows(t, filepath.Join(files, account, "deal_hist.csv")), "order words survive")
		require.Equal(t, rows(t, filepath.Join(sample, account, "assets.csv")), rows(t, filepath.Join(files, account, "assets.csv")))
		want.deals = nil
		require.Equal(t, want, redisFolder(t, redis.URL(), account))
	}
	for _, code := range []string{"000008.SZ", "002158.SZ"} {
		require.Equal(t, rows(t, filepath.Join(sample, "_daily", code+".csv")), rows(t, filepath.Join(files, "_daily", code+".csv")))
	}
	mustRun(t, env(), "replay", "verify", "--tier", "all")

	options, err := goredis.ParseURL(redis.URL())
	require.NoError(t, err)
	client := goredis.NewClient(options)
	defer client.Close()
	require.NoError(t, client.HSet(context.Background(), "held_days:55009728", "600217.SH", "77").Err())
	stdout, _, code := run(t, env(), "replay", "verify", "--tier", "redis", "--json")
	require.Equal(t, 1, code)
	var answer struct {
		Differences []map[string]any `json:"differences"`
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &answer))
	require.Equal(t, []map[string]any{{"kind": "held_days", "key": "55009728/600217.SH", "expected": "2", "found": "77", "sequence": 3346.0}}, answer.Differences)

	require.Contains(t, mustRun(t, env(), "replay", "rebuild", "--tier", "redis"), "proved")
	mustRun(t, env(), "replay", "verify", "--tier", "all")
	_, stderr, code := run(t, append(env(), "TAPEDECK_NATS_URL=nats://127.0.0.1:1"), "replay", "status")
	require.Equal(t, 3, code, stderr)
	for _, refused := range [][]string{{"snapshot"}, {"snapshot", "--out", t.TempDir(), "--until-sequence", "0"}, {"import", t.TempDir(), "--account", "unknown1"}} {
		_, stderr, code = run(t, env(), "replay", refused...)
		require.Equal(t, 2, code, "%v: %s", refused, stderr)
	}
	empty := filepath.Join(t.TempDir(), "empty")
	mustRun(t, env(), "replay", "snapshot", "--out", empty, "--until-logged", "2020-01-01")
	require.FileExists(t, filepath.Join(empty, "MANIFEST.json"))

	require.NoError(t, client.Set(context.Background(), "held_days:foreign", "5", 0).Err())
	stdout, _, code = run(t, env(), "replay", "verify", "--tier", "redis")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "foreign")
}

// TestImportListsRejects imports a folder with bad rows: the good ones arrive,
// the bad ones are listed with place and reason.
func TestImportListsRejects(t *testing.T) {
	in := startIngest(t, t.TempDir())
	env := []string{"TAPEDECK_NATS_URL=" + in.nats, "TAPEDECK_INGEST_URL=" + in.url}
	dir := t.TempDir()
	write := func(name, content string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	write("positions.json", `{"600000.SH": 3, "_inc_date": "2025-10-10"}`)
	write("assets.csv", "date,asset\n2025-01-02,1000.0\n")
	write("deal_hist.csv", "日期,时间,代码,名称,类型,注释,成交价,成交量\n"+
		"2025-01-02,10:00:00,600000.SH,浦发银行,买入成交,x,8.300000190734863,100\r\n"+
		"2025-01-02,10:00:00,600000.SH,浦发银行,买入什么,x,8.3,100\r\n"+
		"2025-01-02,10:00:00,600000.SH,浦发银行,买入成交,x,-1,100\r\n"+
		"2025-01-04,03:00:00,600000.SH,浦发银行,卖出成交,x,8.3,100\r\n")
	rejects := filepath.Join(t.TempDir(), "rejects.csv")
	stdout, _, code := run(t, env, "replay", "import", dir, "--account", "12345678", "--rejects", rejects, "--json")
	require.Equal(t, 1, code)
	var answer map[string]any
	require.NoError(t, json.Unmarshal([]byte(stdout), &answer), stdout)
	require.EqualValues(t, 2, answer["rejected"])
	require.EqualValues(t, 1, answer["flagged"], "a trade on a Saturday night")
	listed := rows(t, rejects)
	require.Len(t, listed, 3)
	for i, line := range []string{"3", "4"} {
		require.True(t, strings.HasSuffix(listed[i+1][0], "deal_hist.csv"), "%v", listed[i+1])
		require.Equal(t, line, listed[i+1][1])
		require.NotEmpty(t, listed[i+1][2])
	}
	out := filepath.Join(t.TempDir(), "out")
	mustRun(t, env, "replay", "snapshot", "--out", out)
	got := readFolder(t, filepath.Join(out, "12345678"))
	require.Equal(t, map[string]string{"600000.SH": "3"}, got.held)
	require.Len(t, got.deals, 2)
}
