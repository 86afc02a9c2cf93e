package watch

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// maxDrifts bounds how many drifts of one folder are told.
const maxDrifts = 100

// Status is how one folder stands.
type Status struct {
	Dir     string `json:"dir"`
	Account string `json:"account"`
	// Following tells that what changes in the folder is appended. A folder
	// that is not followed is compared with the log all the same.
	Following bool `json:"following"`
	// Scanned is when the folder was last looked at.
	Scanned time.Time `json:"scanned_at,omitzero"`
	// InStep tells that the log's state of the account equalled the folder at
	// the last look.
	InStep bool `json:"in_step"`
	// Waiting is what the folder is looked at again for, soon: a file that is
	// being written, or the log.
	Waiting string `json:"waiting_for,omitzero"`
	// Notified tells that the newest change came with a notification of the
	// operating system; else sizes and times are looked at all the time.
	Notified bool `json:"notified"`
	// Unrecorded are the events that the log lacks to equal the folder, how many
	// of each type.
	Unrecorded map[string]int `json:"unrecorded,omitempty"`
	// Step is the last time that they were equal.
	Step *Step `json:"step,omitzero"`
	// Drifts are what keeps them from being equal and will not pass by itself,
	// the first 100.
	Drifts []Drift `json:"drifts"`
	// Events counts those appended since ingest's start.
	Events uint64 `json:"events"`
}

// Step says that at a sequence of the log the state of the account was what the
// files held.
type Step struct {
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	// SHA256 is of all files together: of a line "NAME BYTES SHA256" each, by
	// name.
	SHA256 string               `json:"sha256"`
	Files  map[string]FileState `json:"files"`
}

// Drift is a difference that no event can express, or that the log refuses.
type Drift struct {
	// File and Key say where; empty when the folder or the file is meant.
	File   string    `json:"file,omitzero"`
	Key    string    `json:"key,omitzero"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// same tells whether two drifts are about the same.
func (d Drift) same(other Drift) bool {
	return d.File == other.File && d.Key == other.Key && d.Reason == other.Reason
}

// set replaces the drifts, keeps since when they are there, and logs what is
// new and what is over.
func (s *Status) set(logger *slog.Logger, drifts []Drift, now time.Time) {
	drifts = slices.Clone(drifts[:min(len(drifts), maxDrifts)])
	for i := range drifts {
		d := &drifts[i]
		d.Since = now
		if at := slices.IndexFunc(s.Drifts, d.same); at >= 0 {
			d.Since = s.Drifts[at].Since
			continue
		}
		logger.Warn("watch: the folder and the log differ", "file", d.File, "key", d.Key, "reason", d.Reason)
	}
	if len(drifts) == 0 && len(s.Drifts) > 0 {
		logger.Info("watch: the folder and the log do not differ any more")
	}
	s.Drifts = drifts
}

// Status tells how each folder stands, in the order of Options.
func (w *Watcher) Status() []Status {
	list := make([]Status, 0, len(w.folders))
	for _, f := range w.folders {
		list = append(list, f.current())
	}
	return list
}

// current copies the status; what it points to is never changed.
func (f *folder) current() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.status
	if stuck := f.stuck(); !stuck.IsZero() {
		s.InStep, s.Waiting = false, fmt.Sprintf("a look that began at %s: the file system or the log does not answer", events.FormatTime(stuck))
	}
	return s
}

// stuck is since when a look has been under way that takes longer than the
// patience.
func (f *folder) stuck() (since time.Time) {
	for _, at := range []time.Time{f.looking, f.asking} {
		if !at.IsZero() && time.Since(at) > f.patience && (since.IsZero() || at.Before(since)) {
			since = at
		}
	}
	return since
}

// register adds the metrics, each with the label account.
func (w *Watcher) register(registry prometheus.Registerer) {
	if registry == nil {
		return
	}
	for _, f := range w.folders {
		gauge := func(name, help string, read func(Status) float64) {
			registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
				Namespace: "tapedeck", Subsystem: "watch", Name: name, Help: help,
				ConstLabels: prometheus.Labels{"account": f.Account},
			}, func() float64 { return read(f.current()) }))
		}
		gauge("in_step", "1 when the log's state of the account equals the watched folder.", func(s Status) float64 {
			if s.InStep {
				return 1
			}
			return 0
		})
		gauge("drifts", "Differences that no event can express, or that the log refuses.", func(s Status) float64 { return float64(len(s.Drifts)) })
		gauge("last_scan_timestamp_seconds", "When the folder was last looked at.", func(s Status) float64 {
			if s.Scanned.IsZero() {
				return 0
			}
			return float64(s.Scanned.Unix())
		})
		gauge("stuck_seconds", "How long the look at the folder has been under way, when it takes longer than the patience.", func(Status) float64 {
			f.mu.Lock()
			defer f.mu.Unlock()
			if at := f.stuck(); !at.IsZero() {
				return time.Since(at).Seconds()
			}
			return 0
		})
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "tapedeck", Subsystem: "watch", Name: "events_total", Help: "Events appended for a watched folder.",
			ConstLabels: prometheus.Labels{"account": f.Account},
		}, func() float64 { return float64(f.current().Events) }))
	}
}
