package tests

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// backedUp is what replay says of a backup.
type backedUp struct {
	Last     uint64 `json:"last_sequence"`
	Chain    string `json:"chain"`
	Logged   string `json:"logged"`
	Segments int    `json:"segments"`
	Added    uint64 `json:"added_events"`
}

func decoded[T any](t testing.TB, text string) (v T) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(text), &v), "%s", text)
	return v
}

func takeBackup(t testing.TB, env []string, dir string) backedUp {
	t.Helper()
	return decoded[backedUp](t, mustRun(t, env, "replay", "backup", "--out", dir, "--incremental", "--json"))
}

// fails runs replay, which must end with the code and say all of the words.
func fails(t testing.TB, env []string, code int, words []string, args ...string) {
	t.Helper()
	stdout, stderr, got := run(t, env, "replay", args...)
	require.Equal(t, code, got, "%v\n%s%s", args, stdout, stderr)
	for _, word := range words {
		require.Contains(t, stdout+stderr, word)
	}
}

func newFlow(random *rand.Rand) *positionFlow {
	return &positionFlow{random: rand.New(rand.NewPCG(random.Uint64(), 1)), day: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
}

func (f *positionFlow) publish(t testing.TB, in *ingest, body []byte) {
	t.Helper()
	status, answer := in.post(t, "application/x-ndjson", body)
	require.Equal(t, http.StatusOK, status, "%s", answer)
}

func logEnv(in *ingest, more ...string) []string {
	return append([]string{"TAPEDECK_NATS_URL=" + in.nats, "TAPEDECK_INGEST_URL=" + in.url}, more...)
}

// TestBackupRestoredElsewhere: the log is backed up while events arrive, the
// machine is lost, and the log restored on another goes on under the tiers that
// were projected from the old one. Then a log that is cut and grows again is
// caught by everybody who remembers the old one.
func TestBackupRestoredElsewhere(t *testing.T) {
	t.Parallel()
	random, dir := newRandom(t), t.TempDir()
	in := startIngest(t, filepath.Join(dir, "old"))
	files := "TAPEDECK_FILE_DIR=" + filepath.Join(dir, "files")
	env, set := logEnv(in, files), filepath.Join(dir, "set")
	flow := newFlow(random)
	flow.publish(t, in, flow.create())
	projector := start(t, "projector-file", env, "--metrics", "127.0.0.1:0")

	begun, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for i := range 60 {
			flow.publish(t, in, flow.next(1+i*3))
			if i == 5 {
				close(begun)
			}
		}
	}()
	<-begun
	mustRun(t, env, "replay", "backup", "--out", set)
	early := takeBackup(t, env, set)
	older := filepath.Join(dir, "older")
	require.NoError(t, os.CopyFS(older, os.DirFS(set)))
	fails(t, env, 2, []string{"there is a backup already", "--incremental"}, "backup", "--out", set)
	<-done
	key, anchor, snapshot := filepath.Join(dir, "key.pem"), filepath.Join(dir, "anchor.json"), filepath.Join(dir, "snapshot")
	mustRun(t, env, "replay", "anchor", "--new-key", key)
	mustRun(t, env, "replay", "anchor", "--sign-key", key, "--out", anchor)
	mustRun(t, env, "replay", "snapshot", "--out", snapshot)
	whole := takeBackup(t, env, set)
	old := in.log(t)
	require.Equal(t, old.Last, whole.Last)
	require.Equal(t, old.Chain, whole.Chain)
	require.Less(t, early.Last, whole.Last)
	projected(t, env, "file", old.Last)
	remembered := []string{"--backup", set, "--anchor", anchor, "--public-key", key + ".pub", "--snapshot", snapshot}
	mustRun(t, env, "replay", append([]string{"audit"}, remembered...)...)
	projector.kill()
	in.kill()
	require.NoError(t, os.Rename(filepath.Join(dir, "old"), filepath.Join(dir, "lost")))

	mustRun(t, nil, "replay", "backup", "--verify", set)
	mustRun(t, nil, "replay", append([]string{"audit", "--offline"}, remembered...)...)
	fails(t, nil, 1, []string{"no backup reaches sequence " + fmt.Sprint(old.Last)}, "audit", "--offline", "--backup", older, "--anchor", anchor)
	young := filepath.Join(dir, "young")
	restored := decoded[backedUp](t, mustRun(t, nil, "replay", "restore", "--from", set, "--data", young, "--json"))
	require.Equal(t, old.Last, restored.Last)
	require.Equal(t, whole.Logged, restored.Logged)
	mustRun(t, nil, "replay", "restore", "--from", set, "--data", young) // once more does nothing
	in = startIngest(t, young)
	require.Equal(t, old.Chain, in.log(t).Chain)
	env = logEnv(in, files)
	mustRun(t, env, "replay", "verify", "--tier", "file")
	start(t, "projector-file", env, "--metrics", "127.0.0.1:0")
	flow.publish(t, in, flow.next(500))
	projected(t, env, "file", in.log(t).Last)
	mustRun(t, env, "replay", "verify", "--tier", "file")
	mustRun(t, env, "replay", append([]string{"audit"}, remembered...)...)
	require.Positive(t, takeBackup(t, env, set).Added, "the set goes on with the restored log")
	fails(t, nil, 2, []string{"in use"}, "restore", "--from", set, "--data", young)
	flow.publish(t, in, flow.next(5))
	longer := in.log(t)
	require.Zero(t, in.stop(t))
	fails(t, nil, 2, []string{"is longer", fmt.Sprint(longer.Last), longer.Chain, "nothing was changed"}, "restore", "--from", set, "--data", young)

	// The same beginning, then other events.
	regrown := filepath.Join(dir, "regrown")
	fails(t, nil, 2, []string{"inside the frame"}, "restore", "--from", set, "--data", regrown, "--until-sequence", fmt.Sprint(early.Last+1))
	mustRun(t, nil, "replay", "restore", "--from", set, "--data", regrown, "--until-sequence", fmt.Sprint(early.Last))
	in = startIngest(t, regrown)
	require.Equal(t, early.Chain, in.log(t).Chain)
	env = logEnv(in)
	fails(t, env, 1, []string{"signed anchor", "it was cut", fmt.Sprint(old.Last)}, "audit", "--anchor", anchor)
	flow.publish(t, in, flow.next(1000)) // in frames of its own
	for in.log(t).Last <= longer.Last {
		flow.publish(t, in, flow.next(1000))
	}
	place := []string{fmt.Sprint(old.Last), "cut or replaced"}
	fails(t, env, 1, append(place, "signed anchor"), "audit", "--anchor", anchor)
	fails(t, env, 1, append(place, "snapshot"), "audit", "--snapshot", snapshot)
	fails(t, env, 1, []string{"cut or replaced", "backup " + set}, "audit", "--backup", set)
	fails(t, append(env, files), 1, []string{"cut or replaced", "tier file"}, "audit")
	fails(t, env, 1, []string{"does not continue the backup"}, "backup", "--out", set, "--incremental")
	require.Zero(t, in.stop(t))
	fails(t, nil, 2, []string{"nothing was changed"}, "restore", "--from", set, "--data", regrown)
}

