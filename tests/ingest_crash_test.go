package tests

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	crashRounds  = 10
	crashClients = 8
	crashEvents  = 50_000 // a round, over all clients
)

// crashClient publishes its events in order, in batches. A batch that was not
// acknowledged is sent again, with the same ids, to the next ingest.
type crashClient struct {
	name    string
	http    *http.Client
	next    int            // the first event that is not acknowledged
	begun   int            // the first event that was never sent
	acked   map[int]uint64 // event → sequence, since the last check
	checked int            // events before it were held against the log
	last    uint64         // the sequence of event checked-1
}

// publish sends batches until `until` events are acknowledged or ingest is
// gone.
func (c *crashClient) publish(url string, until int, batch func() int, acknowledged *atomic.Int64) error {
	for c.next < until {
		n := min(batch(), until-c.next)
		var body bytes.Buffer
		for i := c.next; i < c.next+n; i++ {
			fmt.Fprintf(&body, `{"specversion":"1.0","id":"%s-%d","source":"test","type":"position.price_marked.v1","time":"2025-01-02T10:00:00+08:00","data":{"account_id":"10000001","stock_code":"600000.SH","max_price":"%d.000"}}`+"\n", c.name, i, i+1)
		}
		c.begun = max(c.begun, c.next+n)
		answer, err := c.http.Post(url+"/v1/events", "application/x-ndjson", &body)
		if err != nil {
			return nil // killed
		}
		text, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			return nil
		}
		if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
			continue
		}
		var receipts []events.Receipt
		if err := json.Unmarshal(text, &receipts); err != nil || len(receipts) != n {
			return fmt.Errorf("%s: %d %.300s", c.name, answer.StatusCode, text)
		}
		for i, r := range receipts {
			c.acked[c.next+i] = r.Sequence
		}
		c.next += n
		acknowledged.Add(int64(n))
	}
	return nil
}

// TestIngestKilled: kill -9 of ingest while 8 clients publish. After each
// restart every acknowledged event is on the log exactly once, in the order of
// its client, at the sequence it was acknowledged with, and the chain holds.
func TestIngestKilled(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	dir := t.TempDir()
	clients := make([]*crashClient, crashClients)
	for i := range clients {
		clients[i] = &crashClient{
			name: fmt.Sprintf("c%d", i), http: &http.Client{Transport: &http.Transport{}},
			acked: make(map[int]uint64),
		}
	}
	// Small snapshot steps, so that kills hit the writing of snapshots, too.
	server := startIngest(t, dir, "--snapshot-events", "5000")
	status, answer := server.post(t, "application/json", []byte(`{"specversion":"1.0","id":"account","source":"test","type":"account.created.v1","time":"2025-01-02T08:00:00+08:00","data":{"account_id":"10000001","account_name":"n","broker":"QMT","initial_capital":"1000.00"}}`))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	reader := &chainReader{seen: map[string]uint64{}}
	for round := range crashRounds {
		var acknowledged atomic.Int64
		killAt := int64(random.IntN(crashEvents * 9 / 10))
		until := (round + 1) * crashEvents / crashClients
		var wg sync.WaitGroup
		failures := make(chan error, crashClients)
		for _, c := range clients {
			// Each client has its own generator: a round is the same for a seed
			// but for timing.
			own := rand.New(rand.NewPCG(random.Uint64(), 0))
			wg.Go(func() {
				if err := c.publish(server.url, until, func() int { return 1 + own.IntN(400) }, &acknowledged); err != nil {
					failures <- err
				}
			})
		}
		require.Eventually(t, func() bool { return acknowledged.Load() >= killAt || len(failures) > 0 }, time.Minute, time.Millisecond)
		server.kill()
		wg.Wait()
		close(failures)
		for err := range failures {
			require.NoError(t, err)
		}
		server = startIngest(t, dir, "--snapshot-events", "5000")
		reader.readOn(t, server.nats)
		for _, c := range clients {
			reader.check(t, c)
			c.http.CloseIdleConnections()
		}
		t.Logf("round %d: killed after %d acknowledged, log at %d", round, killAt, reader.at.Sequence)
	}
	// The last ingest finishes what is left; nothing doubles.
	for _, c := range clients {
		require.NoError(t, c.publish(server.url, crashRounds*crashEvents/crashClients, func() int { return 1000 }, new(atomic.Int64)))
		c.http.CloseIdleConnections()
	}
	require.Zero(t, server.stop(t))
	server = startIngest(t, dir)
	reader.readOn(t, server.nats)
	for _, c := range clients {
		reader.check(t, c)
	}
	require.Equal(t, uint64(1+crashRounds*crashEvents), reader.at.Sequence, "every event once")
}

// chainReader reads the log on from where it stopped; the log's reader proves
// contiguity and the chain.
type chainReader struct {
	at   eventlog.Checkpoint
	seen map[string]uint64 // id → sequence
}

func (r *chainReader) readOn(t testing.TB, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	log, err := eventlog.Open(ctx, eventlog.Config{URL: url})
	require.NoError(t, err)
	defer log.Close()
	reader, err := log.Read(ctx, r.at, eventlog.ReadOptions{})
	require.NoError(t, err)
	defer reader.Close()
	for {
		frame, err := reader.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
		sequence := frame.First
		for line := range bytes.Lines(frame.Payload) {
			id := field(line, `"id":"`)
			if before, on := r.seen[id]; on {
				t.Fatalf("%s is on the log twice: %d and %d", id, before, sequence)
			}
			r.seen[id] = sequence
			sequence++
		}
		r.at = eventlog.Checkpoint{Sequence: frame.Last(), Chain: frame.Chain}
	}
}

// field cuts one string out of a canonical line.
func field(line []byte, before string) string {
	_, rest, _ := strings.Cut(string(line), before)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// check holds what one client had acknowledged since the last check against the
// log, and the order of all that it sent.
func (r *chainReader) check(t testing.TB, c *crashClient) {
	t.Helper()
	last, missing := c.last, false
	for i := c.checked; i < c.begun; i++ {
		id := fmt.Sprintf("%s-%d", c.name, i)
		sequence, on := r.seen[id]
		acked, wasAcked := c.acked[i]
		switch {
		case wasAcked && acked != sequence:
			t.Fatalf("%s was acknowledged as sequence %d, the log has it at %d", id, acked, sequence)
		case i < c.next && !wasAcked:
			t.Fatalf("%s has no acknowledgement", id)
		case on && (missing || sequence <= last):
			t.Fatalf("%s at sequence %d is out of order", id, sequence)
		}
		missing = missing || !on
		if on {
			last = sequence
		}
		if i == c.next-1 {
			c.last = sequence
		}
	}
	c.checked = c.next
	clear(c.acked)
}
