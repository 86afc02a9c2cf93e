package ingest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/phase"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
	"github.com/seed-744e3d1b/tapedeck/internal/watch"
)

// cache makes a folder that is in step with a new log soon after the start.
func cache(t testing.TB) string {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, silverquant.AssetsFile), []byte(silverquant.AssetsHeader+"2025-01-02,1000.0\n"), 0o600))
	hold(t, dir, 1)
	return dir
}

// hold writes that a stock has been held for some days, in one step.
func hold(t testing.TB, dir string, days int) {
	path := filepath.Join(dir, silverquant.PositionsFile)
	require.NoError(t, os.WriteFile(path+".tmp", fmt.Appendf(nil, `{"600000.SH": {"day_count": %d}}`, days), 0o600))
	require.NoError(t, os.Rename(path+".tmp", path))
}

func watching(dirs ...string) func(*Config) {
	return func(c *Config) {
		c.Watch.Scan, c.Watch.Patience = 500*time.Millisecond, 300*time.Millisecond
		for i, dir := range dirs {
			c.Watch.Folders = append(c.Watch.Folders, watch.Folder{Dir: dir, Account: fmt.Sprintf("5500972%d", 8+i)})
		}
	}
}

func phasesOf(t testing.TB, s *Service) []phase.Status {
	t.Helper()
	r := send(t, s, http.MethodGet, "/v1/phases", "", nil)
	require.Equal(t, http.StatusOK, r.status)
	var all struct{ Phases []phase.Status }
	require.NoError(t, json.Unmarshal(r.body, &all), "%s", r.body)
	return all.Phases
}

func putPhase(t testing.TB, s *Service, to phase.Phase, force bool) reply {
	t.Helper()
	return send(t, s, http.MethodPut, "/v1/phases/"+account, "application/json", fmt.Appendf(nil, `{"phase":%q,"force":%v}`, to, force))
}

func mustSwitch(t testing.TB, s *Service, to phase.Phase) {
	t.Helper()
	r := putPhase(t, s, to, false)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
}

func reconciled(t testing.TB, s *Service, sequence, breaks int) reply {
	t.Helper()
	return send(t, s, http.MethodPut, "/v1/reconciliations/"+account, "", fmt.Appendf(nil,
		`{"statement":"持仓.csv","sha256":%q,"sequence":%d,"breaks":%d,"compared_at":"2025-01-02T16:00:00+08:00"}`, strings.Repeat("0", 64), sequence, breaks))
}

// gatesOf are what an answer says holds the switch.
func gatesOf(t testing.TB, r reply) []string {
	t.Helper()
	require.Equal(t, http.StatusConflict, r.status, "%s", r.body)
	var held struct{ Holds []phase.Hold }
	require.NoError(t, json.Unmarshal(r.body, &held))
	var gates []string
	for _, h := range held.Holds {
		gates = append(gates, h.Gate)
		require.Contains(t, r.problem.Detail, h.Remedy)
	}
	return gates
}

func TestPhaseSwitches(t *testing.T) {
	data, dir := t.TempDir(), cache(t)
	s := start(t, data, watching(dir))
	require.Equal(t, []string{phase.GateOrder}, gatesOf(t, putPhase(t, s, phase.Tiers, true)), "no force takes two steps at once")
	mustSwitch(t, s, phase.Shadow) // it is, already
	require.NoFileExists(t, filepath.Join(data, "state", "phases.json"))
	mustSwitch(t, s, phase.Dual)
	is := phasesOf(t, s)[0]
	require.Equal(t, phase.Dual, is.Phase)
	require.True(t, is.InStep)
	require.NotZero(t, is.LastStep.Sequence)
	mustSwitch(t, s, phase.Dual)
	require.Equal(t, is.Since, phasesOf(t, s)[0].Since, "the same again changes nothing")

	// An open break holds the way forward, not the way back, and force passes.
	require.Equal(t, http.StatusOK, reconciled(t, s, 2, 1).status)
	require.Equal(t, []string{phase.GateReconciliation}, gatesOf(t, putPhase(t, s, phase.Tiers, false)))
	require.Equal(t, http.StatusOK, reconciled(t, s, 1, 0).status)
	require.Equal(t, 1, phasesOf(t, s)[0].Reconciliation.Breaks, "an earlier part of the log says nothing of now")
	mustSwitch(t, s, phase.Shadow)
	require.Equal(t, http.StatusOK, putPhase(t, s, phase.Dual, true).status)
	require.Equal(t, http.StatusOK, reconciled(t, s, 2, 0).status)
	mustSwitch(t, s, phase.Tiers)
	text := string(send(t, s, http.MethodGet, "/metrics", "", nil).body)
	require.Contains(t, text, `tapedeck_phase{account="55009728",phase="tiers"} 1`)
	require.Contains(t, text, `tapedeck_reconcile_breaks{account="55009728"} 0`)
	require.NoError(t, s.Stop())

	// Without its folder the account stays where it is.
	s = start(t, data)
	require.Equal(t, phase.Tiers, phasesOf(t, s)[0].Phase)
	mustSwitch(t, s, phase.Tiers)
	r := putPhase(t, s, phase.Dual, true)
	require.Equal(t, http.StatusNotFound, r.status)
	require.Contains(t, r.problem.Detail, "--watch DIR="+account)
}

