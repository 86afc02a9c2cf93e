package events_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/seed-744e3d1b/tapedeck/events"
)

func held(days int64) *events.Event {
	return &events.Event{
		Source: "strategy/wencai_v1", Time: time.Date(2025, 1, 2, 10, 0, 0, 0, events.Zone),
		Data: &events.PositionHeldDaysSet{AccountID: "55009728", StockCode: "600000.SH", HeldDays: days},
	}
}

func heldUpTo(n int) (batch []*events.Event, days []int64) {
	for i := range int64(n) {
		batch, days = append(batch, held(i)), append(days, i)
	}
	return batch, days
}

func publisher(t *testing.T, url string, opts ...events.Option) *events.Publisher {
	p, err := events.NewPublisher(url, append([]events.Option{events.WithBackoff(time.Millisecond, 10*time.Millisecond)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(ctx)
	})
	return p
}

// everyFault cycles through all ways of failing, and lets every seventh
// request through.
func everyFault(request int) fault {
	return []fault{loseAsk, loseAnswer, busy, cutAnswer, down, loseAnswer, none}[request%7]
}

func TestNewPublisherRefusesOddURLs(t *testing.T) {
	for _, url := range []string{"", "127.0.0.1:8080", "nats://127.0.0.1:4222", "http://", "http://a b"} {
		_, err := events.NewPublisher(url)
		require.Error(t, err, url)
	}
}

func TestPublishThroughFaults(t *testing.T) {
	peer := newPeer(t)
	peer.faults = everyFault
	p := publisher(t, peer.serve().URL)
	for i := range int64(20) {
		e := held(i)
		r, err := p.Publish(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, e.ID, r.ID)
		require.Equal(t, uint64(i+1), r.Sequence)
		require.True(t, r.WasApplied())
	}
	_, want := heldUpTo(20)
	require.Equal(t, want, peer.days(), "lost answers doubled or reordered events")
}

func TestPublishBatchSplitsIntoFrames(t *testing.T) {
	peer := newPeer(t)
	peer.faults = everyFault
	p := publisher(t, peer.serve().URL)
	batch, want := heldUpTo(2*events.MaxBatch + 1)
	receipts, err := p.PublishBatch(t.Context(), batch, false)
	require.NoError(t, err)
	require.Len(t, receipts, len(batch))
	for i, r := range receipts {
		require.Equal(t, batch[i].ID, r.ID)
		require.Equal(t, uint64(i+1), r.Sequence)
	}
	require.Equal(t, want, peer.days())

	_, err = p.PublishBatch(t.Context(), batch, true)
	require.ErrorContains(t, err, "at most 1000 events")
	again, err := p.PublishBatch(t.Context(), batch[:3], true)
	require.NoError(t, err)
	require.True(t, again[2].Duplicate)
	require.Equal(t, uint64(3), again[2].Sequence)
}

// oddDays is a rule that only the peer knows.
func oddDays(e *events.Event) *events.InvalidError {
	if d := e.Data.(*events.PositionHeldDaysSet); d.HeldDays%2 == 1 {
		return &events.InvalidError{Field: "data.held_days", Rule: "must be even", Value: "odd"}
	}
	return nil
}

func TestPublishBatchTellsEachFate(t *testing.T) {
	peer := newPeer(t)
	peer.refuse = oddDays
	p := publisher(t, peer.serve().URL)
	batch := []*events.Event{held(0), held(1), held(-1), held(2)}

	receipts, err := p.PublishBatch(t.Context(), batch, true)
	require.Nil(t, receipts)
	require.ErrorContains(t, err, "event 2")
	require.Empty(t, peer.days(), "an invalid event keeps an atomic batch at home")

	receipts, err = p.PublishBatch(t.Context(), []*events.Event{batch[0], batch[1]}, true)
	require.Nil(t, receipts)
	var problem *events.Problem
	require.ErrorAs(t, err, &problem)
	require.Equal(t, http.StatusUnprocessableEntity, problem.Status)
	require.Empty(t, peer.days())

	receipts, err = p.PublishBatch(t.Context(), batch, false)
	require.Equal(t, []int64{0, 2}, peer.days())
	require.Equal(t, []uint64{1, 0, 0, 2}, []uint64{receipts[0].Sequence, receipts[1].Sequence, receipts[2].Sequence, receipts[3].Sequence})
	rules := map[int]string{}
	for _, one := range err.(interface{ Unwrap() []error }).Unwrap() {
		var rejected *events.RejectedError
		var invalid *events.InvalidError
		require.ErrorAs(t, one, &rejected)
		require.ErrorAs(t, one, &invalid)
		require.Equal(t, batch[rejected.Index].ID, rejected.ID)
		rules[rejected.Index] = invalid.Field + " " + invalid.Rule
	}
	require.Equal(t, map[int]string{1: "data.held_days must be even", 2: "data.held_days must be at least 0"}, rules)

	_, err = p.Publish(t.Context(), held(3))
	var invalid *events.InvalidError
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "must be even", invalid.Rule)
}

func TestPublishReportsRefusedRequests(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no such place", http.StatusNotFound)
	}))
	defer s.Close()
	_, err := publisher(t, s.URL).Publish(t.Context(), held(1))
	var problem *events.Problem
	require.ErrorAs(t, err, &problem)
	require.Equal(t, "404 Not Found: no such place\n", problem.Error())
}

