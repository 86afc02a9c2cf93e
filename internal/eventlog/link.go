package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrUnreachable tells that the log could not be asked: no server, no answer
// in time, or no log there yet. It may be transient.
var ErrUnreachable = errors.New("log cannot be reached")

// answerTimeout is how long a server may stay silent. It is generous: a
// loaded disk can hold up an answer for seconds.
const answerTimeout = 10 * time.Second

const (
	batchFrames = 512
	// batchBytes bounds one answer. While the server loads it, appends wait,
	// so it is small.
	batchBytes = 2 << 20
)

// link asks one NATS server about the stream. Its methods are safe for
// concurrent use.
type link struct {
	nc     *nats.Conn
	prefix string // in place of $JS.API
	js     jetstream.JetStream
	// down yields a context that ends when the connection is lost, so that
	// nobody waits for an answer that cannot come.
	down func() context.Context
}

// message is one stored message and its place in the stream.
type message struct {
	seq   uint64
	frame Frame
	err   error // the headers make no frame
}

// newLink finds out which API prefix the server wants: the embedded
// server's default account has only ReadPrefix, any other only the plain one.
func newLink(ctx context.Context, nc *nats.Conn, down func() context.Context) (*link, error) {
	for _, prefix := range []string{ReadPrefix, plainPrefix} {
		js, err := jetstream.NewWithAPIPrefix(nc, prefix)
		if err != nil {
			return nil, fmt.Errorf("eventlog: api prefix %q: %w", prefix, err)
		}
		l := &link{nc: nc, prefix: prefix, js: js, down: down}
		_, err = l.stream(ctx)
		if errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
			errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			continue
		}
		if err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil, err
		}
		return l, nil
	}
	return nil, fmt.Errorf("%w: %s has no JetStream for this user", ErrUnreachable, nc.ConnectedUrlRedacted())
}

// stream asks for the stream's state and configuration.
func (l *link) stream(ctx context.Context) (*jetstream.StreamInfo, error) {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	s, err := l.js.Stream(ctx, StreamName)
	if err != nil {
		return nil, l.failed(ctx, "ask for the stream's state", err)
	}
	return s.CachedInfo(), nil
}

// fetch reads the messages seq, seq+1, … as far as one answer of at most max
// messages goes. It returns a run without gaps, which is empty when seq does
// not exist (yet, or any more). pending is how many follow the run at least.
func (l *link) fetch(ctx context.Context, seq uint64, maxFrames int) (run []message, pending uint64, err error) {
	ctx, cancel := l.bounded(ctx)
	defer cancel()
	request, err := json.Marshal(struct {
		Seq      uint64 `json:"seq"`
		Batch    int    `json:"batch"`
		MaxBytes int    `json:"max_bytes"`
	}{seq, maxFrames, batchBytes})
	if err != nil {
		return nil, 0, fmt.Errorf("eventlog: encode a request: %w", err)
	}
	// An inbox of its own: dropping it also drops what the server keeps to
	// route the answers back between accounts.
	inbox := l.nc.NewInbox()
	sub, err := l.nc.SubscribeSync(inbox)
	if err != nil {
		return nil, 0, l.failed(ctx, "subscribe to an answer", err)
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is gone
	if err := l.nc.PublishRequest(l.prefix+".DIRECT.GET."+StreamName, inbox, request); err != nil {
		return nil, 0, l.failed(ctx, "request frames", err)
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, 0, l.failed(ctx, fmt.Sprintf("read message %d", seq+uint64(len(run))), err)
		}
		switch status := msg.Header.Get("Status"); status {
		case "":
		case "204": // end of the batch
			return run, pending, nil
		case "404":
			return run, 0, nil
		case "503":
			return nil, 0, l.failed(ctx, "request frames", nats.ErrNoResponders)
		default:
			return nil, 0, l.failed(ctx, "request frames", fmt.Errorf("status %s %s", status, msg.Header.Get("Description")))
		}
		at, err := strconv.ParseUint(msg.Header.Get(jetstream.SequenceHeader), 10, 64)
		if err != nil {
			return nil, 0, l.failed(ctx, "read a message's number", err)
		}
		if at != seq+uint64(len(run)) {
			return run, 1, nil
		}
		pending, err = strconv.ParseUint(msg.Header.Get("Nats-Num-Pending"), 10, 64)
		if err != nil {
			return nil, 0, l.failed(ctx, "read the number of messages pending", err)
		}
		m := message{seq: at}
		m.frame, m.err = decodeFrame(msg.Header, msg.Data)
		run = append(run, m)
	}
}

// bounded limits a request to answerTimeout and to the connection's life.
func (l *link) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeoutCause(ctx, answerTimeout, context.DeadlineExceeded)
	stop := context.AfterFunc(l.down(), cancel)
	return ctx, func() { stop(); cancel() }
}

// failed wraps what NATS said as ErrUnreachable.
func (l *link) failed(ctx context.Context, op string, err error) error {
	if l.down().Err() != nil {
		err = nats.ErrDisconnected
	} else if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("eventlog: %s: %w: %w", op, ErrUnreachable, err)
}
