package query

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// scripted is a tier whose contents are what the test says.
type scripted struct {
	name string

	mu   sync.Mutex
	at   At
	err  error
	hang bool
}

func (s *scripted) Name() string { return s.name }
func (s *scripted) Close() error { return nil }

func (s *scripted) set(f func(*scripted)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(s)
}

func (s *scripted) At(ctx context.Context) (At, error) {
	s.mu.Lock()
	at, err, hang := s.at, s.err, s.hang
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return At{}, ctx.Err()
	}
	return at, err
}

func (s *scripted) Positions(ctx context.Context, account, _ string) (AccountPositions, At, error) {
	at, err := s.At(ctx)
	return AccountPositions{List: []book.Position{{StockCode: s.name + " of " + account}}}, at, err
}

// scene is a router over three tiers of positions at sequence 10.
type scene struct {
	*Router
	redis, file, memory *scripted
}

func newScene(t *testing.T, primary *Primaries) *scene {
	s := &scene{redis: &scripted{name: "redis"}, file: &scripted{name: "file"}, memory: &scripted{name: "memory"}}
	for _, tier := range []*scripted{s.redis, s.file, s.memory} {
		tier.at.Sequence = 10
	}
	s.Router = NewRouter(Options{
		Tiers: []Tier{s.file, s.memory, s.redis}, Primary: primary, StaleAfter: time.Second,
		LogEnd: func(context.Context) (uint64, error) { return 10, nil },
	})
	return s
}

// watched runs the router's watch for the test.
func (s *scene) watched(t *testing.T) *scene {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	return s
}

func (s *scene) ask(t *testing.T, want Want) Answer[AccountPositions] {
	t.Helper()
	answer, err := s.Positions(t.Context(), want, "a", "")
	require.NoError(t, err)
	require.Equal(t, answer.Tier+" of a", answer.Value.List[0].StockCode)
	require.Equal(t, answer.Degraded, answer.Reason != "")
	return answer
}

func TestPrimaryAnswersAndTheNextTakesOver(t *testing.T) {
	s := newScene(t, nil).watched(t)
	require.Equal(t, "redis", s.ask(t, Want{}).Tier)
	lost := errors.New("connection refused")
	for _, step := range []struct {
		lose *scripted
		next string
	}{{s.redis, "file"}, {s.file, "memory"}} {
		step.lose.set(func(s *scripted) { s.err = lost })
		answer := s.ask(t, Want{})
		require.Equal(t, step.next, answer.Tier)
		require.True(t, answer.Degraded)
		require.Contains(t, answer.Reason, step.lose.name)
	}
	s.memory.set(func(s *scripted) { s.err = lost })
	_, err := s.Positions(t.Context(), Want{}, "a", "")
	require.ErrorIs(t, err, ErrUnavailable)
	s.redis.set(func(s *scripted) { s.err = nil })
	require.Eventually(t, func() bool {
		answer, err := s.Positions(t.Context(), Want{}, "a", "")
		return err == nil && answer.Tier == "redis" && !answer.Degraded
	}, 5*time.Second, time.Millisecond, "it comes back by itself")
}

// pinged is a tier whose looks are counted.
type pinged struct {
	*scripted
	looks, pings atomic.Int64
}

func (p *pinged) At(ctx context.Context) (At, error) {
	p.looks.Add(1)
	return p.scripted.At(ctx)
}

func (p *pinged) Ping(ctx context.Context) error {
	p.pings.Add(1)
	_, err := p.scripted.At(ctx)
	return err
}