func TestPublishDistrustsAnAnswerForOtherEvents(t *testing.T) {
	for _, answer := range []string{`[]`, `[{"id":"another","sequence":1,"duplicate":false}]`} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(answer)) }))
		_, err := publisher(t, s.URL).Publish(t.Context(), held(1))
		require.ErrorContains(t, err, "answered with")
		s.Close()
	}
}

func TestPublishHonoursRetryAfter(t *testing.T) {
	var tries atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		tries.Add(1)
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := publisher(t, s.URL).Publish(ctx, held(1))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var problem *events.Problem
	require.ErrorAs(t, err, &problem, "the error tells what the last try met")
	require.Equal(t, http.StatusTooManyRequests, problem.Status)
	require.Equal(t, int64(1), tries.Load())
}

func TestPublishAsyncThroughFaultsAndRestarts(t *testing.T) {
	peer := newPeer(t)
	peer.faults = everyFault
	server := peer.serve()
	p := publisher(t, server.URL, events.WithQueue(100))
	batch, want := heldUpTo(3000)
	var acks []*events.Ack
	for i, e := range batch {
		if i == 1000 || i == 2000 {
			server.CloseClientConnections()
			server.Close()
			server = peer.restart(server)
		}
		a, err := p.PublishAsync(t.Context(), e)
		require.NoError(t, err)
		require.Equal(t, e.ID, a.ID())
		acks = append(acks, a)
	}
	require.NoError(t, p.Flush(t.Context()))
	for i, a := range acks {
		select {
		case <-a.Done():
		default:
			t.Fatalf("event %d has no fate after Flush", i)
		}
		r, err := a.Wait(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(i+1), r.Sequence)
	}
	require.Equal(t, want, peer.days())
	require.NoError(t, p.Close(t.Context()))
	_, err := p.PublishAsync(t.Context(), held(1))
	require.ErrorIs(t, err, events.ErrClosed)
	require.ErrorIs(t, p.Flush(t.Context()), events.ErrClosed)
	require.NoError(t, p.Close(t.Context()), "closing twice is fine")
}

func TestPublishAsyncTellsEachFate(t *testing.T) {
	peer := newPeer(t)
	peer.refuse = oddDays
	p := publisher(t, peer.serve().URL)
	_, err := p.PublishAsync(t.Context(), held(-1))
	var invalid *events.InvalidError
	require.ErrorAs(t, err, &invalid, "what is invalid is not even queued")
	e := held(4)
	good, err := p.PublishAsync(t.Context(), e)
	require.NoError(t, err)
	e.Data.(*events.PositionHeldDaysSet).HeldDays = 9 // queued events are out of the caller's reach
	bad, err := p.PublishAsync(t.Context(), held(3))
	require.NoError(t, err)
	r, err := good.Wait(t.Context())
	require.NoError(t, err)
	require.Equal(t, uint64(1), r.Sequence)
	_, err = bad.Wait(t.Context())
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, "must be even", invalid.Rule)
	require.Equal(t, []int64{4}, peer.days())
}

func TestPublishAsyncPushesBack(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	arrived, release := make(chan struct{}, 100), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		select {
		case <-release:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	}))
	transport := &http.Transport{}
	p, err := events.NewPublisher(s.URL, events.WithQueue(2), events.WithHTTPClient(&http.Client{Transport: transport}))
	require.NoError(t, err)
	first, err := p.PublishAsync(t.Context(), held(0))
	require.NoError(t, err)
	<-arrived // the sender is busy with the first one
	for i := range int64(2) {
		_, err := p.PublishAsync(t.Context(), held(i+1))
		require.NoError(t, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = p.PublishAsync(ctx, held(3))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "the queue is full")

	// Close gives up when its context ends, and says that fates are unknown.
	closing, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	require.ErrorIs(t, p.Close(closing), context.DeadlineExceeded)
	_, err = first.Wait(t.Context())
	require.ErrorIs(t, err, context.Canceled)
	var rejected *events.RejectedError
	require.False(t, errors.As(err, &rejected))
	close(release)
	s.Close()
	transport.CloseIdleConnections()
}

// TestAnswersOnTheWire: the answers look the same to every JSON package.
func TestAnswersOnTheWire(t *testing.T) {
	no := false
	text, err := json.Marshal([]any{
		events.Receipt{ID: "a", Sequence: 7},
		events.Receipt{ID: "b", Applied: &no, Reason: "already counted", Flags: []string{"outside the session"}},
		events.Problem{Type: "about:blank", Title: "t", Status: 422,
			Errors:  []events.ProblemError{{Index: 1, Field: "data.price", Rule: "must be greater than 0", Value: "0"}},
			Results: []events.Result{{Receipt: &events.Receipt{ID: "a", Sequence: 7}}, {Index: 1, Error: &events.ProblemError{Index: 1, Field: "id", Rule: "r"}}}},
	})
	require.NoError(t, err)
	require.JSONEq(t, `[{"id":"a","sequence":7,"duplicate":false},
		{"id":"b","sequence":0,"duplicate":false,"applied":false,"reason":"already counted","flags":["outside the session"]},
		{"type":"about:blank","title":"t","status":422,"errors":[{"index":1,"field":"data.price","rule":"must be greater than 0","value":"0"}],
		 "results":[{"index":0,"id":"a","sequence":7,"duplicate":false},{"index":1,"error":{"index":1,"field":"id","rule":"r"}}]}]`, string(text))
}
