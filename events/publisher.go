package events

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
)

const (
	// MaxBatch is the largest number of events in one request, as in a frame.
	MaxBatch = 1000
	// batchBytes closes a batch before it grows beyond this.
	batchBytes = 1 << 20
	// answerBytes bounds what is read of an answer.
	answerBytes = 16 << 20
)

// Publisher sends events to ingest over HTTP. An event's id is fixed before
// the first try and kept through all retries, so that a lost answer never
// doubles an event. Network errors and "busy" answers (429, 5xx) are retried
// with exponential backoff and jitter, honouring Retry-After, until the context
// ends.
//
// All methods may be called from several goroutines. Close must be called.
type Publisher struct {
	endpoint   string
	client     *http.Client
	policy     string
	minBackoff time.Duration
	maxBackoff time.Duration
	async
}

// Option changes a Publisher's settings.
type Option func(*Publisher)

// WithHTTPClient sends through c, whose Timeout bounds one try. The default
// has 30 seconds and keeps as many connections as there are concurrent calls.
func WithHTTPClient(c *http.Client) Option { return func(p *Publisher) { p.client = c } }

// WithQueue bounds how many events PublishAsync lets wait; the default is
// 10,000.
func WithQueue(events int) Option {
	return func(p *Publisher) { p.queue = make(chan *Ack, max(events, 1)) }
}

// WithBackoff sets the pause after the first failed try and the longest one;
// the default is 50 ms to 5 s.
func WithBackoff(first, longest time.Duration) Option {
	return func(p *Publisher) { p.minBackoff, p.maxBackoff = first, longest }
}

// WithSessionPolicy asks ingest to hold trades against the trading session by
// another policy than its own: off, flag or enforce. Imports of history flag.
func WithSessionPolicy(policy string) Option { return func(p *Publisher) { p.policy = policy } }

// NewPublisher makes a publisher for the ingest at a base URL such as
// http://127.0.0.1:8080. Nothing is sent yet.
func NewPublisher(ingest string, opts ...Option) (*Publisher, error) {
	u, err := url.Parse(ingest)
	if err != nil {
		return nil, fmt.Errorf("events: publisher: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, fmt.Errorf("events: publisher: %q must be a URL such as http://127.0.0.1:8080", u.Redacted())
	}
	p := &Publisher{
		endpoint:   u.JoinPath("/v1/events").String(),
		client:     newClient(),
		minBackoff: 50 * time.Millisecond,
		maxBackoff: 5 * time.Second,
	}
	WithQueue(10_000)(p)
	for _, opt := range opts {
		opt(p)
	}
	p.start(p)
	return p, nil
}

func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = t.MaxIdleConns
	return &http.Client{Transport: t, Timeout: 30 * time.Second}
}

// RejectedError tells that one event was not accepted and left no trace.
type RejectedError struct {
	// Index is the event's place in the batch, from 0.
	Index int
	ID    string
	// Err is an *InvalidError when the event broke a rule, and a *Problem when
	// the request as a whole was refused.
	Err error
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("events: event %d (id %q) rejected: %v", e.Index, e.ID, e.Err)
}

// Unwrap gives the *InvalidError or *Problem.
func (e *RejectedError) Unwrap() error { return e.Err }

// Publish validates e, sends it and waits for ingest's receipt: then e is on
// disk. It gives e an id if it has none. An *InvalidError or *RejectedError
// means that e left no trace; after any other error its fate is unknown, and
// publishing the same e again is safe.
func (p *Publisher) Publish(ctx context.Context, e *Event) (Receipt, error) {
	receipts, err := p.PublishBatch(ctx, []*Event{e}, false)
	if len(receipts) == 0 {
		return Receipt{}, err
	}
	return receipts[0], err
}

// PublishBatch sends events in order, in as many requests as they need, and
// waits for all receipts; receipts[i] belongs to batch[i]. A rejected event
// has a zero Receipt and its *RejectedError is joined into the error.
//
// An atomic batch is one request of at most MaxBatch events that is appended
// as a whole or not at all; when it is not, no receipts are returned.
func (p *Publisher) PublishBatch(ctx context.Context, batch []*Event, atomic bool) ([]Receipt, error) {
	if atomic && len(batch) > MaxBatch {
		return nil, fmt.Errorf("events: publish: an atomic batch has at most %d events, got %d", MaxBatch, len(batch))
	}
	var (
		receipts = make([]Receipt, len(batch))
		faults   []error
		req      request
	)
	send := func() error {
		if len(req.ids) == 0 {
			return nil
		}
		fates, err := p.send(ctx, &req, atomic)
		for i, fate := range fates {
			at := req.places[i]
			if fate.err != nil {
				faults = append(faults, &RejectedError{Index: at, ID: req.ids[i], Err: fate.err})
				continue
			}
			receipts[at] = fate.receipt
		}
		req = request{}
		return err
	}
	for i, e := range batch {
		line, err := encodeValid(e)
		if err != nil {
			faults = append(faults, &RejectedError{Index: i, ID: e.ID, Err: err})
			continue
		}
		if !atomic && req.full(line) {
			if err := send(); err != nil {
				return receipts, errors.Join(append(faults, err)...)
			}
		}
		req.add(i, e.ID, line)
	}
	if atomic && len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if err := send(); err != nil {
		return receipts, errors.Join(append(faults, err)...)
	}
	if atomic && len(faults) > 0 {
		receipts = nil
	}
	return receipts, errors.Join(faults...)
}