// TestPingerIsPingedBetweenLooks: a ping finds out as fast as a look does that a
// tier is gone, looks go on, and what is lost is looked at until it is back. What
// a read saw meanwhile stays.
func TestPingerIsPingedBetweenLooks(t *testing.T) {
	tier := &pinged{scripted: &scripted{name: "redis", at: At{Sequence: 10}}}
	s := newSource(tier)
	for range 7 {
		s.watch(t.Context())
	}
	require.EqualValues(t, []int64{3, 4}, []int64{tier.looks.Load(), tier.pings.Load()})
	require.Equal(t, At{Sequence: 10}, s.last.Load().at)
	tier.set(func(s *scripted) { s.at = At{Sequence: 4} }) // rebuilt
	_, err := s.ask(t.Context(), smallBound, tier.scripted.At)
	require.NoError(t, err)
	read := s.last.Load()
	s.watch(t.Context()) // a ping
	require.EqualValues(t, 5, tier.pings.Load())
	require.Same(t, read, s.last.Load())
	tier.set(func(s *scripted) { s.err, s.at = errors.New("lost"), At{} })
	s.looks = 7
	s.watch(t.Context()) // a ping
	require.EqualValues(t, 6, tier.pings.Load())
	require.ErrorContains(t, s.last.Load().err, "lost")
	tier.set(func(s *scripted) { s.err, s.at = nil, At{Sequence: 12} })
	s.watch(t.Context()) // no ping: where it is now is not known
	require.EqualValues(t, 6, tier.pings.Load())
	require.NoError(t, s.last.Load().err)
	require.EqualValues(t, 12, s.last.Load().at.Sequence)
}

func TestHungTierCostsNobodyMoreThanOnce(t *testing.T) {
	s := newScene(t, nil).watched(t)
	s.redis.set(func(s *scripted) { s.hang = true })
	began := time.Now()
	require.Equal(t, "file", s.ask(t, Want{}).Tier)
	require.Less(t, time.Since(began), time.Second)
	require.Eventually(t, func() bool {
		began := time.Now()
		s.ask(t, Want{})
		return time.Since(began) < smallBound/3
	}, 2*time.Second, time.Millisecond)
	for range 1000 { // no read is the one that finds out whether it is back
		began := time.Now()
		require.Equal(t, "file", s.ask(t, Want{}).Tier)
		require.Less(t, time.Since(began), smallBound)
	}
}

func TestCallerThatGivesUpIsNoOutage(t *testing.T) {
	s := newScene(t, nil)
	s.redis.set(func(s *scripted) { s.hang = true })
	for range 5 {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, err := s.Positions(ctx, Want{}, "a", "")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		cancel()
	}
	s.redis.set(func(s *scripted) { s.hang = false })
	require.Equal(t, "redis", s.ask(t, Want{}).Tier)
}

func TestTierThatLostItsDataIsPassedOver(t *testing.T) {
	s := newScene(t, nil)
	began := time.Now()
	for i := range 10 {
		s.ends.saw(began.Add(time.Duration(i)*time.Second/4), 10, nil)
	}
	s.redis.set(func(s *scripted) { s.at.Sequence = 0 })
	answer := s.ask(t, Want{})
	require.Equal(t, "file", answer.Tier)
	require.Contains(t, answer.Reason, "redis is at 0")

	s.redis.set(func(s *scripted) { s.at.Held = true })
	require.Equal(t, "redis", s.ask(t, Want{}).Tier, "a hold keeps it there on purpose")

	s.redis.set(func(s *scripted) { s.at = At{Sequence: 3} })
	s.file.set(func(s *scripted) { s.at.Sequence = 5 })
	s.memory.set(func(s *scripted) { s.at.Sequence = 4 })
	answer = s.ask(t, Want{})
	require.Equal(t, "file", answer.Tier, "when all are old, the newest")
	require.True(t, answer.Degraded)
}

func TestEmptyTierIsPassedOverFromTheFirstLook(t *testing.T) {
	s := newScene(t, nil)
	s.redis.set(func(s *scripted) { s.at.Sequence = 0 })
	began := time.Now()
	s.ends.saw(began, 0, nil)
	require.Equal(t, "redis", s.ask(t, Want{}).Tier, "an empty log is no reason")
	s.ends.saw(began.Add(time.Millisecond), 10, nil)
	answer := s.ask(t, Want{})
	require.Equal(t, "file", answer.Tier)
	require.Contains(t, answer.Reason, "redis is at 0")

	s.redis.set(func(s *scripted) { s.at.Sequence = 1 })
	require.Equal(t, "redis", s.ask(t, Want{}).Tier, "how far it may be behind is not known yet")
}