// TestADamagedBackup: what lies before the damage can be restored.
func TestADamagedBackup(t *testing.T) {
	dir, flow := t.TempDir(), newFlow(newRandom(t))
	in := startIngest(t, filepath.Join(dir, "data"))
	env, set := logEnv(in), filepath.Join(dir, "set")
	flow.publish(t, in, flow.create())
	sound := takeBackup(t, env, set)
	flow.publish(t, in, flow.next(100))
	takeBackup(t, env, set)
	segments, err := filepath.Glob(filepath.Join(set, fmt.Sprintf("%020d-*", sound.Last+1)))
	require.NoError(t, err)
	require.Len(t, segments, 1)
	text, err := os.ReadFile(segments[0])
	require.NoError(t, err)
	text[len(text)/2] ^= 1
	require.NoError(t, os.WriteFile(segments[0], text, 0o600))
	lost := []string{filepath.Base(segments[0]), fmt.Sprintf("sequences from %d on are lost", sound.Last+1)}
	young := filepath.Join(dir, "young")
	fails(t, nil, 1, lost, "backup", "--verify", set)
	fails(t, nil, 1, lost, "audit", "--offline", "--backup", set)
	fails(t, nil, 1, lost, "restore", "--from", set, "--data", young)
	require.NoDirExists(t, young)
	mustRun(t, nil, "replay", "restore", "--from", set, "--data", young, "--until-sequence", fmt.Sprint(sound.Last))
	require.Equal(t, sound.Chain, startIngest(t, young).log(t).Chain)
}

