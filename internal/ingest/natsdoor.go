package ingest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
)

const (
	// Subject is where the NATS door takes requests.
	Subject = eventlog.IngestSubject
	// AtomicHeader "true" and PolicyHeader ask for what atomic and
	// session_policy ask for over HTTP.
	AtomicHeader = "Tapedeck-Atomic"
	PolicyHeader = "Tapedeck-Session-Policy"

	doorQueue = "ingest"
)

// natsDoor takes requests over NATS: the same bodies and answers as over HTTP,
// its kind in the Content-Type header.
type natsDoor struct {
	desk   *desk
	conn   *nats.Conn
	sub    *nats.Subscription
	ended  chan struct{} // closed when no more messages come
	atWork sync.WaitGroup
}

// openNATSDoor subscribes. It owns the connection from then on.
func openNATSDoor(d *desk, conn *nats.Conn) (*natsDoor, error) {
	n := &natsDoor{desk: d, conn: conn, ended: make(chan struct{})}
	var err error
	n.sub, err = conn.QueueSubscribe(Subject, doorQueue, n.receive)
	if err == nil {
		n.sub.SetClosedHandler(func(string) { close(n.ended) })
		err = errors.Join(n.sub.SetPendingLimits(deskRequests, deskBytes), conn.Flush())
	}
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("ingest: subscribe to %s: %w", Subject, err)
	}
	return n, nil
}

// receive runs in the subscription's one goroutine, so it only lets messages
// in or turns them away.
func (n *natsDoor) receive(m *nats.Msg) {
	size := int64(len(m.Data))
	if err := n.desk.enter(size); err != nil {
		n.respond(m, answerError(err))
		return
	}
	n.atWork.Go(func() {
		defer n.desk.leave(size)
		space := workspaces.Get().(*workspace)
		n.respond(m, n.handle(space, m))
		space.release()
	})
}

func (n *natsDoor) handle(space *workspace, m *nats.Msg) answer {
	if len(m.Data) > MaxBody {
		return answerError(tooLarge(fmt.Sprintf("a request has at most %d bytes", MaxBody)))
	}
	f, err := formOf(m.Header.Get("Content-Type"))
	if err != nil {
		return answerError(err)
	}
	o, err := n.desk.options(m.Header.Get(AtomicHeader), m.Header.Get(PolicyHeader))
	if err != nil {
		return answerError(err)
	}
	return n.desk.handle(space, m.Data, f, o)
}

func (n *natsDoor) respond(m *nats.Msg, a answer) {
	n.desk.count("nats", a.status)
	if m.Reply == "" || strings.HasPrefix(m.Reply, embedded.FeedPrefix) {
		return // the sender does not want to know, or wants others to believe it
	}
	reply := nats.NewMsg(m.Reply)
	reply.Header.Set("Content-Type", a.mediaType())
	if a.retry() {
		reply.Header.Set("Retry-After", retryAfter)
	}
	reply.Data = a.body
	if err := n.conn.PublishMsg(reply); err != nil {
		n.desk.logger.Warn("cannot answer over NATS", "error", err)
	}
}

// close takes no more, answers what was taken, and closes the connection.
func (n *natsDoor) close(patience time.Duration) error {
	defer n.conn.Close()
	late := time.After(patience)
	if err := n.sub.Drain(); err != nil {
		return fmt.Errorf("ingest: close the NATS door: %w", err)
	}
	answered := make(chan struct{})
	go func() {
		<-n.ended
		n.atWork.Wait()
		close(answered)
	}()
	select {
	case <-answered:
	case <-late:
		return fmt.Errorf("ingest: close the NATS door: requests unanswered after %s", patience)
	}
	if err := n.conn.FlushTimeout(time.Second); err != nil {
		return fmt.Errorf("ingest: close the NATS door: %w", err)
	}
	return nil
}
