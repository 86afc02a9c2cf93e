package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

var (
	// ErrFenced tells that somebody else appended to the log.
	ErrFenced = errors.New("another writer appended to the log")
	// ErrWriterClosed tells that Close was called.
	ErrWriterClosed = errors.New("writer is closed")
)

// recordOverhead is what the server's file store adds to a message with
// headers, in bytes: two lengths, sequence, time, checksum.
const recordOverhead = 34

// ackTimeout is how long an append may take; a replicated log may be choosing
// a leader.
const ackTimeout = 10 * time.Second

// WriterConfig says where to append.
type WriterConfig struct {
	Config
	// Conn, when set, is used in place of Config's URL: the embedded server's
	// WriterConn. The Writer owns it from then on, also when NewWriter fails.
	// It must not reconnect.
	Conn *nats.Conn
	// Anchor is the path of a small file that remembers the last acknowledged
	// frame, outside the log's own storage. Its folder must exist.
	Anchor string
	// Replicas is how many servers hold the stream when it is created; 0 is 1.
	Replicas int
}

// Writer is the log's single appender. Begin must be called from one
// goroutine; everything else may be called from any.
//
// One frame is in flight at a time. Two would be unsafe with two writers: the
// server checks the expected last message of each frame alone, so the second
// frame in flight would be stored behind a foreign frame that took the place
// of the first.
//
// A Writer that failed once stays failed: whether the frame in flight was
// stored is then unknown until a new Writer has read the log's end.
type Writer struct {
	link   *link
	anchor *anchor
	logger *slog.Logger
	inbox  string
	slot   chan struct{}  // holds a token while a frame is in flight
	notes  chan *nats.Msg // acks and announcements, in the server's order
	failed chan struct{}  // closed when err is set
	done   chan struct{}  // closed when the goroutine is gone

	mu      sync.Mutex
	err     error
	info    Info
	next    cursor   // where the next Begin appends
	floor   uint64   // the anchor stands here until the log reaches it
	pending *Pending // nil when nothing is in flight
}

// Pending is a frame on its way to the disk.
type Pending struct {
	frame     Frame // Payload is nil
	message   uint64
	bytes     int
	acked     bool
	announced bool
	deadline  time.Time
	done      chan struct{}
	err       error // read after done is closed
}

// Wait returns the frame's place (its Payload is nil) once it is on disk. Any
// error but ctx's means that the Writer failed; the frame may still have been
// stored. It may be called again, and from any goroutine.
func (p *Pending) Wait(ctx context.Context) (Frame, error) {
	select {
	case <-p.done:
		return p.frame, p.err
	case <-ctx.Done():
		return Frame{}, ctx.Err()
	}
}

// NewWriter connects, creates the stream when it is missing, learns its end
// and proves it: no message is missing, the last frame is sound, and the log
// still holds the frame that the anchor remembers. It returns *CorruptError
// naming the first sequence that is lost.
func NewWriter(ctx context.Context, c WriterConfig) (*Writer, error) {
	return newWriter(ctx, c, func(Checkpoint) (bool, error) { return false, nil })
}

// newWriter takes a log that does not reach its anchor when owed says that the
// rest is about to be put back.
func newWriter(ctx context.Context, c WriterConfig, owed func(anchored Checkpoint) (bool, error)) (w *Writer, err error) {
	nc := c.Conn
	if nc == nil {
		nc, err = connect(ctx, c.URL, append(c.options(), nats.NoReconnect()))
		if err != nil {
			return nil, err
		}
	}
	w = &Writer{
		logger: c.Logger,
		inbox:  nc.NewInbox() + ".",
		slot:   make(chan struct{}, 1),
		notes:  make(chan *nats.Msg, 1024),
		failed: make(chan struct{}),
		done:   make(chan struct{}),
	}
	if w.logger == nil {
		w.logger = slog.Default()
	}
	lost, lose := context.WithCancel(context.Background())
	nc.SetClosedHandler(func(*nats.Conn) { lose() })
	if nc.IsClosed() {
		lose()
	}
	if err := w.open(ctx, nc, c, lost, owed); err != nil {
		nc.Close()
		if w.anchor != nil {
			err = errors.Join(err, w.anchor.close())
		}
		return nil, err
	}
	go w.run(lost)
	return w, nil
}