// TestRestoreIntoAnOutsideNATS: ingest goes on there.
func TestRestoreIntoAnOutsideNATS(t *testing.T) {
	dir, flow := t.TempDir(), newFlow(newRandom(t))
	in := startIngest(t, filepath.Join(dir, "old"))
	set, young := filepath.Join(dir, "set"), filepath.Join(dir, "young")
	flow.publish(t, in, flow.create())
	flow.publish(t, in, flow.next(300))
	whole := takeBackup(t, logEnv(in), set)
	in.kill()
	outside, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: filepath.Join(dir, "nats"), SyncAlways: true, NoLog: true, NoSigs: true,
	})
	require.NoError(t, err)
	outside.Start()
	t.Cleanup(func() { outside.Shutdown(); outside.WaitForShutdown() })
	require.True(t, outside.ReadyForConnections(30*time.Second))
	restore := []string{"restore", "--from", set, "--data", young, "--to-nats", outside.ClientURL(), "--json"}
	require.Equal(t, whole.Chain, decoded[backedUp](t, mustRun(t, nil, "replay", restore...)).Chain)
	mustRun(t, nil, "replay", restore...)
	p := start(t, "ingest", nil, "--data", young, "--listen", "127.0.0.1:0", "--nats-url", outside.ClientURL())
	in = &ingest{p, "http://" + p.ready["http"].(string), outside.ClientURL()}
	flow.publish(t, in, flow.next(10))
	require.Positive(t, takeBackup(t, logEnv(in), set).Added)
}

// TestSignedAnchors: who signed, and whether nothing was changed since.
func TestSignedAnchors(t *testing.T) {
	dir, flow := t.TempDir(), newFlow(newRandom(t))
	in := startIngest(t, filepath.Join(dir, "data"))
	env := logEnv(in)
	key, anchor := filepath.Join(dir, "key.pem"), filepath.Join(dir, "anchor.json")
	mustRun(t, env, "replay", "anchor", "--new-key", key)
	stat, err := os.Stat(key)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), stat.Mode().Perm())
	fails(t, env, 2, []string{"not overwritten"}, "anchor", "--new-key", key)
	fails(t, env, 2, []string{"empty"}, "anchor", "--sign-key", key, "--out", anchor)
	flow.publish(t, in, flow.create())
	mustRun(t, env, "replay", "anchor", "--sign-key", key, "--out", anchor)
	fails(t, env, 2, []string{"not overwritten"}, "anchor", "--sign-key", key, "--out", anchor)
	flow.publish(t, in, flow.next(10))
	mustRun(t, env, "replay", "audit", "--anchor", anchor, "--public-key", key+".pub")

	other := filepath.Join(dir, "other.pem")
	mustRun(t, env, "replay", "anchor", "--new-key", other)
	fails(t, env, 1, []string{"not by the one given"}, "audit", "--anchor", anchor, "--public-key", other+".pub")
	require.NoError(t, os.Chmod(other, 0o644))
	_, stderr, code := run(t, env, "replay", "anchor", "--sign-key", other, "--out", filepath.Join(dir, "second.json"))
	require.Zero(t, code, stderr)
	require.Contains(t, stderr, "others may read")

	text, err := os.ReadFile(anchor)
	require.NoError(t, err)
	fields := decoded[map[string]any](t, string(text))
	for name, value := range fields {
		changed := make(map[string]any)
		for n, v := range fields {
			changed[n] = v
		}
		switch v := value.(type) {
		case float64:
			changed[name] = v - 1
		case string:
			changed[name] = strings.Replace(v, v[:1], map[bool]string{true: "3", false: "2"}[v[0] == '2'], 1)
		}
		bent, err := json.Marshal(changed)
		require.NoError(t, err)
		path := filepath.Join(dir, "bent.json")
		require.NoError(t, os.WriteFile(path, bent, 0o600))
		stdout, _, code := run(t, env, "replay", "audit", "--anchor", path)
		require.NotZero(t, code, "%s changed\n%s", name, stdout)
	}
}

