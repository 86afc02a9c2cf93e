package ingest

import (
	"context"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/phase"
	"github.com/seed-744e3d1b/tapedeck/internal/watch"
)

// WatchConfig says which strategies' cache folders are followed.
type WatchConfig struct {
	Folders []watch.Folder
	// Broker is that of accounts which the log does not know; empty guesses by
	// the id.
	Broker string
	// Scan is the time between two full looks, Patience how long a file must
	// be missing before it counts as removed.
	Scan, Patience time.Duration
	// ReconcileGate is what an account's last reconciliation must be for a step
	// to its next phase; empty is phase.ReconcileBreaks.
	ReconcileGate phase.ReconcileGate
}

// startWatching follows the folders, if any, but for those of accounts in phase
// tiers.
func (s *Service) startWatching(m *metrics) error {
	c := s.config.Watch
	if len(c.Folders) == 0 {
		return nil
	}
	w, err := watch.Start(watchedTape{s}, watch.Options{
		Folders: c.Folders, Broker: c.Broker, Scan: c.Scan, Patience: c.Patience,
		State: filepath.Join(s.stateDir(), "watch.snapshot"), Still: s.still(), Logger: s.config.Logger, Registry: m.registry,
	})
	if err != nil {
		return err
	}
	s.desk.watcher.Store(w)
	return nil
}

// getWatch tells how each watched folder stands.
func (d *desk) getWatch(w http.ResponseWriter, _ *http.Request) {
	folders := []watch.Status{}
	if watcher := d.watcher.Load(); watcher != nil {
		folders = watcher.Status()
	}
	writeJSON(w, http.StatusOK, map[string]any{"folders": folders})
}

// watchedTape is ingest as the watcher sees it: one more door.
type watchedTape struct{ s *Service }

// Open implements watch.Tape.
func (t watchedTape) Open(ctx context.Context) (*eventlog.Log, error) { return t.s.openLog(ctx) }

// Last implements watch.Tape.
func (t watchedTape) Last() (uint64, bool) {
	c := t.s.committer
	if c.obstacle.Load() != nil {
		return 0, false
	}
	return c.writing.Load().Info().Last, true
}

// Append implements watch.Tape. What a strategy wrote down is a fact: a trade
// outside the session is flagged, not refused.
func (t watchedTape) Append(_ context.Context, list []*events.Event, atomic bool) ([]watch.Fate, error) {
	var body []byte
	for _, e := range list {
		var err error
		if body, err = e.AppendJSON(body); err != nil {
			return nil, err
		}
		body = append(body, '\n')
	}
	d := t.s.desk
	size := int64(len(body))
	if err := d.enter(size); err != nil {
		return nil, err
	}
	defer d.leave(size)
	space := workspaces.Get().(*workspace)
	defer space.release()
	a := d.handle(space, body, formLines, options{atomic: atomic, policy: calendar.PolicyFlag})
	d.count("watch", a.status)
	return fatesOf(a, len(list))
}

// fatesOf reads the door's own answer.
func fatesOf(a answer, count int) ([]watch.Fate, error) {
	fates := make([]watch.Fate, count)
	if a.status == http.StatusOK {
		var receipts []events.Receipt
		if err := json.Unmarshal(a.body, &receipts); err != nil {
			return nil, err
		}
		for i, r := range receipts {
			fates[i].Sequence = r.Sequence
		}
		return fates, nil
	}
	var problem events.Problem
	if err := json.Unmarshal(a.body, &problem); err != nil {
		return nil, err
	}
	if len(problem.Errors) == 0 || a.status != http.StatusUnprocessableEntity {
		return nil, errors.New(problem.Detail)
	}
	for _, r := range problem.Results {
		if r.Receipt != nil {
			fates[r.Index].Sequence = r.Sequence
		}
	}
	for _, e := range problem.Errors {
		fates[e.Index].Refused = e.Field + " " + e.Rule
	}
	return fates, nil
}
