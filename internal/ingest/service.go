// Package ingest takes events over HTTP and NATS, validates them against
// themselves and against the state, and appends them to the log: an answer
// means that the event is on disk.
package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
)

// Config is ingest's settings.
type Config struct {
	// Data is the folder of the log and of ingest's own state; made when
	// missing. Only one process may use it.
	Data string
	// Listen and NATSListen are host:port; port 0 picks a free one.
	Listen, NATSListen string
	// NATSURL names an outside NATS that holds the log, in place of the
	// embedded server; Credentials its credentials file and Replicas how many
	// of its servers hold the log.
	NATSURL, Credentials string
	Replicas             int
	// Policy is what to do about trades outside Window.
	Policy calendar.Policy
	Window calendar.Window
	// MaxQueue is how many events may wait for an answer; more are told to
	// come again.
	MaxQueue int
	// SnapshotEvents and SnapshotAge say how many events, and how much time,
	// lie between two state snapshots at most. A start reads the log from the
	// last one on.
	SnapshotEvents int
	SnapshotAge    time.Duration
	// Watch is the strategies' folders to follow.
	Watch WatchConfig
	// LiveFeed publishes stored events on core NATS: FeedAuto, FeedOn, FeedOff.
	LiveFeed string
	// Backups is the schedule of the log's backups.
	Backups BackupConfig
	// StopPatience bounds how long Stop waits for requests to be answered.
	StopPatience time.Duration
	Logger       *slog.Logger
}

// Service is a running ingest.
type Service struct {
	config    Config
	committer *committer
	desk      *desk
	server    *embedded.Server // nil with an outside NATS
	listener  net.Listener
	http      *http.Server
	door      *natsDoor
	failed    chan error    // gets the one error that ends ingest
	committed chan struct{} // closed when the committer is gone
	// endBackups ends the schedule of backups and waits for it.
	endBackups func()
	stopError  error // of the committer, read after committed
	damage     error // a damaged log, found by Start
}

// Start returns when the log is open, the state is at its end, and both doors
// take events; ctx bounds only that.
//
// A damaged log is not an error of Start: audit and projectors must still be
// able to read it and name what is damaged. Then Damage tells it, and both
// doors refuse every event.
func Start(ctx context.Context, config Config) (_ *Service, err error) {
	s := &Service{
		config:    config,
		failed:    make(chan error, 2),
		committed: make(chan struct{}),

		endBackups: func() {},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.undo())
		}
	}()
	if err := os.MkdirAll(s.stateDir(), 0o750); err != nil {
		return nil, fmt.Errorf("ingest: %w", err)
	}
	metrics := newMetrics()
	s.committer = newCommitter(config, s, metrics)
	metrics.watch(s.committer)
	s.desk = &desk{committer: s.committer, metrics: metrics, logger: config.Logger, policy: config.Policy, window: config.Window, watching: config.Watch}
	if err := s.openPhases(metrics); err != nil {
		return nil, err
	}
	if err := s.listen(ctx); err != nil {
		return nil, err
	}
	if config.NATSURL == "" {
		s.server, err = embedded.Start(ctx, embedded.Options{Dir: config.Data, Listen: config.NATSListen, Logger: config.Logger})
		if err != nil {
			return nil, err
		}
	}
	err = s.committer.open(ctx)
	switch {
	case errors.As(err, new(*eventlog.CorruptError)):
		s.damage = err
		s.committer.hinder("nothing can be appended: " + err.Error())
		go func() {
			defer close(s.committed)
			s.committer.turnAway(nil)
		}()
	case err != nil:
		return nil, err
	default:
		if err := s.openFeed(metrics); err != nil {
			return nil, err
		}
		go s.commit()
	}
	conn, err := s.doorConn()
	if err != nil {
		return nil, err
	}
	if s.door, err = openNATSDoor(s.desk, conn); err != nil {
		return nil, err
	}
	if config.Backups.Dir != "" && s.damage == nil {
		s.scheduleBackups(metrics)
	}
	if s.damage == nil {
		if err := s.startWatching(metrics); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func newCommitter(config Config, s *Service, metrics *metrics) *committer {
	c := &committer{
		queue:      make(chan *request, deskRequests),
		limit:      int64(config.MaxQueue),
		stopping:   make(chan struct{}),
		openWriter: s.openWriter,
		state: &stateStore{
			path:    filepath.Join(s.stateDir(), "book.snapshot"),
			openLog: s.openLog,
			logger:  config.Logger,
			every:   uint64(config.SnapshotEvents),
			age:     config.SnapshotAge,
		},
		metrics: metrics,
		logger:  config.Logger,
	}
	c.hinder("ingest is starting")
	return c
}

func (s *Service) stateDir() string { return filepath.Join(s.config.Data, "state") }

// listen opens the HTTP door, which says "not ready" at first.
func (s *Service) listen(ctx context.Context) error {
	var config net.ListenConfig
	var err error
	if s.listener, err = config.Listen(ctx, "tcp", s.config.Listen); err != nil {
		return fmt.Errorf("ingest: listen (choose another address with --listen): %w", err)
	}
	s.http = newHTTPServer(s.desk, s.config.Logger)
	go func() {
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("ingest: HTTP door: %w", err)
		}
	}()
	return nil
}