// killed runs replay and kills it after a while; ended tells that it was
// faster.
func killed(t testing.TB, env []string, after time.Duration, args ...string) (ended bool) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "replay"), args...)
	cmd.Env = append(os.Environ(), env...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	timer := time.AfterFunc(after, func() { _ = cmd.Process.Kill() }) // it may have ended
	err := cmd.Wait()
	ended = err == nil
	if timer.Stop() {
		require.NoError(t, err, "%v ended by itself\n%s", args, out.String())
	}
	return ended
}

// TestBackupKilled: kill -9 of backups at random instants. After each the set
// is sound and holds at least what the last run that ended left.
func TestBackupKilled(t *testing.T) {
	random, dir := newRandom(t), t.TempDir()
	in := startIngest(t, filepath.Join(dir, "data"))
	env, set, flow := logEnv(in), filepath.Join(dir, "set"), newFlow(random)
	flow.publish(t, in, flow.create())
	took := time.Second
	var held uint64
	ended := 0
	for range 15 {
		flow.publish(t, in, flow.next(1000))
		last := in.log(t).Last
		began := time.Now()
		if killed(t, env, time.Duration(random.Int64N(int64(took))), "backup", "--out", set, "--incremental") {
			took, held = time.Since(began), last
			ended++
		}
		stdout, stderr, code := run(t, nil, "replay", "backup", "--verify", set, "--json")
		if code == 2 {
			require.Zero(t, held, stderr)
			require.Contains(t, stderr, "no backup there")
			continue
		}
		require.Zero(t, code, stderr)
		require.GreaterOrEqual(t, decoded[backedUp](t, stdout).Last, held)
	}
	t.Logf("%d of 15 ended by themselves", ended)
	whole := takeBackup(t, env, set)
	require.Equal(t, in.log(t).Chain, whole.Chain)
	mustRun(t, nil, "replay", "backup", "--verify", set)
}

// TestRestoreKilled: kill -9 of restores at random instants. What is left is
// never taken for a log by ingest, and the next restore goes on with it.
func TestRestoreKilled(t *testing.T) {
	random, dir := newRandom(t), t.TempDir()
	in := startIngest(t, filepath.Join(dir, "old"))
	set, flow := filepath.Join(dir, "set"), newFlow(random)
	flow.publish(t, in, flow.create())
	for range 600 {
		flow.publish(t, in, flow.next(2))
	}
	whole := takeBackup(t, logEnv(in), set)
	in.kill()

	data := filepath.Join(dir, "young")
	restore := []string{"restore", "--from", set, "--data", data, "--json"}
	began := time.Now()
	mustRun(t, nil, "replay", "restore", "--from", set, "--data", filepath.Join(dir, "measure"))
	took := time.Since(began)
	halves := 0
	for range 6 {
		if killed(t, nil, time.Duration(random.Int64N(int64(took))), restore...) {
			require.NoError(t, os.RemoveAll(data))
			continue
		}
		p, err := launch(t, "ingest", nil, "--data", data, "--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0")
		require.NoError(t, err)
		half := &ingest{p, "http://" + p.ready["http"].(string), "nats://" + p.ready["nats"].(string)}
		status, answer := half.post(t, "application/x-ndjson", []byte(`{"specversion":"1.0","id":"probe","source":"test","type":"account.created.v1","time":"2025-01-02T08:00:00+08:00","data":{"account_id":"20000000","account_name":"n","broker":"QMT","initial_capital":"1000.00"}}`))
		if status == http.StatusOK {
			// Killed before the first frame, or behind the last one.
			receipts := decoded[[]events.Receipt](t, string(answer))
			require.Contains(t, []uint64{1, whole.Last + 1}, receipts[0].Sequence)
			half.kill()
			require.NoError(t, os.RemoveAll(data))
			continue
		}
		if strings.Contains(string(answer), "was once read or acknowledged") {
			halves++
		}
		require.Equal(t, http.StatusServiceUnavailable, status, "%s", answer)
		half.kill()
	}
	t.Logf("%d halves were refused by ingest", halves)
	restored := decoded[backedUp](t, mustRun(t, nil, "replay", restore...))
	require.Equal(t, whole.Chain, restored.Chain)
	in = startIngest(t, data)
	require.Equal(t, whole.Chain, in.log(t).Chain)
	flow.publish(t, in, flow.next(1))
}
