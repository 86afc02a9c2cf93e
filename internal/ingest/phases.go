package ingest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-744e3d1b/tapedeck/internal/phase"
	"github.com/seed-744e3d1b/tapedeck/internal/watch"
)

// switchPatience bounds how long a switch waits for the look at the folder: less
// than whoever asks waits for the answer.
const switchPatience = 8 * time.Second

// openPhases reads the accounts' phases and shows them as metrics.
func (s *Service) openPhases(m *metrics) error {
	store, err := phase.Open(filepath.Join(s.stateDir(), "phases.json"))
	if err != nil {
		return fmt.Errorf("ingest: %w", err)
	}
	s.desk.phases = store
	m.registry.MustRegister(phaseMetrics{s.desk})
	return nil
}

// still are the accounts whose folders are not followed.
func (s *Service) still() []string {
	var accounts []string
	for account, e := range s.desk.phases.All() {
		if !s.desk.phases.Of(account).Phase.Follows() {
			s.config.Logger.Info("an account is in phase tiers; nothing is recorded out of a folder of it", "account", account, "since", e.Since)
			accounts = append(accounts, account)
		}
	}
	return accounts
}

// phaseStatus tells how an account stands whose folder is given, if there is
// one.
func (d *desk) phaseStatus(account string, folder *watch.Status) phase.Status {
	e := d.phases.Of(account)
	s := phase.Status{Account: account, Phase: e.Phase, Since: e.Since, Reconciliation: e.Reconciliation}
	if folder != nil {
		s.Folder = phase.Folder{
			Dir: folder.Dir, Following: folder.Following, InStep: folder.InStep, Waiting: folder.Waiting,
			Drifts: len(folder.Drifts), Unrecorded: folder.Unrecorded,
		}
		if folder.Step != nil {
			s.LastStep = &phase.Instant{Sequence: folder.Step.Sequence, Time: folder.Step.Time}
		}
	}
	s.AddSteps(d.watching.ReconcileGate)
	return s
}

// allPhases tells how every account stands that is watched or was put into a
// phase, by id.
func (d *desk) allPhases() []phase.Status {
	folders := make(map[string]*watch.Status)
	for _, f := range d.watching.Folders {
		folders[f.Account] = &watch.Status{Dir: f.Dir, Account: f.Account, Waiting: "the folder is not looked at yet"}
	}
	if w := d.watcher.Load(); w != nil {
		for _, f := range w.Status() {
			folders[f.Account] = &f
		}
	}
	for account, e := range d.phases.All() {
		if _, watched := folders[account]; !watched && e.Phase != "" {
			folders[account] = nil
		}
	}
	list := make([]phase.Status, 0, len(folders))
	for _, account := range slices.Sorted(maps.Keys(folders)) {
		list = append(list, d.phaseStatus(account, folders[account]))
	}
	return list
}

// phaseOf is how one account of allPhases stands.
func (d *desk) phaseOf(account string) (phase.Status, bool) {
	all := d.allPhases()
	at, found := slices.BinarySearchFunc(all, account, func(s phase.Status, id string) int { return cmp.Compare(s.Account, id) })
	if !found {
		return phase.Status{}, false
	}
	return all[at], true
}

// heldError tells what keeps an account from a phase.
type heldError struct {
	status phase.Status
	to     phase.Phase
	holds  []phase.Hold
}

func (e *heldError) Error() string {
	text := fmt.Sprintf("account %s stays in phase %s: %d things keep it from %s", e.status.Account, e.status.Phase, len(e.holds), e.to)
	for _, h := range e.holds {
		text += "; " + h.String()
	}
	return text
}

// switchPhase puts an account into a phase. Its folder is looked at before, and
// nobody looks at it between that and the change.
func (d *desk) switchPhase(ctx context.Context, account string, to phase.Phase, force bool) error {
	w := d.watcher.Load()
	switch watched := slices.ContainsFunc(d.watching.Folders, func(f watch.Folder) bool { return f.Account == account }); {
	case !watched:
		return watch.ErrNotWatched
	case w == nil:
		return notReady("its folder is not looked at: ingest is starting, or GET /readyz tells what keeps it")
	}
	ctx, cancel := context.WithTimeout(ctx, switchPatience)
	defer cancel()
	return w.Switch(ctx, account, func(folder watch.Status) (follow bool, err error) {
		s := d.phaseStatus(account, &folder)
		if s.Phase == to {
			return to.Follows(), nil
		}
		holds := s.Holds(to, d.watching.ReconcileGate)
		if len(holds) > 0 && (!force || holds[0].Gate == phase.GateOrder) {
			return false, &heldError{s, to, holds}
		}
		if err := d.phases.Set(account, to, time.Now()); err != nil {
			return false, err
		}
		attrs := []any{"account", account, "from", s.Phase, "to", to, "sequence", d.lastSequence()}
		if force {
			d.logger.Warn("phase switched by force", append(attrs, "although", holds)...)
		} else {
			d.logger.Info("phase switched", attrs...)
		}
		return to.Follows(), nil
	})
}

// lastSequence is the log's; 0 before it is open.
func (d *desk) lastSequence() uint64 {
	if w := d.committer.writing.Load(); w != nil {
		return w.Info().Last
	}
	return 0
}

// phaseMetrics collects what is read when asked for, by account.
type phaseMetrics struct{ d *desk }

var (
	phaseDesc  = prometheus.NewDesc("tapedeck_phase", "1 for the phase that an account is in: shadow, dual or tiers.", []string{"account", "phase"}, nil)
	breaksDesc = prometheus.NewDesc("tapedeck_reconcile_breaks", "Breaks that the account's last reconciliation found.", []string{"account"}, nil)
)

// Describe implements prometheus.Collector.
func (phaseMetrics) Describe(into chan<- *prometheus.Desc) {
	into <- phaseDesc
	into <- breaksDesc
}

// Collect implements prometheus.Collector.
func (m phaseMetrics) Collect(into chan<- prometheus.Metric) {
	for _, s := range m.d.allPhases() {
		into <- prometheus.MustNewConstMetric(phaseDesc, prometheus.GaugeValue, 1, s.Account, string(s.Phase))
	}
	for account, e := range m.d.phases.All() {
		if r := e.Reconciliation; r != nil {
			into <- prometheus.MustNewConstMetric(breaksDesc, prometheus.GaugeValue, float64(r.Breaks), account)
		}
	}
}
