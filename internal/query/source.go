package query

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"
)

// source is a tier behind a breaker. Callers only ever go through a closed
// breaker: it is the watch that finds out whether a lost tier is back, so that
// nobody's read pays for the try.
type source struct {
	tier    Tier
	breaker *gobreaker.CircuitBreaker[At]
	last    atomic.Pointer[sight]
	// beyond tells that the tier holds more than the log does.
	beyond atomic.Bool
	// looks counts those of the watch.
	looks int
}

// sight is what was last seen of a tier.
type sight struct {
	at   At
	when time.Time // began
	err  error
}

func newSource(tier Tier) *source {
	s := &source{tier: tier, breaker: gobreaker.NewCircuitBreaker[At](gobreaker.Settings{
		Name:        tier.Name(),
		MaxRequests: 1,
		Timeout:     watchEvery / 2, // half-open by the next watch
		// One slow answer on a busy machine is no outage; the watch is the second.
		ReadyToTrip:  func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 2 },
		IsSuccessful: func(err error) bool { return err == nil || errors.Is(err, ErrLacks) || errors.Is(err, ErrDamaged) },
		IsExcluded:   func(err error) bool { return errors.Is(err, errAbandoned) || errors.Is(err, errSlow) },
	})}
	s.last.Store(&sight{err: ErrNotReady})
	return s
}

// errAbandoned: the caller gave up; that says nothing about the tier.
var errAbandoned = errors.New("the caller gave up")

// errSlow: a question about many rows took too long. Whether the tier hangs is
// for the watch to find out.
var errSlow = errors.New("it takes too long")

var errOpen = errors.New("it failed a moment ago and has not come back")

// ask runs one read within a bound, when the tier is not known to be lost.
func (s *source) ask(ctx context.Context, bound time.Duration, read func(context.Context) (At, error)) (At, error) {
	if s.breaker.State() != gobreaker.StateClosed {
		if why := s.last.Load().err; why != nil {
			return At{}, why
		}
		return At{}, fmt.Errorf("%s: %w", s.tier.Name(), errOpen)
	}
	return s.see(ctx, bound, read)
}

// see is through for reads that tell where the tier is.
func (s *source) see(ctx context.Context, bound time.Duration, read func(context.Context) (At, error)) (At, error) {
	began := time.Now()
	at, err := s.through(ctx, bound, read)
	if err == nil {
		s.last.Store(&sight{at: at, when: began})
	}
	return at, err
}

// outrun holds what was last seen of the tier against the log's end, which was
// looked at later. What was seen since then tells nothing: the log grows.
func (s *source) outrun(end uint64, looked time.Time) {
	if seen := s.last.Load(); seen.when.Before(looked) {
		s.beyond.Store(seen.at.Sequence > end)
	}
}

// pingsALook is how often a Pinger is asked only whether it answers before it is
// asked where it is again.
const pingsALook = 2

// watch looks where the tier is and whether it answers. It is for one at a time.
func (s *source) watch(ctx context.Context) {
	s.looks++
	if tier, pings := s.tier.(Pinger); pings && s.last.Load().err == nil && s.looks%(pingsALook+1) != 1 {
		_, _ = s.through(ctx, probeBound, func(ctx context.Context) (At, error) { return At{}, tier.Ping(ctx) })
		return
	}
	_, _ = s.see(ctx, probeBound, s.tier.At) // remembered in last
}

// through runs something within a bound behind the breaker, and remembers when
// the tier is lost.
func (s *source) through(ctx context.Context, bound time.Duration, read func(context.Context) (At, error)) (At, error) {
	began := time.Now()
	at, err := s.breaker.Execute(func() (At, error) {
		bounded, cancel := context.WithTimeout(ctx, bound)
		defer cancel()
		at, err := read(bounded)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			err = errors.Join(errAbandoned, err)
		case bounded.Err() != nil && bound == largeBound:
			err = fmt.Errorf("%w: %w", errSlow, err)
		}
		return at, err
	})
	switch {
	case err == nil:
	case errors.Is(err, ErrLacks) || errors.Is(err, ErrDamaged) || errors.Is(err, errAbandoned) || errors.Is(err, errSlow):
	default:
		err = fmt.Errorf("%s: %w", s.tier.Name(), err)
		s.last.Store(&sight{at: s.last.Load().at, when: began, err: err})
	}
	return at, err
}
