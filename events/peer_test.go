package events_test

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// peer speaks ingest's protocol: it numbers events, knows their ids, and
// fails as it is told to. It outlives the restarts of its server.
type peer struct {
	t *testing.T

	mu       sync.Mutex
	log      []*events.Event
	known    map[string]uint64
	requests int
	// faults is asked before each request; nil means none.
	faults func(request int) fault
	// refuse tells the rule that an event breaks against the state.
	refuse func(*events.Event) *events.InvalidError
}

type fault int

const (
	none       fault = iota
	loseAnswer       // append, then cut the connection
	loseAsk          // cut the connection before anything is done
	cutAnswer        // append, then send half an answer
	busy             // 429 with Retry-After: 0
	down             // 503
)

func newPeer(t *testing.T) *peer { return &peer{t: t, known: make(map[string]uint64)} }

func (p *peer) serve() *httptest.Server {
	s := httptest.NewServer(p)
	p.t.Cleanup(s.Close)
	return s
}

// restart gives a new server on the address of a closed one.
func (p *peer) restart(closed *httptest.Server) *httptest.Server {
	l, err := net.Listen("tcp", closed.Listener.Addr().String())
	require.NoError(p.t, err)
	s := httptest.NewUnstartedServer(p)
	require.NoError(p.t, s.Listener.Close())
	s.Listener = l
	s.Start()
	p.t.Cleanup(s.Close)
	return s
}

func (p *peer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.requests++
	var f fault
	if p.faults != nil {
		f = p.faults(p.requests)
	}
	switch f {
	case loseAsk:
		panic(http.ErrAbortHandler)
	case busy:
		w.Header().Set("Retry-After", "0")
		p.answer(w, http.StatusTooManyRequests, events.Problem{Title: "busy", Status: http.StatusTooManyRequests})
		return
	case down:
		http.Error(w, "the log is away", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path != "/v1/events" || r.Header.Get("Content-Type") != "application/x-ndjson" {
		p.answer(w, http.StatusUnsupportedMediaType, events.Problem{Title: "unknown media type"})
		return
	}
	status, answer := p.take(r.Body, r.URL.Query().Get("atomic") == "true")
	switch f {
	case loseAnswer:
		panic(http.ErrAbortHandler)
	case cutAnswer:
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, `[{"id":`)
		panic(http.ErrAbortHandler)
	}
	p.answer(w, status, answer)
}

func (p *peer) answer(w http.ResponseWriter, status int, v any) {
	w.WriteHeader(status)
	_ = json.MarshalWrite(w, v)
}

func (p *peer) take(body io.Reader, atomic bool) (status int, answer any) {
	var batch []*events.Event
	problem := events.Problem{Type: "about:blank", Title: "rejected", Status: http.StatusUnprocessableEntity}
	lines := bufio.NewScanner(body)
	lines.Buffer(nil, 4<<20)
	for i := 0; lines.Scan(); i++ {
		e, err := events.Decode(lines.Bytes())
		if err != nil {
			return http.StatusBadRequest, events.Problem{Title: "bad", Detail: err.Error()}
		}
		batch = append(batch, e)
		if p.refuse != nil {
			if bad := p.refuse(e); bad != nil {
				problem.Errors = append(problem.Errors, events.ProblemError{Index: i, Field: bad.Field, Rule: bad.Rule, Value: bad.Value})
			}
		}
	}
	if atomic && len(problem.Errors) > 0 {
		return problem.Status, problem
	}
	receipts := []events.Receipt{}
	next := problem.Errors
	for i, e := range batch {
		if len(next) > 0 && next[0].Index == i {
			problem.Results = append(problem.Results, events.Result{Index: i, Error: &next[0]})
			next = next[1:]
			continue
		}
		seq, duplicate := p.known[e.ID]
		if !duplicate {
			p.log = append(p.log, e)
			seq = uint64(len(p.log))
			p.known[e.ID] = seq
		}
		receipt := events.Receipt{ID: e.ID, Sequence: seq, Duplicate: duplicate}
		receipts = append(receipts, receipt)
		problem.Results = append(problem.Results, events.Result{Index: i, Receipt: &receipt})
	}
	if len(problem.Errors) > 0 {
		return problem.Status, problem
	}
	return http.StatusOK, receipts
}

// days are the held days of the events on the log, in log order.
func (p *peer) days() []int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	var days []int64
	for _, e := range p.log {
		days = append(days, e.Data.(*events.PositionHeldDaysSet).HeldDays)
	}
	return days
}
