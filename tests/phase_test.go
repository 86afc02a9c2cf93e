package tests

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// phaseHold is one thing that keeps an account from a phase.
type phaseHold struct {
	Gate   string `json:"gate"`
	Reason string `json:"reason"`
	Remedy string `json:"remedy"`
}

type phaseStatus struct {
	Account    string         `json:"account"`
	Phase      string         `json:"phase"`
	Following  bool           `json:"following"`
	InStep     bool           `json:"in_step"`
	Unrecorded map[string]int `json:"unrecorded"`
}

// phase is how ingest says that its one account stands.
func (i *ingest) phase(t testing.TB) phaseStatus {
	t.Helper()
	answer, err := http.Get(i.url + "/v1/phases")
	require.NoError(t, err)
	defer answer.Body.Close()
	var all struct {
		Phases []phaseStatus `json:"phases"`
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&all))
	require.Len(t, all.Phases, 1)
	return all.Phases[0]
}

// phaseDesk is a strategy's folder, ingest that watches it, and replay on both.
type phaseDesk struct {
	*cacheWriter
	data   string
	server *ingest
	// console is where one runs; empty is nowhere.
	console string
}

func newPhaseDesk(t *testing.T) *phaseDesk {
	d := &phaseDesk{cacheWriter: newCacheWriter(t, t.TempDir(), rand.New(rand.NewPCG(1, 1))), data: t.TempDir()}
	d.recordAsset()
	d.buy("600000.SH", 800)
	d.up()
	d.awaitStep(d.server)
	return d
}

func (d *phaseDesk) up() {
	d.server = startIngest(d.t, d.data, "--watch", d.dir+"="+watchAccount, "--watch-patience", "300ms", "--watch-scan", "500ms")
}

func (d *phaseDesk) replay(args ...string) (stdout, stderr string, code int) {
	d.t.Helper()
	env := []string{"TAPEDECK_NATS_URL=" + d.server.nats, "TAPEDECK_INGEST_URL=" + d.server.url, "TAPEDECK_CONSOLE_URL=" + cmp.Or(d.console, "http://127.0.0.1:1")}
	return run(d.t, env, "replay", args...)
}

// phaseTo runs replay phase and returns which gates kept the account from it.
func (d *phaseDesk) phaseTo(to string, args ...string) []string {
	d.t.Helper()
	stdout, stderr, code := d.replay(append([]string{"phase", to, "--json", "--account", watchAccount}, args...)...)
	var answer struct {
		InPhase bool        `json:"in_phase"`
		Holds   []phaseHold `json:"holds"`
	}
	require.NoError(d.t, json.Unmarshal([]byte(stdout), &answer), "%s%s", stdout, stderr)
	require.Equal(d.t, code == 0, answer.InPhase, "%s%s", stdout, stderr)
	if code == 0 {
		return nil
	}
	require.Equal(d.t, 1, code)
	var gates []string
	for _, h := range answer.Holds {
		require.NotEmpty(d.t, h.Reason)
		require.NotEmpty(d.t, h.Remedy)
		gates = append(gates, h.Gate)
	}
	return gates
}

// reconcile compares with a statement that has so many shares.
func (d *phaseDesk) reconcile(shares int) (stderr string, code int) {
	d.t.Helper()
	statement := filepath.Join(d.data, "statement.csv")
	require.NoError(d.t, os.WriteFile(statement, fmt.Appendf(nil, "证券代码,股票余额\n600000,%d\n", shares), 0o600))
	_, stderr, code = d.replay("reconcile", "--account", watchAccount, "--statement", statement)
	return stderr, code
}

// buy is what a strategy does to its files for a purchase.
func (d *phaseDesk) buy(code string, volume int) {
	d.second++
	at := time.Date(2025, 1, 2, 10, 0, d.second, 0, time.UTC).Format(time.TimeOnly)
	d.appendRow("deal_hist.csv", dealHeader, []string{"2025-01-02", at, code, "浦发银行", "买入成交", "问财选股", "8.300", fmt.Sprint(volume)})
	d.held[code] = 0
	d.savePositions()
}

// notFollowed waits until the folder was seen to differ from the log; the log is
// where it was.
func (d *phaseDesk) notFollowed(last uint64) {
	d.t.Helper()
	var is phaseStatus
	require.Eventually(d.t, func() bool {
		is = d.server.phase(d.t)
		return len(is.Unrecorded) > 0
	}, 20*time.Second, 5*time.Millisecond, "the folder was looked at")
	require.Equal(d.t, phaseStatus{Account: watchAccount, Phase: "tiers", Unrecorded: is.Unrecorded}, is)
	require.Equal(d.t, last, d.server.log(d.t).Last, "nothing of the folder is recorded")
}

