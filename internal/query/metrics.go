package query

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/sony/gobreaker/v2"
)

// reads counts and times what was read.
type reads struct {
	seconds *prometheus.HistogramVec
	failed  *prometheus.CounterVec
}

func newReads() *reads {
	return &reads{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "tapedeck_query_seconds",
			Help:    "Time of the reads that were answered, by kind, tier and whether that was degraded.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5},
		}, []string{"kind", "tier", "degraded"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tapedeck_query_failed_total", Help: "Reads that no tier answered.",
		}, []string{"kind"}),
	}
}

func (r *reads) observe(kind Kind, tier string, degraded bool, err error, took time.Duration) {
	if err != nil {
		r.failed.WithLabelValues(string(kind)).Inc()
		return
	}
	r.seconds.WithLabelValues(string(kind), tier, strconv.FormatBool(degraded)).Observe(took.Seconds())
}

var (
	tierUp = prometheus.NewDesc("tapedeck_query_tier_up", "1 while a tier answers, 0 while the next one answers in its place.", []string{"tier"}, nil)
	tierAt = prometheus.NewDesc("tapedeck_query_tier_sequence", "The sequence that a tier was last seen at.", []string{"tier"}, nil)
)

// Describe implements prometheus.Collector.
func (r *Router) Describe(out chan<- *prometheus.Desc) {
	r.reads.seconds.Describe(out)
	r.reads.failed.Describe(out)
	out <- tierUp
	out <- tierAt
}

// Collect implements prometheus.Collector.
func (r *Router) Collect(out chan<- prometheus.Metric) {
	r.reads.seconds.Collect(out)
	r.reads.failed.Collect(out)
	for _, s := range r.Status().Tiers {
		up := 0.0
		if s.Reachable {
			up = 1
		}
		out <- prometheus.MustNewConstMetric(tierUp, prometheus.GaugeValue, up, s.Name)
		out <- prometheus.MustNewConstMetric(tierAt, prometheus.GaugeValue, float64(s.At.Sequence), s.Name)
	}
}

// Status is how the tiers and the log were seen last.
type Status struct {
	LogEnd uint64
	// LogSeen tells that the log has answered since the start.
	LogSeen bool
	// LogError is nil while the log answers.
	LogError error
	// Tiers are sorted by name.
	Tiers []TierStatus
}

// TierStatus is how one tier was seen last.
type TierStatus struct {
	Name      string
	At        At
	Reachable bool
	// Error is why it is not reachable.
	Error error
}

// Status tells what the last look found: less than half a second ago whether a
// tier answers, and where it is, or was at a read since, about a second ago.
func (r *Router) Status() Status {
	var status Status
	r.ends.mu.Lock()
	status.LogEnd, status.LogSeen, status.LogError = r.ends.last.end, !r.ends.last.when.IsZero(), r.ends.err
	r.ends.mu.Unlock()
	for _, name := range r.names() {
		s := r.sources[name]
		last := s.last.Load()
		status.Tiers = append(status.Tiers, TierStatus{
			Name: name, At: last.at, Error: last.err,
			Reachable: last.err == nil && s.breaker.State() == gobreaker.StateClosed,
		})
	}
	return status
}