func encodeValid(e *Event) ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	return e.AppendJSON(nil)
}

// request is the events of one HTTP request.
type request struct {
	body   []byte // ndjson
	ids    []string
	places []int // of the events in the caller's batch
}

func (r *request) full(next []byte) bool {
	return len(r.ids) == MaxBatch || len(r.ids) > 0 && len(r.body)+len(next) > batchBytes
}

func (r *request) add(place int, id string, line []byte) {
	r.body = append(append(r.body, line...), '\n')
	r.ids = append(r.ids, id)
	r.places = append(r.places, place)
}

// fate is what became of one event: a receipt, or why it was refused.
type fate struct {
	receipt Receipt
	err     error
}

// busyError is a failed try that is worth another one.
type busyError struct {
	err   error
	after time.Duration // what the server asked for
}

func (e *busyError) Error() string { return e.err.Error() }
func (e *busyError) Unwrap() error { return e.err }

// send repeats one request until it is answered or ctx ends. An error means
// that the fate of the events is unknown.
func (p *Publisher) send(ctx context.Context, r *request, atomic bool) ([]fate, error) {
	for try := 0; ; try++ {
		fates, err := p.try(ctx, r, atomic)
		var busy *busyError
		if !errors.As(err, &busy) {
			return fates, err
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("events: publish: %w after %d tries, the last: %w", ctx.Err(), try+1, busy.err)
		case <-time.After(max(busy.after, p.backoff(try))):
		}
	}
}

// backoff doubles with every try and is spread over its upper half, so that
// publishers do not come back all at once.
func (p *Publisher) backoff(try int) time.Duration {
	d := p.maxBackoff
	if try < 20 {
		d = min(d, p.minBackoff<<try)
	}
	return d/2 + rand.N(d/2+1)
}

func (p *Publisher) try(ctx context.Context, r *request, atomic bool) ([]fate, error) {
	query := make(url.Values)
	if atomic {
		query.Set("atomic", "true")
	}
	if p.policy != "" {
		query.Set("session_policy", p.policy)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.endpoint+"?"+query.Encode(), bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("events: publish: %w", err)
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, &busyError{err: err}
	}
	defer resp.Body.Close() //nolint:errcheck // the answer has been read or will be asked for again
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerBytes))
	if err != nil {
		return nil, &busyError{err: fmt.Errorf("reading the answer: %w", err)}
	}
	switch {
	case resp.StatusCode == http.StatusOK:
		return r.accepted(body)
	case resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500:
		return nil, &busyError{err: problemOf(resp.StatusCode, body), after: retryAfter(resp.Header)}
	default:
		return r.refused(problemOf(resp.StatusCode, body), atomic), nil
	}
}

func (r *request) accepted(body []byte) ([]fate, error) {
	var receipts []Receipt
	if err := json.Unmarshal(body, &receipts); err != nil {
		return nil, &busyError{err: fmt.Errorf("an answer that is no receipt: %w", err)}
	}
	if len(receipts) != len(r.ids) {
		return nil, fmt.Errorf("events: publish: %d events were answered with %d receipts", len(r.ids), len(receipts))
	}
	fates := make([]fate, len(receipts))
	for i := range receipts {
		if receipts[i].ID != r.ids[i] {
			return nil, fmt.Errorf("events: publish: event %q was answered with the receipt of %q", r.ids[i], receipts[i].ID)
		}
		fates[i].receipt = receipts[i]
	}
	return fates, nil
}

// refused reads the events' fates from a problem. Without atomic the events
// that broke no rule have their receipts in its results.
func (r *request) refused(problem *Problem, atomic bool) []fate {
	fates := make([]fate, len(r.ids))
	for i := range fates {
		fates[i].err = problem
	}
	for i := range problem.Errors {
		if e := &problem.Errors[i]; e.Index >= 0 && e.Index < len(fates) {
			fates[e.Index].err = e.invalid()
		}
	}
	if atomic {
		return fates
	}
	for i := range problem.Results {
		result := &problem.Results[i]
		if i < len(fates) && result.Receipt != nil && result.Error == nil && result.ID == r.ids[i] {
			fates[i] = fate{receipt: *result.Receipt}
		}
	}
	return fates
}

// problemOf reads a problem; an answer that is none, say of a proxy, becomes
// one.
func problemOf(status int, body []byte) *Problem {
	p := &Problem{}
	if err := json.Unmarshal(body, p); err != nil || p.Title == "" {
		p = &Problem{Title: http.StatusText(status), Detail: shorten(string(body))}
	}
	p.Status = status
	return p
}

func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return 0
}