// TestPhases takes an account from its files to the tiers and back.
func TestPhases(t *testing.T) {
	d := newPhaseDesk(t)
	require.Equal(t, phaseStatus{Account: watchAccount, Phase: "shadow", Following: true, InStep: true}, d.server.phase(t))

	// To dual, once the broker says the same.
	stderr, code := d.reconcile(700)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "recorded for replay phase: account 55009728, 1 breaks")
	require.Equal(t, []string{"reconciliation"}, d.phaseTo("dual"))
	require.Equal(t, []string{"order"}, d.phaseTo("tiers", "--force"), "one step at a time")
	stdout, _, code := d.replay("phase")
	require.Zero(t, code)
	require.Contains(t, stdout, "kept by reconciliation")
	require.Contains(t, stdout, "not compared")
	_, code = d.reconcile(800)
	require.Zero(t, code)
	stdout, _, code = d.replay("phase", "dual", "--account", watchAccount)
	require.Zero(t, code, stdout)
	require.Contains(t, stdout, "/v1/settings/primary")
	require.Empty(t, d.phaseTo("dual"), "the same again")

	// To tiers, but not out of a folder that is not in step.
	require.NoError(t, os.WriteFile(filepath.Join(d.dir, "positions.json"), []byte(`{"600000.SH": {"day`), 0o600))
	require.Eventually(t, func() bool { return !d.server.phase(t).InStep }, 20*time.Second, 5*time.Millisecond)
	require.Contains(t, d.phaseTo("tiers"), "folder")
	stdout, _, code = d.replay("phase", "--check", "--within", "10ms")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "positions.json")
	d.savePositions()
	d.awaitStep(d.server)
	require.Equal(t, []string{"comparison"}, d.phaseTo("tiers"), "there is no console that compares")
	require.Empty(t, d.phaseTo("tiers", "--force"))
	require.Contains(t, d.server.logText(), "phase switched by force")

	// The strategy publishes now; what it does to its files counts no more, not
	// after kill -9 either.
	status, answer := d.server.post(t, "application/json", []byte(feedEvent("published", "position.opened.v1", `{"account_id":"55009728","stock_code":"000001.SZ"}`)))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	last := d.server.log(t).Last
	d.buy("600036.SH", 100)
	d.notFollowed(last)
	d.server.kill()
	d.buy("600519.SH", 100)
	d.up()
	d.notFollowed(last)

	// Back, once the folder is what the log says.
	stdout, _, code = d.replay("phase", "dual", "--account", watchAccount)
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "replay snapshot --out")
	require.Equal(t, []string{"folder"}, d.phaseTo("shadow"))
	snapshot := filepath.Join(t.TempDir(), "now")
	_, stderr, code = d.replay("snapshot", "--out", snapshot, "--encoding", "gbk")
	require.Zero(t, code, stderr)
	for name := range d.written {
		raw, err := os.ReadFile(filepath.Join(snapshot, watchAccount, name))
		require.NoError(t, err)
		d.wrote(name, raw)
		d.write(name, os.O_TRUNC, raw)
	}
	d.awaitStep(d.server)
	require.Empty(t, d.phaseTo("dual"))
	require.Equal(t, last, d.server.log(t).Last)
	delete(d.held, "600036.SH")
	delete(d.held, "600519.SH")
	d.held["000001.SZ"] = 0
	d.buy("600887.SH", 100)
	d.awaitStep(d.server)
	require.Equal(t, last+2, d.server.log(t).Last, "a trade and a position: the folder is followed again")
	require.Empty(t, d.phaseTo("shadow"))

	_, stderr, code = d.replay("phase", "dual", "--account", "7654321")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "--watch DIR=7654321")
	_, _, code = d.replay("phase", "dual")
	require.Equal(t, 2, code)
	stdout, _, code = d.replay("phase", "--check")
	require.Zero(t, code, stdout)
	_, stderr, code = d.replay("phase", "--ingest-url", "http://127.0.0.1:1")
	require.Equal(t, 3, code)
	require.Contains(t, stderr, "TAPEDECK_INGEST_URL")
}

// TestPhasesAskTheConsole: the tiers that the console compares with the log let
// an account on, and hold it while one of them differs.
func TestPhasesAskTheConsole(t *testing.T) {
	d := newPhaseDesk(t)
	deck := &deck{ingest: d.server, tiers: []*tier{newTier(t, tierKinds[slices.IndexFunc(tierKinds, func(k tierKind) bool { return k.name == "file" })])}}
	projectors := deck.project(t)
	c := deck.console(t)
	d.console = c.url
	projectors[0].await(t, d.server.log(t).Last, 20*time.Second)
	compared := func() []comparedTier {
		t.Helper()
		return c.compare(t, http.MethodPost).Tiers
	}
	require.Eventually(t, func() bool { return len(compared()) == 1 && compared()[0].Error == "" }, 20*time.Second, 20*time.Millisecond)
	require.Empty(t, d.phaseTo("dual"))
	stdout, stderr, code := d.replay("phase", "--check")
	require.Zero(t, code, "%s%s", stdout, stderr)

	positions := filepath.Join(deck.tiers[0].url, watchAccount, "positions.json")
	right, err := os.ReadFile(positions)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(positions, bytes.Replace(right, []byte("600000"), []byte("600001"), 1), 0o600))
	require.Len(t, compared()[0].Differences, 1)
	require.Equal(t, []string{"comparison"}, d.phaseTo("tiers"))
	stdout, _, code = d.replay("phase", "--check")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "file")
	require.NoError(t, os.WriteFile(positions, right, 0o600))
	require.Empty(t, compared()[0].Differences)
	require.Empty(t, d.phaseTo("tiers"))
	require.NotContains(t, d.server.logText(), "phase switched by force")
}
