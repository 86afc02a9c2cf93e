package eventlog

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Config says where the log's NATS is.
type Config struct {
	// URL is the server's, or several divided by commas.
	URL string
	// Credentials is the path of a NATS credentials file; empty for none.
	Credentials string
	// Name is how the connection shows in the server's lists.
	Name string
	// Logger gets connection changes; nil is slog.Default().
	Logger *slog.Logger
}

// Log is a reader's view of the log. It is safe for concurrent use.
type Log struct {
	*link
	logger *slog.Logger

	mu     sync.Mutex
	alive  context.Context // ends when the connection is lost
	sever  context.CancelFunc
	closed bool
	// last is what Info said last, as of seen.
	last Info
	seen lastMessage
}

// lastMessage tells a stream's last message from all others that ever were
// there.
type lastMessage struct {
	created, stored time.Time
	seq             uint64
}

func lastOf(si *jetstream.StreamInfo) lastMessage {
	return lastMessage{si.Created.UTC(), si.State.LastTime.UTC(), si.State.LastSeq}
}

// Open connects to the log's NATS server, an embedded one or one outside; it
// finds out which. The stream may not exist yet: then Info and Read say so.
// The connection restores itself until Close. It wraps ErrUnreachable when no
// server answers.
func Open(ctx context.Context, c Config) (*Log, error) {
	l := &Log{logger: c.Logger}
	if l.logger == nil {
		l.logger = slog.Default()
	}
	l.restore()
	options := c.options()
	options = append(options,
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100*time.Millisecond),
		nats.ReconnectJitter(50*time.Millisecond, 50*time.Millisecond),
		nats.ReconnectBufSize(-1), // a request sent after the fact answers nobody
		nats.DisconnectErrHandler(func(nc *nats.Conn, err error) {
			l.lose()
			if !l.isClosed() {
				l.logger.Warn("log connection lost", "error", err)
			}
		}),
		nats.ReconnectHandler(func(nc *nats.Conn) {
			l.restore()
			l.logger.Info("log connection restored", "server", nc.ConnectedUrlRedacted())
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			l.logger.Warn("log connection error", "error", err)
		}),
	)
	nc, err := connect(ctx, c.URL, options)
	if err != nil {
		return nil, err
	}
	l.link, err = newLink(ctx, nc, l.connected)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return l, nil
}

// options are those that readers and the writer share.
func (c Config) options() []nats.Option {
	options := []nats.Option{nats.Name(c.Name)}
	if c.Credentials != "" {
		options = append(options, nats.UserCredentials(c.Credentials))
	}
	return options
}

// connect dials within ctx.
func connect(ctx context.Context, url string, options []nats.Option) (*nats.Conn, error) {
	if deadline, ok := ctx.Deadline(); ok {
		options = append(options, nats.Timeout(min(max(time.Until(deadline), time.Millisecond), nats.DefaultTimeout)))
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("eventlog: connect: %w", err)
	}
	nc, err := nats.Connect(url, options...)
	if err != nil {
		return nil, fmt.Errorf("eventlog: connect: %w: %w", ErrUnreachable, err)
	}
	return nc, nil
}

// Info describes the log as it is now. It returns *CorruptError when the last
// frame cannot be read. That frame, which may be megabytes, is read once: while
// the log does not grow, Info costs no more than asking where it ends.
func (l *Log) Info(ctx context.Context) (Info, error) {
	si, err := l.stream(ctx)
	if err != nil {
		return Info{}, err
	}
	now := lastOf(si)
	l.mu.Lock()
	last, seen := l.last, l.seen
	l.mu.Unlock()
	if now.seq > 0 && now == seen {
		last.Bytes = si.State.Bytes
		return last, nil
	}
	info, err := l.info(ctx, si)
	if err != nil {
		return info, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last, l.seen = info, now
	return info, nil
}

// IngestSubject is where ingest takes events over the log's NATS.
const IngestSubject = "ingest.v1.events"

// Publish hands events, one JSON a line, to ingest and returns when they are on
// the log. It wraps ErrUnreachable when no ingest answers.
func (l *Log) Publish(ctx context.Context, ndjson []byte) error {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	answer, err := l.nc.RequestWithContext(ctx, IngestSubject, ndjson)
	if err != nil {
		return fmt.Errorf("eventlog: publish: %w: %w", ErrUnreachable, err)
	}
	if kind := answer.Header.Get("Content-Type"); kind == events.ProblemMediaType {
		return fmt.Errorf("eventlog: publish: refused: %s", answer.Data)
	}
	return nil
}

// Close ends the connection; Readers that are still open fail.
func (l *Log) Close() error {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.nc.Close()
	return nil
}

func (l *Log) isClosed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closed
}

// connected ends when the connection that is up now is lost.
func (l *Log) connected() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.alive
}

func (l *Log) lose() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sever()
}

func (l *Log) restore() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive, l.sever = context.WithCancel(context.Background())
	l.seen = lastMessage{} // perhaps the disk under a restarted server was damaged
}

// info completes the stream's state with its last frame.
func (l *link) info(ctx context.Context, si *jetstream.StreamInfo) (Info, error) {
	info := Info{Bytes: si.State.Bytes}
	if si.State.LastSeq == 0 {
		return info, nil
	}
	f, err := l.frame(ctx, si.State.LastSeq)
	if err != nil {
		return info, err
	}
	info.First, info.Last, info.Chain, info.Logged = 1, f.Last(), f.Chain, f.Logged
	return info, nil
}

// noStream tells whether err says that the stream does not exist.
func noStream(err error) bool { return errors.Is(err, jetstream.ErrStreamNotFound) }