func (w *Writer) open(ctx context.Context, nc *nats.Conn, c WriterConfig, lost context.Context, owed func(Checkpoint) (bool, error)) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("eventlog: open writer: %w", err)
	}
	w.link = &link{nc: nc, prefix: plainPrefix, js: js, down: func() context.Context { return lost }}

	var anchored Checkpoint
	var found bool
	w.anchor, anchored, found, err = openAnchor(c.Anchor)
	if err != nil {
		return err
	}
	if rest, err := owed(anchored); err != nil {
		return err
	} else if rest {
		w.floor, anchored = anchored.Sequence, Checkpoint{}
	}
	si, err := w.link.stream(ctx)
	switch {
	case noStream(err) && anchored.Sequence > 0:
		return corrupt(1, fmt.Sprintf("the stream is gone, but sequence %d was acknowledged", anchored.Sequence))
	case noStream(err):
		if si, err = w.create(ctx, c.Replicas); err != nil {
			return err
		}
	case err != nil:
		return err
	}
	if err := checkStream(si.Config); err != nil {
		return fmt.Errorf("eventlog: open writer: %w", err)
	}
	if s := si.State; s.LastSeq > 0 && (s.FirstSeq != 1 || s.Msgs != s.LastSeq) {
		return w.findGap(ctx, s)
	}
	if _, _, err := w.link.seek(ctx, anchored, si.State.LastSeq); err != nil {
		return err
	}
	w.info, err = w.link.info(ctx, si)
	if err != nil {
		return err
	}
	if !found && w.info.Last > 0 {
		w.logger.Warn("no anchor beside a log that has events: taking its end as it is; a log cut short before now goes unnoticed here",
			"anchor", c.Anchor, "sequence", w.info.Last)
	}
	end := Checkpoint{Sequence: w.info.Last, Chain: w.info.Chain}
	if _, _, err := w.link.seek(ctx, end, si.State.LastSeq); err != nil {
		return err
	}
	if err := w.remember(end); err != nil {
		return err
	}
	w.next = cursor{message: si.State.LastSeq + 1, first: end.Sequence + 1, chain: end.Chain}
	for _, subject := range []string{w.inbox + "*", HeadSubject} {
		if _, err := nc.ChanSubscribe(subject, w.notes); err != nil {
			return fmt.Errorf("eventlog: subscribe to %s: %w", subject, err)
		}
	}
	return nil
}

func (w *Writer) create(ctx context.Context, replicas int) (*jetstream.StreamInfo, error) {
	ctx, cancel := w.link.bounded(ctx)
	defer cancel()
	s, err := w.link.js.CreateStream(ctx, streamConfig(max(replicas, 1)))
	if err != nil {
		return nil, w.link.failed(ctx, "create the stream", err)
	}
	return s.CachedInfo(), nil
}

// findGap walks the log to name the first sequence that is missing.
func (w *Writer) findGap(ctx context.Context, s jetstream.StreamState) error {
	r, err := w.link.read(ctx, Checkpoint{}, ReadOptions{})
	if err != nil {
		return err
	}
	for err == nil {
		_, err = r.Next(ctx)
	}
	if errors.As(err, new(*CorruptError)) || ctx.Err() != nil {
		return errors.Join(err, r.Close())
	}
	return errors.Join(corrupt(1, fmt.Sprintf("messages %d to %d count %d", s.FirstSeq, s.LastSeq, s.Msgs)), r.Close())
}

// MaxPayload is how many bytes the payload of one frame may have.
func (w *Writer) MaxPayload() int { return int(w.link.nc.MaxPayload()) - headerReserve }

// Info describes the log up to the last acknowledged frame.
func (w *Writer) Info() Info {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.info
}

// Failed is closed when the Writer failed or was closed.
func (w *Writer) Failed() <-chan struct{} { return w.failed }

// Err is why the Writer failed; nil while it works.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Begin sends one frame of count events, one a line, each line ended by '\n'.
// It blocks while another frame is in flight. The payload may be used again
// when Begin returns. An error before sending (a wrong count, a payload above
// MaxPayload) leaves the Writer as it was; all others are its failure.
func (w *Writer) Begin(payload []byte, count int) (*Pending, error) {
	return w.begin(payload, count, time.Time{})
}

// begin is Begin for a frame that was logged before; the zero time is now.
func (w *Writer) begin(payload []byte, count int, logged time.Time) (*Pending, error) {
	if err := checkPayload(payload, count); err != nil {
		return nil, fmt.Errorf("eventlog: append: %w", err)
	}
	if len(payload) > w.MaxPayload() {
		return nil, fmt.Errorf("eventlog: append: %d bytes, the server takes at most %d", len(payload), w.MaxPayload())
	}
	select {
	case w.slot <- struct{}{}:
	case <-w.failed:
		return nil, w.Err()
	}
	p, msg, err := w.enqueue(payload, count, logged)
	if err != nil {
		return nil, err
	}
	if err := w.link.nc.PublishMsg(msg); err != nil {
		w.fail(fmt.Errorf("eventlog: append sequence %d: %w", p.frame.First, err))
		return nil, w.Err()
	}
	return p, nil
}