func TestNewEventsAreNoReasonToPassATierOver(t *testing.T) {
	s := newScene(t, nil)
	began := time.Now()
	for i := range 20 { // the log grows faster than a tier that is a quarter of a second behind
		s.ends.saw(began.Add(time.Duration(i)*time.Second/4), uint64(i+1), nil)
	}
	require.EqualValues(t, 16, s.ends.floor())
	s.ends.saw(began.Add(time.Hour), 0, errors.New("log lost"))
	require.EqualValues(t, 16, s.ends.floor())
}

func TestAtLeastWaitsForThePrimary(t *testing.T) {
	s := newScene(t, nil)
	s.memory.set(func(s *scripted) { s.at.Sequence = 12 })
	time.AfterFunc(50*time.Millisecond, func() { s.redis.set(func(s *scripted) { s.at.Sequence = 11 }) })
	require.Equal(t, "redis", s.ask(t, Want{AtLeast: 11}).Tier, "it was about to have it")

	began := time.Now()
	require.Equal(t, "memory", s.ask(t, Want{AtLeast: 12, Wait: 100 * time.Millisecond}).Tier)
	require.GreaterOrEqual(t, time.Since(began), 50*time.Millisecond)

	s.redis.set(func(s *scripted) { s.err = errors.New("lost") })
	began = time.Now()
	require.Equal(t, "memory", s.ask(t, Want{AtLeast: 12}).Tier)
	require.Less(t, time.Since(began), DefaultWait/2, "nobody waits for a lost primary")

	began = time.Now()
	_, err := s.Positions(t.Context(), Want{AtLeast: 13, Wait: 100 * time.Millisecond}, "a", "")
	require.ErrorIs(t, err, ErrBehind)
	require.GreaterOrEqual(t, time.Since(began), 100*time.Millisecond)
}

func TestPrimaryIsSwitchedAndRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "primary.json")
	tiers := []string{"redis", "file", "memory"}
	primary, err := OpenPrimaries(path, tiers, map[Kind]string{Klines: "file"})
	require.NoError(t, err)
	s := newScene(t, primary)
	require.NoError(t, primary.Set(map[Kind]string{Positions: "memory"}))
	answer := s.ask(t, Want{})
	require.Equal(t, "memory", answer.Tier)
	require.False(t, answer.Degraded)
	s.memory.set(func(s *scripted) { s.err = errors.New("lost") })
	require.Equal(t, "redis", s.ask(t, Want{}).Tier, "the rest keeps its order")

	for _, wrong := range []map[Kind]string{{Positions: "mysql"}, {Klines: "clickhouse"}, {"gifts": "file"}, {Trades: "file", Records: "redis"}} {
		require.ErrorAs(t, primary.Set(wrong), new(*PrimaryError), "%v", wrong)
	}
	want := map[Kind]string{Positions: "memory", Records: Auto, Trades: Auto, Klines: "file"}
	require.Equal(t, want, primary.All(), "what was refused changed nothing")
	again, err := OpenPrimaries(path, tiers, map[Kind]string{Positions: "file"})
	require.NoError(t, err)
	require.Equal(t, want, again.All())
	without, err := OpenPrimaries(path, []string{"redis"}, nil)
	require.NoError(t, err)
	require.Equal(t, Auto, without.Of(Positions), "what is not configured now waits")
}