func (s *Service) openWriter(ctx context.Context) (*eventlog.Writer, error) {
	config := eventlog.WriterConfig{
		Config:   s.logConfig("ingest writer"),
		Anchor:   filepath.Join(s.stateDir(), "anchor"),
		Replicas: s.config.Replicas,
	}
	if s.server != nil {
		var err error
		if config.Conn, err = s.server.WriterConn(); err != nil {
			return nil, err
		}
	}
	return eventlog.NewWriter(ctx, config)
}

func (s *Service) openLog(ctx context.Context) (*eventlog.Log, error) {
	return eventlog.Open(ctx, s.logConfig("ingest state"))
}

func (s *Service) logConfig(name string) eventlog.Config {
	return eventlog.Config{URL: s.NATSURL(), Credentials: s.config.Credentials, Name: name, Logger: s.config.Logger}
}

func (s *Service) doorConn() (*nats.Conn, error) {
	if s.server != nil {
		return s.server.ClientConn()
	}
	options := []nats.Option{nats.Name("ingest door"), nats.MaxReconnects(-1)}
	if s.config.Credentials != "" {
		options = append(options, nats.UserCredentials(s.config.Credentials))
	}
	conn, err := nats.Connect(s.config.NATSURL, options...)
	if err != nil {
		return nil, fmt.Errorf("ingest: connect the NATS door: %w: %w", eventlog.ErrUnreachable, err)
	}
	return conn, nil
}

// commit runs the committer. After a damage it goes on turning requests away.
func (s *Service) commit() {
	defer close(s.committed)
	s.stopError = s.committer.run(context.Background())
	select {
	case <-s.committer.stopping:
	default:
		s.failed <- s.stopError
		s.committer.turnAway(nil)
	}
}

// HTTPAddress is host:port of the HTTP door.
func (s *Service) HTTPAddress() string { return s.listener.Addr().String() }

// NATSURL is where the log and the NATS door are.
func (s *Service) NATSURL() string {
	if s.server != nil {
		return s.server.ClientURL()
	}
	return s.config.NATSURL
}

// Damage is the damage of the log that Start found, an *eventlog.CorruptError;
// nil for a sound log.
func (s *Service) Damage() error { return s.damage }

// Failed delivers the error that keeps ingest from taking events: the log is
// damaged, and may still be read until Stop, or a door broke down.
func (s *Service) Failed() <-chan error { return s.failed }

// Stop takes no more events, answers those that were taken, saves the state,
// and lets everything go.
func (s *Service) Stop() error {
	s.config.Logger.Info("stopping", "waiting_events", s.committer.waiting.Load())
	ctx, cancel := context.WithTimeout(context.Background(), s.config.StopPatience)
	defer cancel()
	if w := s.desk.watcher.Load(); w != nil {
		w.Stop()
	}
	doors := make(chan error, 1)
	go func() { doors <- s.door.close(s.config.StopPatience) }()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("ingest: close the HTTP door: %w", err), s.http.Close())
	}
	err = errors.Join(err, <-doors)
	close(s.committer.stopping)
	<-s.committed
	s.committer.feed.close()
	s.endBackups()
	return errors.Join(err, s.stopError, s.shutServer())
}

func (s *Service) shutServer() error {
	if s.server == nil {
		return nil
	}
	return s.server.Shutdown()
}

// undo lets go of what a failed Start had opened.
func (s *Service) undo() error {
	var err error
	if s.http != nil {
		err = s.http.Close()
	}
	if s.committer != nil && s.committer.writer != nil {
		close(s.committer.stopping)
		<-s.committed
		s.committer.feed.close()
		err = errors.Join(err, s.stopError)
	}
	return errors.Join(err, s.shutServer())
}
