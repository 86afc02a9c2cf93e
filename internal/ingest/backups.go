package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-744e3d1b/tapedeck/internal/backup"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// BackupConfig is the schedule of backups.
type BackupConfig struct {
	// Dir holds the sets; "" is no schedule.
	Dir string
	// Every is the time between two runs.
	Every time.Duration
	// Keep is how long a set is gone on with, and kept after its last run.
	Keep time.Duration
}

// backupRetry is the longest time from a failed run to the next one.
const backupRetry = 10 * time.Minute

// backups runs the schedule. Whatever fails shows in a metric and a log line;
// events are taken all the same.
type backups struct {
	rotation backup.Rotation
	every    time.Duration
	openLog  func(ctx context.Context) (*eventlog.Log, error)
	logger   *slog.Logger

	succeeded prometheus.Gauge
	sequence  prometheus.Gauge
	failures  prometheus.Counter
}

func newBackups(config BackupConfig, openLog func(ctx context.Context) (*eventlog.Log, error), logger *slog.Logger, registry *prometheus.Registry) *backups {
	options := func(name, help string) prometheus.Opts {
		return prometheus.Opts{Namespace: "tapedeck", Subsystem: "ingest", Name: name, Help: help}
	}
	b := &backups{
		rotation:  backup.Rotation{Dir: config.Dir, Keep: config.Keep, Logger: logger},
		every:     config.Every,
		openLog:   openLog,
		logger:    logger,
		succeeded: prometheus.NewGauge(prometheus.GaugeOpts(options("backup_last_success_timestamp_seconds", "When the last scheduled backup that succeeded began; 0 when none did."))),
		sequence:  prometheus.NewGauge(prometheus.GaugeOpts(options("backup_last_sequence", "Up to where the last scheduled backup of this process holds the log."))),
		failures:  prometheus.NewCounter(prometheus.CounterOpts(options("backup_failures_total", "Scheduled backups that failed."))),
	}
	registry.MustRegister(b.succeeded, b.sequence, b.failures)
	return b
}

// scheduleBackups starts the schedule.
func (s *Service) scheduleBackups(metrics *metrics) {
	b := newBackups(s.config.Backups, s.openLog, s.config.Logger, metrics.registry)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.run(ctx)
	}()
	s.endBackups = func() { cancel(); <-done }
}

// run backs up until ctx ends. When the next run is due is read from the
// backups themselves, so that a restart neither forgets nor repeats one.
func (b *backups) run(ctx context.Context) {
	wait := b.untilDue(time.Now())
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if wait = b.every; !b.once(ctx, time.Now()) {
			wait = min(b.every, backupRetry)
		}
	}
}

func (b *backups) untilDue(now time.Time) time.Duration {
	last, err := b.rotation.LastRun()
	if err != nil {
		b.logger.Error("cannot see when the last backup was; making one now", "error", err)
		return 0
	}
	if last.IsZero() {
		return 0
	}
	b.succeeded.Set(float64(last.Unix()))
	return max(0, last.Add(b.every).Sub(now))
}

// once makes one backup and tells whether it succeeded.
func (b *backups) once(ctx context.Context, now time.Time) bool {
	result, err := b.take(ctx, now)
	if result.Set != nil {
		// The copy is there, also when something old could not be dropped.
		b.succeeded.Set(float64(now.Unix()))
		b.sequence.Set(float64(result.Set.End().Sequence))
	}
	if err != nil && ctx.Err() == nil {
		b.failures.Inc()
		b.logger.Error("backup failed; events are taken all the same", "error", err)
	}
	if err != nil {
		return false
	}
	b.logger.Info("backup made", "set", result.Set.Dir(), "events", result.Events, "sequence", result.Set.End().Sequence,
		"duration", time.Since(now).Round(time.Millisecond))
	return true
}

func (b *backups) take(ctx context.Context, now time.Time) (result backup.Result, err error) {
	log, err := b.openLog(ctx)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	return b.rotation.Run(ctx, log, now)
}

// Days is a duration that may also be written in days: "30d".
type Days time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Days) UnmarshalText(text []byte) error {
	if count, ok := strings.CutSuffix(string(text), "d"); ok {
		days, err := strconv.ParseUint(count, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is no number of days", text)
		}
		*d = Days(time.Duration(days) * 24 * time.Hour)
		return nil
	}
	span, err := time.ParseDuration(string(text))
	*d = Days(span)
	return err
}

// String implements fmt.Stringer.
func (d Days) String() string { return time.Duration(d).String() }
