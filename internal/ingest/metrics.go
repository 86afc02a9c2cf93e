package ingest

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// metrics are what /metrics shows. Every name begins with tapedeck_ingest_.
type metrics struct {
	registry   *prometheus.Registry
	appended   *prometheus.CounterVec // by type
	rejected   *prometheus.CounterVec // by reason
	duplicates prometheus.Counter
	skipped    prometheus.Counter
	requests   *prometheus.CounterVec // by door and status
	failures   prometheus.Counter
	commit     prometheus.Histogram
	frameSize  prometheus.Histogram
	frameBytes prometheus.Histogram

	feedPublished, feedDropped prometheus.Counter
}

func newMetrics() *metrics {
	counter := func(name, help string) prometheus.CounterOpts {
		return prometheus.CounterOpts{Namespace: "tapedeck", Subsystem: "ingest", Name: name, Help: help}
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: "tapedeck", Subsystem: "ingest", Name: name, Help: help, Buckets: buckets,
		})
	}
	m := &metrics{
		registry:      prometheus.NewRegistry(),
		appended:      prometheus.NewCounterVec(counter("events_appended_total", "Events on the log, by type."), []string{"type"}),
		rejected:      prometheus.NewCounterVec(counter("events_rejected_total", "Events refused: invalid by themselves, against the state, an id used again, too large."), []string{"reason"}),
		duplicates:    prometheus.NewCounter(counter("events_duplicate_total", "Events that the log already held.")),
		skipped:       prometheus.NewCounter(counter("events_not_applied_total", "Correct events that change nothing and were not appended.")),
		requests:      prometheus.NewCounterVec(counter("requests_total", "Requests answered, by door and status."), []string{"door", "status"}),
		failures:      prometheus.NewCounter(counter("log_failures_total", "How often the log failed and was opened again.")),
		commit:        histogram("commit_seconds", "From a frame's first event to its place on disk.", prometheus.ExponentialBuckets(0.0001, 2, 16)),
		frameSize:     histogram("frame_events", "Events a frame.", prometheus.ExponentialBuckets(1, 2, 11)),
		feedPublished: prometheus.NewCounter(counter("feed_events_total", "Events published on the live feed.")),
		feedDropped:   prometheus.NewCounter(counter("feed_dropped_total", "Events that somebody listened for and that the live feed dropped.")),
		frameBytes:    histogram("frame_bytes", "Bytes a frame.", prometheus.ExponentialBuckets(256, 4, 9)),
	}
	m.registry.MustRegister(m.appended, m.rejected, m.duplicates, m.skipped, m.requests, m.failures, m.commit, m.frameSize, m.frameBytes, m.feedPublished, m.feedDropped,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds the gauges that are read when asked for.
func (m *metrics) watch(c *committer) {
	gauge := func(name, help string, read func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: "tapedeck", Subsystem: "ingest", Name: name, Help: help,
		}, read))
	}
	info := func() eventlog.Info {
		if w := c.writing.Load(); w != nil {
			return w.Info()
		}
		return eventlog.Info{}
	}
	gauge("queue_events", "Events waiting for an answer.", func() float64 { return float64(c.waiting.Load()) })
	gauge("last_sequence", "The log's last sequence.", func() float64 { return float64(info().Last) })
	gauge("log_bytes", "What the log occupies.", func() float64 { return float64(info().Bytes) })
	gauge("ready", "1 when events are taken.", func() float64 {
		if c.obstacle.Load() == nil {
			return 1
		}
		return 0
	})
}

// stored counts a frame that is on disk.
func (m *metrics) stored(f *frame) {
	for t, n := range f.types {
		m.appended.WithLabelValues(t).Add(float64(n))
	}
	m.frameSize.Observe(float64(f.count))
	m.frameBytes.Observe(float64(f.bytes))
	m.commit.Observe(time.Since(f.begun).Seconds())
}