func TestParkedEventsAreNotPassedOff(t *testing.T) {
	s := newScene(t, nil)
	s.redis.set(func(s *scripted) { s.at.Parked = true })
	answer := s.ask(t, Want{})
	require.Equal(t, "file", answer.Tier)
	require.Contains(t, answer.Reason, "replay parked list --tier redis")
	require.Equal(t, "file", s.ask(t, Want{AtLeast: 10}).Tier)

	for _, other := range []*scripted{s.file, s.memory} {
		other.set(func(s *scripted) { s.err = errors.New("lost") })
	}
	answer = s.ask(t, Want{})
	require.Equal(t, "redis", answer.Tier, "what is left of it, and marked")
	require.True(t, answer.Degraded)
	_, err := s.Positions(t.Context(), Want{AtLeast: 10, Wait: time.Millisecond}, "a", "")
	require.ErrorIs(t, err, ErrBehind, "the event may be among those that wait")
}

func TestEmptyTiersAreNoAnswer(t *testing.T) {
	s := newScene(t, nil)
	s.ends.saw(time.Now(), 10, nil)
	for _, tier := range []*scripted{s.redis, s.file, s.memory} {
		tier.set(func(s *scripted) { s.at.Sequence = 0 })
	}
	_, err := s.Positions(t.Context(), Want{}, "a", "")
	require.ErrorIs(t, err, ErrUnavailable)
	require.ErrorContains(t, err, "being filled")
	require.ErrorIs(t, s.Readable(Positions), ErrUnavailable)
}

// TestLogThatWasNeverReached: an emptied tier is told from the others, and what
// they say is marked.
func TestLogThatWasNeverReached(t *testing.T) {
	s := newScene(t, nil)
	s.redis.set(func(s *scripted) { s.at.Sequence = 0 })
	s.ends.blind.Store(true)
	s.sources["file"].watch(t.Context())
	answer := s.ask(t, Want{})
	require.Equal(t, "file", answer.Tier)
	require.True(t, answer.Degraded)
	require.Contains(t, answer.Reason, "the log was not reached yet")
	s.redis.set(func(s *scripted) { s.at.Sequence = 10 })
	require.True(t, s.ask(t, Want{}).Degraded)
	s.ends.saw(time.Now(), 10, nil)
	require.False(t, s.ask(t, Want{}).Degraded)
}

func TestTierBeyondTheLog(t *testing.T) {
	s := newScene(t, nil)
	redis := s.sources["redis"]
	redis.watch(t.Context())
	redis.outrun(9, time.Now().Add(-time.Hour))
	require.Equal(t, "redis", s.ask(t, Want{}).Tier, "the log was looked at before the tier")
	redis.outrun(9, time.Now())
	answer := s.ask(t, Want{})
	require.Equal(t, "file", answer.Tier)
	require.Contains(t, answer.Reason, "beyond the log's end")
	redis.outrun(10, time.Now())
	require.Equal(t, "redis", s.ask(t, Want{}).Tier)
}

func TestStalledOrHeldTierIsNotWaitedFor(t *testing.T) {
	s := newScene(t, nil)
	began := time.Now()
	for i := range 30 {
		s.ends.saw(began.Add(time.Duration(i)*time.Second/4), 11, nil)
	}
	s.file.set(func(s *scripted) { s.at.Sequence = 11 })
	s.ask(t, Want{AtLeast: 11})
	s.redis.set(func(s *scripted) { s.at.Held = true })
	require.False(t, s.ask(t, Want{}).Degraded)
	require.True(t, s.ask(t, Want{}).Held)
	require.Equal(t, "file", s.ask(t, Want{AtLeast: 11}).Tier)
	require.Less(t, time.Since(began), DefaultWait/2)
}

// TestDamagedValueIsNoOutage: a question that cannot be answered does not take
// the tier from those who ask others.
func TestDamagedValueIsNoOutage(t *testing.T) {
	s := newScene(t, nil)
	s.redis.set(func(s *scripted) { s.err = fmt.Errorf("a is 'x': %w", ErrDamaged) })
	for range 5 {
		require.Equal(t, "file", s.ask(t, Want{}).Tier)
	}
	s.redis.set(func(s *scripted) { s.err = nil })
	require.Equal(t, "redis", s.ask(t, Want{}).Tier)
}
