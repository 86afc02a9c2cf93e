package ingest

import (
	"bytes"
	"log/slog"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
)

const (
	// SequenceHeader is the event's sequence on a message of the live feed.
	SequenceHeader = "Tapedeck-Sequence"

	// feedFrames is how many frames may wait for the live feed; later ones are
	// dropped.
	feedFrames = 64
)

// The choices of Config.LiveFeed. FeedAuto publishes when somebody listens,
// which only the embedded server can tell; with an outside NATS it is FeedOff.
const (
	FeedAuto = "auto"
	FeedOn   = "on"
	FeedOff  = "off"
)

// openFeed starts the live feed, if there is to be one.
func (s *Service) openFeed(m *metrics) error {
	listened := func() bool { return true }
	if s.server != nil && s.config.LiveFeed != FeedOn {
		listened = s.server.FeedListened
	}
	if s.config.LiveFeed == FeedOff || s.server == nil && s.config.LiveFeed != FeedOn {
		return nil
	}
	connect := s.doorConn
	if s.server != nil {
		connect = s.server.FeedConn
	}
	conn, err := connect()
	if err != nil {
		return err
	}
	s.committer.feed = startFeed(conn, listened, m, s.config.Logger)
	return nil
}

// feed publishes events on core NATS once they are on disk, for whoever
// listens: in log order, best effort. It never holds up a commit.
type feed struct {
	conn *nats.Conn
	// listened tells whether anybody listens.
	listened func() bool
	frames   chan feedFrame
	ended    chan struct{}
	metrics  *metrics
	logger   *slog.Logger
}

// feedFrame is a stored frame on its way to the feed.
type feedFrame struct {
	first   uint64
	count   int
	payload []byte
}

// startFeed owns the connection from then on.
func startFeed(conn *nats.Conn, listened func() bool, m *metrics, logger *slog.Logger) *feed {
	f := &feed{
		conn: conn, listened: listened, metrics: m, logger: logger,
		frames: make(chan feedFrame, feedFrames), ended: make(chan struct{}),
	}
	go f.run()
	return f
}

// copyOf is what the feed will need of a frame's payload; nil when nobody
// listens.
func (f *feed) copyOf(payload []byte) []byte {
	if f == nil || !f.listened() {
		return nil
	}
	return bytes.Clone(payload)
}

// offer hands on a stored frame, or drops it when too many wait.
func (f *feed) offer(frame feedFrame) {
	if frame.payload == nil {
		return
	}
	select {
	case f.frames <- frame:
	default:
		f.metrics.feedDropped.Add(float64(frame.count))
	}
}

func (f *feed) run() {
	defer close(f.ended)
	for frame := range f.frames {
		sequence := frame.first
		for line := range bytes.Lines(frame.payload) {
			f.publish(sequence, bytes.TrimSuffix(line, []byte("\n")))
			sequence++
		}
	}
}

func (f *feed) publish(sequence uint64, line []byte) {
	e, err := events.DecodeStored(line)
	if err == nil {
		m := nats.NewMsg(feedSubject(e.Data))
		m.Header.Set(SequenceHeader, strconv.FormatUint(sequence, 10))
		m.Data = line
		err = f.conn.PublishMsg(m)
	}
	if err != nil {
		f.metrics.feedDropped.Inc()
		f.logger.Warn("cannot publish on the live feed", "sequence", sequence, "error", err)
		return
	}
	f.metrics.feedPublished.Inc()
}

// close publishes what waits and closes the connection. Nothing may be offered
// any more.
func (f *feed) close() {
	if f == nil {
		return
	}
	close(f.frames)
	<-f.ended
	f.conn.Close() // flushes
}

// feedSubject is events.v1.<kind>.<key…>: the kind is the type's first word,
// the key what the event is about; a stock's is its market and its number. All
// of these are letters, digits, '_' and '-' by the contract.
func feedSubject(d events.Data) string {
	kind, _, _ := strings.Cut(string(d.Type()), ".")
	about, key, _ := strings.Cut(d.Subject(), "/")
	switch bound := d.(type) {
	case *events.StrategyBound:
		key = bound.StrategyCode
	case *events.BindingChanged:
		key = bound.StrategyCode
	case *events.StrategyUnbound:
		key = bound.StrategyCode
	}
	if about == "stock" {
		number, market, _ := strings.Cut(key, ".")
		key = market + "." + number
	}
	return embedded.FeedPrefix + kind + "." + key
}