// enqueue numbers and chains the frame before it is sent, so that its ack
// finds it.
func (w *Writer) enqueue(payload []byte, count int, logged time.Time) (*Pending, *nats.Msg, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return nil, nil, w.err
	}
	f := Frame{First: w.next.first, Count: count, Chain: w.next.chain.Next(w.next.first, payload)}
	p := &Pending{
		frame:    f,
		message:  w.next.message,
		deadline: time.Now().Add(ackTimeout),
		done:     make(chan struct{}),
	}
	header := encodeHeader(f)
	if !logged.IsZero() {
		header.Set(headerLogged, logged.UTC().Format(time.RFC3339Nano))
	}
	header.Set(jetstream.ExpectedStreamHeader, StreamName)
	header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatUint(p.message-1, 10))
	w.next = cursor{message: p.message + 1, first: f.Last() + 1, chain: f.Chain}
	w.pending = p
	msg := &nats.Msg{Subject: Subject, Header: header, Data: payload}
	p.bytes = msg.Size() + recordOverhead
	msg.Reply = w.inbox + strconv.FormatUint(p.message, 10)
	return p, msg, nil
}

// Close waits for the frame in flight, up to ctx, and ends the connection.
func (w *Writer) Close(ctx context.Context) error {
	w.mu.Lock()
	p := w.pending
	w.mu.Unlock()
	if p != nil {
		_, _ = p.Wait(ctx) // its own waiter gets the error
	}
	w.fail(ErrWriterClosed)
	<-w.done
	return w.anchor.close()
}

// fail makes err the Writer's final state; the first one wins.
func (w *Writer) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return
	}
	w.err = err
	if w.pending != nil {
		w.pending.err = err
		close(w.pending.done)
		w.pending = nil
	}
	close(w.failed)
}

// run takes acks and announcements until the Writer fails.
func (w *Writer) run(lost context.Context) {
	defer close(w.done)
	defer w.link.nc.Close()
	tick := time.NewTicker(ackTimeout / 10)
	defer tick.Stop()
	for {
		select {
		case msg := <-w.notes:
			if err := w.note(msg); err != nil {
				w.fail(err)
			}
		case now := <-tick.C:
			w.expire(now)
		case <-lost.Done():
			w.fail(fmt.Errorf("eventlog: append: %w: connection lost", ErrUnreachable))
		case <-w.failed:
			return
		}
	}
}

// expire fails the Writer when the frame in flight waits too long.
func (w *Writer) expire(now time.Time) {
	w.mu.Lock()
	late := w.pending != nil && now.After(w.pending.deadline)
	w.mu.Unlock()
	if late {
		w.fail(fmt.Errorf("eventlog: append: %w: no answer within %s", ErrUnreachable, ackTimeout))
	}
}

// note takes in one ack or announcement.
func (w *Writer) note(msg *nats.Msg) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	p := w.pending
	if p == nil {
		return nil
	}
	if msg.Subject == HeadSubject {
		p.hear(msg.Header)
		return w.settle()
	}
	var ack struct {
		jetstream.PubAck
		Error *jetstream.APIError `json:"error"`
	}
	if status := msg.Header.Get("Status"); status != "" {
		return fmt.Errorf("eventlog: append sequence %d: %w: status %s", p.frame.First, ErrUnreachable, status)
	}
	if err := json.Unmarshal(msg.Data, &ack); err != nil {
		return fmt.Errorf("eventlog: append sequence %d: read the ack: %w", p.frame.First, err)
	}
	if ack.Error != nil {
		err := error(ack.Error)
		if ack.Error.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			err = fmt.Errorf("%w: %w", ErrFenced, err)
		}
		return fmt.Errorf("eventlog: append sequence %d: %w", p.frame.First, err)
	}
	if ack.Stream != StreamName || ack.Sequence != p.message || ack.Duplicate {
		return fmt.Errorf("eventlog: append sequence %d: %w: stored as message %d of %s", p.frame.First, ErrFenced, ack.Sequence, ack.Stream)
	}
	p.acked = true
	return w.settle()
}

// hear learns from the stream's announcement when the frame was stored. Others
// may be heard too: on an outside server anybody may publish there.
func (p *Pending) hear(h nats.Header) {
	f, err := decodeFrame(h, nil)
	if err == nil && f.Chain == p.frame.Chain && h.Get(jetstream.SequenceHeader) == strconv.FormatUint(p.message, 10) {
		p.frame.Logged, p.announced = f.Logged, true
	}
}

// settle completes the frame once it is acked and announced.
func (w *Writer) settle() error {
	p := w.pending
	if !p.acked || !p.announced {
		return nil
	}
	if err := w.remember(Checkpoint{Sequence: p.frame.Last(), Chain: p.frame.Chain}); err != nil {
		return err
	}
	w.info.First, w.info.Last, w.info.Chain, w.info.Logged = 1, p.frame.Last(), p.frame.Chain, p.frame.Logged
	w.info.Bytes += uint64(p.bytes)
	w.pending = nil
	close(p.done)
	<-w.slot
	return nil
}
