package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// parkedSubjects are the subjects that replay parked list shows for a tier.
func parkedSubjects(t testing.TB, env []string, tier string) (subjects []string) {
	t.Helper()
	var answer struct {
		Parked []struct {
			Subject string `json:"subject"`
		} `json:"parked"`
	}
	require.NoError(t, json.Unmarshal([]byte(mustRun(t, env, "replay", "parked", "list", "--tier", tier, "--json")), &answer))
	for _, p := range answer.Parked {
		subjects = append(subjects, p.Subject)
	}
	return subjects
}

// scrape is a running command's /metrics.
func scrape(t testing.TB, p *process) string {
	t.Helper()
	answer, err := http.Get(p.ready["metrics"].(string))
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return string(text)
}

// TestParkedEvents: a key that somebody made by hand keeps an account's events
// from being applied. By default the projector stops; told to park, it goes on
// with the other accounts, says so everywhere, and retry or discard bring the
// account back.
func TestParkedEvents(t *testing.T) {
	in := startIngest(t, t.TempDir())
	redis := testserver.Redis(t)
	env := []string{"TAPEDECK_NATS_URL=" + in.nats, "TAPEDECK_INGEST_URL=" + in.url, "TAPEDECK_REDIS_URL=" + redis.URL(), "TAPEDECK_FILE_DIR=" + filepath.Join(t.TempDir(), "files")}
	flow := &positionFlow{random: rand.New(rand.NewPCG(1, 1)), day: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	publish := func(body []byte) {
		status, answer := in.post(t, "application/x-ndjson", body)
		require.Equal(t, 200, status, "%s", answer)
	}
	publish(flow.create())
	publish(flow.next(300))
	files := start(t, "projector-file", env, "--metrics", "127.0.0.1:0")
	p := start(t, "projector-redis", env, "--metrics", "127.0.0.1:0")
	projected(t, env, "redis", in.log(t).Last)
	require.Zero(t, p.stop(t))

	options, err := goredis.ParseURL(redis.URL())
	require.NoError(t, err)
	client := goredis.NewClient(options)
	defer client.Close()
	damage := func() {
		require.NoError(t, client.Del(t.Context(), "held_days:10000001").Err())
		require.NoError(t, client.SAdd(t.Context(), "held_days:10000001", "not a hash").Err())
	}
	damage()
	publish(flow.next(300))
	stopped, _ := launch(t, "projector-redis", env, "--metrics", "127.0.0.1:0")
	require.Equal(t, 2, stopped.wait(t), "without --on-refused park it stops")
	require.Contains(t, stopped.logText(), "held_days:10000001")

	p = start(t, "projector-redis", env, "--metrics", "127.0.0.1:0", "--on-refused", "park")
	projected(t, env, "redis", in.log(t).Last)
	require.Equal(t, []string{"account/10000001"}, parkedSubjects(t, env, "redis"))
	publish(flow.next(300))
	projected(t, env, "redis", in.log(t).Last)
	require.Contains(t, scrape(t, p), `tapedeck_projector_parked_subjects{tier="redis"} 1`)
	stdout, _, code := run(t, env, "replay", "health")
	require.Equal(t, 1, code, stdout)
	require.Contains(t, stdout, "1 subjects parked")
	shown := mustRun(t, env, "replay", "parked", "show", "--tier", "redis")
	require.Greater(t, strings.Count(shown, "\n"), 100)
	require.Equal(t, strings.Count(shown, "\n"), strings.Count(shown, `"subject":"account/10000001"`))

	mustRun(t, env, "replay", "parked", "retry", "--tier", "redis", "--subject", "account/10000001")
	require.Empty(t, parkedSubjects(t, env, "redis"))
	_, stderr, code := run(t, env, "replay", "parked", "retry", "--tier", "redis", "--subject", "account/10000001")
	require.Equal(t, 2, code, stderr)
	publish(flow.next(100))
	projected(t, env, "redis", in.log(t).Last)
	mustRun(t, env, "replay", "verify", "--tier", "redis")

	damage()
	publish(flow.next(100))
	require.Eventually(t, func() bool { return len(parkedSubjects(t, env, "redis")) == 1 }, 30*time.Second, 50*time.Millisecond)
	mustRun(t, env, "replay", "parked", "discard", "--tier", "redis", "--subject", "account/10000001")
	publish(flow.next(100))
	projected(t, env, "redis", in.log(t).Last)
	mustRun(t, env, "replay", "verify", "--tier", "redis")
	require.NotContains(t, mustRun(t, env, "replay", "parked", "list", "--tier", "redis"), "nothing is parked")
	mustRun(t, env, "replay", "rebuild", "--tier", "redis")
	require.Contains(t, mustRun(t, env, "replay", "parked", "list", "--tier", "redis"), "discarded", "a rebuild does not bring it back")
	mustRun(t, env, "replay", "rebuild", "--tier", "redis", "--swap-back")
	projected(t, env, "redis", in.log(t).Last)
	projected(t, env, "file", in.log(t).Last)
	mustRun(t, env, "replay", "verify")

	exported := mustRun(t, env, "replay", "export", "--out", "-", "--type", "tier.parked.v1")
	for _, action := range []string{"parked", "retried", "discarded"} {
		require.Contains(t, exported, fmt.Sprintf(`"action":%q`, action), "each act is on the log")
	}
	require.Zero(t, p.stop(t))
	require.Zero(t, files.stop(t), "records of parking are nothing to a tier")
}
