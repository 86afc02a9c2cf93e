package store

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Client is a Store over ingest and the console's read API. Close must be
// called.
type Client struct {
	reads     *url.URL
	ingest    *url.URL
	http      *http.Client
	publisher *events.Publisher
	publish   []events.Option
	source    string
	now       func() time.Time
	observe   func(path string, m Meta)
	// written are the sequences of the last receipts, by what reads wait for.
	written [kinds]atomic.Uint64
}

var _ Store = (*Client)(nil)

// kind is what one tier holds: a read of it waits for writes of it, and no
// others.
type kind int

const (
	positions kind = iota
	records
	trades
	klines
	kinds
)

// Meta says how a read was answered.
type Meta struct {
	// Sequence is the last event of the log that the answer contains.
	Sequence uint64
	// Tier answered; Degraded tells that it was not the one that should have,
	// Reason why.
	Tier     string
	Degraded bool
	Reason   string
}

// Option changes a Client's settings.
type Option func(*Client)

// WithSource names the strategy in its events; the default is strategy/go.
func WithSource(source string) Option { return func(c *Client) { c.source = source } }

// WithPublisher passes options to the publisher of the writes.
func WithPublisher(options ...events.Option) Option {
	return func(c *Client) { c.publish = append(c.publish, options...) }
}

// WithHTTPClient reads through another client than one with a timeout of 15 s.
func WithHTTPClient(h *http.Client) Option { return func(c *Client) { c.http = h } }

// WithClock replaces the time of events, and the day of AllHeldInc.
func WithClock(now func() time.Time) Option { return func(c *Client) { c.now = now } }

// WithObserver has f see how each read was answered. It must not block.
func WithObserver(f func(path string, m Meta)) Option { return func(c *Client) { c.observe = f } }

// answerBytes bounds an answer: 100,000 trades take 35 MB.
const answerBytes = 256 << 20

// Open makes a Client of the ingest and the console at base URLs such as
// http://127.0.0.1:8080 and http://127.0.0.1:8090. Nothing is sent yet.
func Open(ingest, console string, options ...Option) (*Client, error) {
	reads, err := url.Parse(console)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	if (reads.Scheme != "http" && reads.Scheme != "https") || reads.Host == "" {
		return nil, fmt.Errorf("store: %q must be a URL such as http://127.0.0.1:8090", reads.Redacted())
	}
	c := &Client{reads: reads, http: &http.Client{Timeout: 15 * time.Second}, source: "strategy/go", now: time.Now}
	for _, option := range options {
		option(c)
	}
	if c.publisher, err = events.NewPublisher(ingest, c.publish...); err != nil {
		return nil, err
	}
	c.ingest, err = url.Parse(ingest)
	return c, err
}

// Close implements Store.
func (c *Client) Close() error {
	c.http.CloseIdleConnections()
	return c.publisher.Close(context.Background()) // nothing waits: all writes were waited for
}

// write publishes events of one kind, all or none.
func (c *Client) write(ctx context.Context, k kind, data ...events.Data) ([]events.Receipt, error) {
	batch := make([]*events.Event, len(data))
	for i, d := range data {
		batch[i] = &events.Event{Source: c.source, Time: c.now(), Data: d}
	}
	receipts, err := c.publisher.PublishBatch(ctx, batch, true)
	for _, r := range receipts {
		for {
			last := c.written[k].Load()
			if r.Sequence <= last || c.written[k].CompareAndSwap(last, r.Sequence) {
				break
			}
		}
	}
	return receipts, err
}

// head begins every answer of a read.
type head struct {
	Sequence uint64 `json:"sequence"`
	Tier     string `json:"tier"`
	Degraded bool   `json:"degraded"`
	Reason   string `json:"reason"`
}

// get reads one path into answer, which embeds a head. The answer contains all
// that this Client wrote of the kind.
func (c *Client) get(ctx context.Context, k kind, path []string, parameters url.Values, answer interface{ meta() Meta }) error {
	for _, part := range path {
		if part == "" || part == "." || part == ".." {
			return fmt.Errorf("store: %q names nothing: an account, a strategy or a stock must be named", part)
		}
	}
	if parameters == nil {
		parameters = make(url.Values)
	}
	if last := c.written[k].Load(); last > 0 {
		parameters.Set("at_least", strconv.FormatUint(last, 10))
	}
	target := c.target(path, parameters)
	body, err := c.fetch(ctx, target)
	if err != nil {
		return fmt.Errorf("store: read %s: %w", target.Path, err)
	}
	if err := json.Unmarshal(body, answer); err != nil {
		return fmt.Errorf("store: read %s: not an answer of the read API: %w", target.Path, err)
	}
	if c.observe != nil {
		c.observe(target.Path, answer.meta())
	}
	return nil
}

func (h head) meta() Meta { return Meta(h) }

func (c *Client) target(path []string, parameters url.Values) *url.URL {
	escaped := make([]string, len(path))
	for i, part := range path {
		escaped[i] = url.PathEscape(part)
	}
	target := c.reads.JoinPath(escaped...)
	target.RawQuery = parameters.Encode()
	return target
}

func (c *Client) fetch(ctx context.Context, target *url.URL) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, problem(response.StatusCode, body)
	}
	return body, nil
}

// ReadError tells that a read was refused or could not be answered. It is
// ErrNotFound, ErrBehind or ErrUnavailable where one of them fits.
type ReadError struct {
	// Status is HTTP's; Detail says what was wrong.
	Status int
	Detail string
}

func (e *ReadError) Error() string { return fmt.Sprintf("status %d: %s", e.Status, e.Detail) }

// Is implements errors.Is for this package's errors.
func (e *ReadError) Is(target error) bool {
	switch target {
	case ErrNotFound:
		return e.Status == http.StatusNotFound
	case ErrBehind:
		return e.Status == http.StatusGatewayTimeout
	case ErrUnavailable:
		return e.Status == http.StatusServiceUnavailable
	}
	return false
}

func problem(status int, body []byte) error {
	var p struct {
		Detail string `json:"detail"`
		Errors []struct {
			Message  string `json:"message"`
			Location string `json:"location"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &p) != nil || p.Detail == "" {
		p.Detail = http.StatusText(status)
	}
	for _, fault := range p.Errors {
		p.Detail += "; " + fault.Location + ": " + fault.Message
	}
	return &ReadError{Status: status, Detail: p.Detail}
}

// HealthCheck implements Store.
func (c *Client) HealthCheck(ctx context.Context) error {
	for name, base := range map[string]*url.URL{"ingest": c.ingest, "read API": c.reads} {
		if _, err := c.fetch(ctx, base.JoinPath("/readyz")); err != nil {
			return fmt.Errorf("store: %s: %w", name, err)
		}
	}
	return nil
}
