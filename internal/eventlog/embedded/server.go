// Package embedded runs the log's NATS server inside the process: JetStream
// that syncs every write, and accounts that let everybody read the log and
// only the appender write it.
package embedded

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

// MaxPayload is the largest message that the server takes, in bytes.
const MaxPayload = 16 << 20

// Options says where the server stores and listens.
type Options struct {
	// Dir is the data folder; made when missing. The server stores in
	// Dir/jetstream and holds Dir/lock while it runs.
	Dir string
	// Listen is host:port; port 0 is any free one.
	Listen string
	// Logger gets the server's log lines; nil is slog.Default().
	Logger *slog.Logger
}

// Server is a running NATS server. It is safe for concurrent use.
type Server struct {
	nats     *server.Server
	lock     *os.File
	appender secret
	ingest   secret
	feed     secret

	feeding  *server.Account
	internal int // subscriptions in feeding that are the server's own
}

// Start returns when the stored log is recovered and clients can connect;
// ctx bounds only that wait. A folder in use by another process and a busy
// address are errors that name them.
func Start(ctx context.Context, o Options) (*Server, error) {
	logger := o.Logger
	if logger == nil {
		logger = slog.Default()
	}
	host, port, err := splitListen(o.Listen)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("embedded log: %w", err)
	}
	lock, err := durable.TryLock(filepath.Join(o.Dir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("embedded log: data folder %s is in use by another process, stop that first (another ingest): %w", o.Dir, err)
	}
	s := &Server{
		lock:     lock,
		appender: secret{"appender", rand.Text()},
		ingest:   secret{"ingest", rand.Text()},
		feed:     secret{"feed", rand.Text()},
	}
	options, err := s.options()
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	options.Host, options.Port, options.StoreDir = host, port, o.Dir
	s.nats, err = server.NewServer(options)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("embedded log: %w", err), lock.Close())
	}
	lines := &logLines{logger: logger, fatal: make(chan string, 1)}
	s.nats.SetLogger(lines, false, false)
	if err := s.await(ctx, lines); err != nil {
		return nil, errors.Join(err, s.Shutdown())
	}
	if err := s.prepareFeed(); err != nil {
		return nil, errors.Join(err, s.Shutdown())
	}
	return s, nil
}

// prepareFeed finds out which subscriptions in the feed's account are the
// server's own. Clients may be connected already; theirs are of their account.
func (s *Server) prepareFeed() (err error) {
	if s.feeding, err = s.nats.LookupAccount(feedAccount); err != nil {
		return fmt.Errorf("embedded log: account of the feed: %w", err)
	}
	found, err := s.nats.Subsz(&server.SubszOptions{Subscriptions: true, Account: feedAccount, Limit: math.MaxInt32})
	if err != nil {
		return fmt.Errorf("embedded log: subscriptions of the feed: %w", err)
	}
	for _, sub := range found.Subs {
		if sub.Account == feedAccount {
			s.internal++
		}
	}
	return nil
}

// await starts the server and waits until clients can connect.
func (s *Server) await(ctx context.Context, lines *logLines) error {
	go s.nats.Start()
	for {
		if s.nats.ReadyForConnections(100 * time.Millisecond) {
			return nil
		}
		select {
		case line := <-lines.fatal:
			return fmt.Errorf("embedded log: %s", line)
		case <-ctx.Done():
			return fmt.Errorf("embedded log: start: %w", ctx.Err())
		default:
		}
	}
}

// options are the server's settings but for its place.
func (s *Server) options() (*server.Options, error) {
	o := &server.Options{
		ServerName: "tapedeck",
		JetStream:  true,
		SyncAlways: true, // an ack means fsynced
		// The default is three quarters of what is free at start, the log
		// included: a log that outgrows the rest of the disk could not start.
		JetStreamMaxStore:      math.MaxInt64 / 2,
		MaxPayload:             MaxPayload,
		NoSigs:                 true,
		DisableJetStreamBanner: true,
	}
	if err := o.ProcessConfigString(accounts(s.appender, s.ingest, s.feed)); err != nil {
		return nil, fmt.Errorf("embedded log: accounts: %w", err)
	}
	return o, nil
}

// splitListen reads host:port; the server's word for a free port is -1.
func splitListen(listen string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(listen)
	if err == nil {
		port, err = strconv.Atoi(text)
	}
	if err != nil {
		return "", 0, fmt.Errorf("embedded log: listen address %q: %w", listen, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}

// ClientURL is where anybody connects, without credentials.
func (s *Server) ClientURL() string { return s.nats.ClientURL() }

// WriterConn is a connection that may write the log, for eventlog.NewWriter.
// It does not reconnect: a Writer must not go on after a loss.
func (s *Server) WriterConn() (*nats.Conn, error) {
	return s.connect(s.appender, nats.NoReconnect())
}

// ClientConn is a connection to the default account that, unlike others
// there, may answer on the ingest door's subjects.
func (s *Server) ClientConn() (*nats.Conn, error) {
	return s.connect(s.ingest, nats.MaxReconnects(-1))
}

// FeedConn is a connection that may publish on the live feed.
func (s *Server) FeedConn() (*nats.Conn, error) {
	return s.connect(s.feed, nats.MaxReconnects(-1))
}

// FeedListened tells whether anybody is subscribed to a subject of the live
// feed. It costs a lock: each subscription elsewhere that reaches the feed has
// its shadow in the feed's own account.
func (s *Server) FeedListened() bool { return s.feeding.TotalSubs() > s.internal }

func (s *Server) connect(as secret, options ...nats.Option) (*nats.Conn, error) {
	options = append(options, nats.Name(as.user), nats.UserInfo(as.user, as.password), nats.InProcessServer(s.nats))
	nc, err := nats.Connect("", options...)
	if err != nil {
		return nil, fmt.Errorf("embedded log: connect as %s: %w", as.user, err)
	}
	return nc, nil
}

// Shutdown closes all connections, stops the server, waits for it, and lets
// the data folder go. Calling it again does nothing.
func (s *Server) Shutdown() error {
	s.nats.Shutdown()
	s.nats.WaitForShutdown()
	if err := s.lock.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("embedded log: unlock: %w", err)
	}
	return nil
}