func TestPhaseRequiresAReconciliation(t *testing.T) {
	s := start(t, t.TempDir(), watching(cache(t)), func(c *Config) { c.Watch.ReconcileGate = phase.ReconcileRequired })
	require.Equal(t, []string{phase.GateReconciliation}, gatesOf(t, putPhase(t, s, phase.Dual, false)))
	require.Equal(t, http.StatusOK, reconciled(t, s, 1, 0).status)
	mustSwitch(t, s, phase.Dual)
}

func TestPhaseBadInput(t *testing.T) {
	s := start(t, t.TempDir(), watching(cache(t)))
	for _, body := range []string{"", "{", "[]", "{}", `{"phase":"later"}`, `{"phase":3}`, `{"phase":"dual","force":"yes"}`, `{"phase":"dual","forced":true}`, `{"phase":"dual","phase":"dual"}`} {
		require.Equal(t, http.StatusUnprocessableEntity, send(t, s, http.MethodPut, "/v1/phases/"+account, "", []byte(body)).status, body)
	}
	require.Equal(t, http.StatusRequestEntityTooLarge, send(t, s, http.MethodPut, "/v1/phases/"+account, "", make([]byte, settingBytes+1)).status)
	require.Equal(t, http.StatusMethodNotAllowed, send(t, s, http.MethodPost, "/v1/phases", "", nil).status)
	require.Equal(t, http.StatusNotFound, send(t, s, http.MethodPut, "/v1/phases/7654321", "", []byte(`{"phase":"dual"}`)).status)
	const good = `{"statement":"a.csv","sha256":"%064d","sequence":1,"breaks":0,"compared_at":"2025-01-02T16:00:00+08:00"}`
	body := fmt.Sprintf(good, 0)
	require.Eventually(t, func() bool {
		return send(t, s, http.MethodPut, "/v1/reconciliations/"+account, "", []byte(body)).status == http.StatusOK
	}, 5*time.Second, time.Millisecond, "the account's first event")
	for old, bad := range map[string]string{"a.csv": "dir/a.csv", `"sequence":1`: `"sequence":1000`, `"breaks":0`: `"breaks":-1`, "000000": "00000x", "2025-01-02T16:00:00+08:00": "0001-01-01T00:00:00Z"} {
		require.Contains(t, body, old)
		require.Equal(t, http.StatusUnprocessableEntity, send(t, s, http.MethodPut, "/v1/reconciliations/"+account, "", []byte(strings.Replace(body, old, bad, 1))).status, bad)
	}
	require.Equal(t, http.StatusUnprocessableEntity, send(t, s, http.MethodPut, "/v1/reconciliations/x", "", []byte(body)).status)
}

// TestPhaseFileDamaged: nothing is followed by guess.
func TestPhaseFileDamaged(t *testing.T) {
	data := t.TempDir()
	path := filepath.Join(data, "state", "phases.json")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte(`{"accounts":{"55009728":{"phase":"ti`), 0o600))
	_, err := tryStart(t, data, watching(cache(t)))
	require.ErrorContains(t, err, path)
	require.ErrorContains(t, err, "put a copy of it back")
}

// TestSwitchEndsAppends: while a strategy goes on writing, nothing of its folder
// is appended once a switch to tiers has answered.
func TestSwitchEndsAppends(t *testing.T) {
	dir := cache(t)
	s := start(t, t.TempDir(), watching(dir), func(c *Config) { c.Watch.Scan = 5 * time.Millisecond })
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for days := 2; !stop.Load(); days++ {
			hold(t, dir, days)
		}
	}()
	for range 20 {
		require.Equal(t, http.StatusOK, putPhase(t, s, phase.Dual, true).status)
		before := logOf(t, s)
		require.Eventually(t, func() bool { return logOf(t, s) != before }, 10*time.Second, time.Millisecond, "dual appends")
		r := putPhase(t, s, phase.Tiers, true)
		require.Equal(t, http.StatusOK, r.status, "%s", r.body)
		after := logOf(t, s)
		scanned := s.desk.watcher.Load().Status()[0].Scanned
		require.Eventually(t, func() bool { return s.desk.watcher.Load().Status()[0].Scanned.Sub(scanned) > 20*time.Millisecond },
			10*time.Second, time.Millisecond, "it is looked at all the same")
		require.Equal(t, after, logOf(t, s), "tiers appends nothing")
	}
	stop.Store(true)
	<-done
	require.Eventually(t, func() bool {
		is := phasesOf(t, s)[0]
		return !is.Following && !is.InStep && is.Unrecorded["position.held_days_set.v1"] == 1
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, []string{phase.GateFolder}, gatesOf(t, putPhase(t, s, phase.Dual, false)), "back would change the log")

	// The folder is written as the log has it; then the way back is free.
	for _, e := range recorded(t, s) {
		if d, ok := e.Data.(*events.PositionHeldDaysSet); ok {
			hold(t, dir, int(d.HeldDays))
		}
	}
	mustSwitch(t, s, phase.Shadow)
}
