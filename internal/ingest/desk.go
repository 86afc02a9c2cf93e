package ingest

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
	"github.com/seed-744e3d1b/tapedeck/internal/phase"
	"github.com/seed-744e3d1b/tapedeck/internal/watch"
)

const (
	// deskRequests and deskBytes bound what is being worked on at a time.
	deskRequests = 4096
	deskBytes    = 256 << 20
	// keptBytes is the largest buffer kept for the next request.
	keptBytes = 1 << 20
)

// desk is what both doors share: it lets a bounded number of requests in,
// parses them, has them committed, and words the answer.
type desk struct {
	committer *committer
	metrics   *metrics
	logger    *slog.Logger
	policy    calendar.Policy
	window    calendar.Window
	watcher   atomic.Pointer[watch.Watcher] // nil without watched folders
	phases    *phase.Store
	watching  WatchConfig

	requests, bytes atomic.Int64
}

// workspace is what a request needs while it is worked on.
type workspace struct {
	body    bytes.Buffer
	request request
	answer  []byte
}

var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// release keeps a workspace for another request. Nothing may point into it.
func (w *workspace) release() {
	if w.body.Cap() > keptBytes || cap(w.request.lines) > keptBytes || cap(w.answer) > keptBytes {
		return
	}
	clear(w.request.items)
	w.request = request{items: w.request.items[:0], lines: w.request.lines[:0]}
	w.body.Reset()
	w.answer = w.answer[:0]
	workspaces.Put(w)
}

// enter asks to work on a request of so many bytes. Whoever got in must leave.
func (d *desk) enter(size int64) error {
	requests, bytes := d.requests.Add(1), d.bytes.Add(size)
	if requests > deskRequests || bytes > deskBytes {
		d.leave(size)
		return errBusy
	}
	return nil
}

func (d *desk) leave(size int64) {
	d.requests.Add(-1)
	d.bytes.Add(-size)
}

// handle answers one request once its events are on disk. A panic becomes an
// answer: no request may end ingest. The answer may lie in w.
func (d *desk) handle(w *workspace, body []byte, f form, o options) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			d.logger.Error("panic in a request", "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			a = answerError(errPanic)
		}
	}()
	r := &w.request
	o.window = d.window
	if err := parse(r, body, f, o); err != nil {
		return answerError(err)
	}
	invalid := 0
	for i := range r.items {
		if r.items[i].invalid != nil {
			invalid++
		}
	}
	if invalid > 0 {
		d.metrics.rejected.WithLabelValues("invalid").Add(float64(invalid))
	}
	if invalid == len(r.items) || invalid > 0 && r.atomic {
		return answerRejected(r)
	}
	if err := d.committer.submit(r); err != nil {
		return answerError(err)
	}
	<-r.done
	a = answerRequest(r, w.answer)
	if a.status == http.StatusOK {
		w.answer = a.body // the grown buffer
	}
	return a
}

// count counts an answered request.
func (d *desk) count(door string, status int) {
	d.metrics.requests.WithLabelValues(door, strconv.Itoa(status)).Inc()
}

// options reads what a request asks for from its parameters.
func (d *desk) options(atomic, policy string) (options, error) {
	o := options{policy: d.policy}
	switch atomic {
	case "", "false":
	case "true":
		o.atomic = true
	default:
		return o, badRequest("atomic must be true or false")
	}
	if policy != "" {
		if err := o.policy.UnmarshalText([]byte(policy)); err != nil {
			return o, badRequest(err.Error())
		}
	}
	return o, nil
}
