package projector

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// State is what a running projector tells about itself: readiness, lag and
// metrics. Safe for concurrent use; it is a prometheus.Collector.
type State struct {
	tier string

	mu         sync.Mutex
	running    bool
	reason     string
	checkpoint eventlog.Checkpoint
	// known tells that the tier's checkpoint was read: before, its lag is not 0
	// but unknown.
	known bool
	last  uint64
	// pending are the frames read but not yet applied, oldest first.
	pending []pendingFrame
	// parked is how many subjects wait behind an event that was refused.
	parked  int
	batches uint64
	applied uint64
	seconds float64
}

type pendingFrame struct {
	last   uint64
	logged time.Time
}

// NewState is the state of the projector of the named tier.
func NewState(tier string) *State {
	return &State{tier: tier, reason: "starting"}
}

// Lag is how far a tier is behind the log.
type Lag struct {
	// Events is the log's last sequence minus the checkpoint.
	Events uint64
	// Age is how long the oldest event not yet applied has been on the log.
	Age time.Duration
}

// Ready reports whether the projector follows the log; if not, why.
func (s *State) Ready() (bool, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running, s.reason
}

// Lag is the lag as last observed.
func (s *State) Lag() Lag {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lag Lag
	if s.last > s.checkpoint.Sequence {
		lag.Events = s.last - s.checkpoint.Sequence
	}
	if len(s.pending) > 0 {
		lag.Age = max(0, time.Since(s.pending[0].logged))
	}
	return lag
}

func (s *State) started(at eventlog.Checkpoint, parked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.reason, s.parked = true, "", parked
	s.moveTo(at)
}

// waitingAt takes the checkpoint of a tier that does not go on now.
func (s *State) waitingAt(at eventlog.Checkpoint) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moveTo(at)
}

// moveTo takes the tier's checkpoint. What it still lacks stays as old as it
// is: a tier that fails again and again must not look fresh at each try.
func (s *State) moveTo(at eventlog.Checkpoint) {
	if at.Sequence < s.checkpoint.Sequence {
		s.pending = nil // it lost events, and older ones are missing now
	}
	s.known, s.checkpoint = true, at
	for len(s.pending) > 0 && s.pending[0].last <= at.Sequence {
		s.pending = s.pending[1:]
	}
}

// unread tells that the log has events which the tier lacks and of which no
// frame is read yet.
func (s *State) unread() (after eventlog.Checkpoint, unread bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checkpoint, s.known && len(s.pending) == 0 && s.last > s.checkpoint.Sequence
}

func (s *State) waiting(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.reason = false, err.Error()
}

func (s *State) stopped(err error) { s.waiting(err) }

func (s *State) logEnd(sequence uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(sequence, s.checkpoint.Sequence)
}

// Waiting implements Observer.
func (s *State) Waiting(last uint64, logged time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = max(s.last, last)
	if n := len(s.pending); n > 0 && s.pending[n-1].last >= last || last <= s.checkpoint.Sequence {
		return // the lag's watcher and the player may both have read it
	}
	s.pending = append(s.pending, pendingFrame{last, logged})
}

// Applied implements Observer.
func (s *State) Applied(b Batch, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moveTo(b.To)
	s.last = max(s.last, b.To.Sequence)
	s.batches++
	s.applied += uint64(len(b.Events))
	s.seconds += took.Seconds()
}

var (
	descCheckpoint = prometheus.NewDesc("tapedeck_projector_checkpoint_sequence", "Last event sequence that the tier holds.", []string{"tier"}, nil)
	descLagEvents  = prometheus.NewDesc("tapedeck_projector_lag_events", "Events on the log that the tier does not hold yet.", []string{"tier"}, nil)
	descLagSeconds = prometheus.NewDesc("tapedeck_projector_lag_seconds", "Age of the oldest event that the tier does not hold yet.", []string{"tier"}, nil)
	descReady      = prometheus.NewDesc("tapedeck_projector_ready", "1 while the projector follows the log.", []string{"tier"}, nil)
	descParked     = prometheus.NewDesc("tapedeck_projector_parked_subjects", "Subjects that wait behind an event which the tier refused.", []string{"tier"}, nil)
	descBatches    = prometheus.NewDesc("tapedeck_projector_batches_total", "Batches applied.", []string{"tier"}, nil)
	descApplied    = prometheus.NewDesc("tapedeck_projector_events_total", "Events applied.", []string{"tier"}, nil)
	descSeconds    = prometheus.NewDesc("tapedeck_projector_apply_seconds_total", "Time spent applying batches.", []string{"tier"}, nil)
)

// Describe implements prometheus.Collector.
func (s *State) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, ch) }

// Collect implements prometheus.Collector.
func (s *State) Collect(ch chan<- prometheus.Metric) {
	lag := s.Lag()
	ready, _ := s.Ready()
	s.mu.Lock()
	defer s.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, s.tier)
	}
	counter := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, s.tier)
	}
	if s.known {
		gauge(descCheckpoint, float64(s.checkpoint.Sequence))
		gauge(descLagEvents, float64(lag.Events))
		gauge(descLagSeconds, lag.Age.Seconds())
	}
	gauge(descReady, map[bool]float64{true: 1}[ready])
	gauge(descParked, float64(s.parked))
	counter(descBatches, float64(s.batches))
	counter(descApplied, float64(s.applied))
	counter(descSeconds, s.seconds)
}
