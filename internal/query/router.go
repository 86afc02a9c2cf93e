package query

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	// watchEvery is how often each tier and the log's end are looked at. Looking
	// takes what reads would have of the machine.
	watchEvery = 400 * time.Millisecond
	// probeBound is how long a tier may take to say where it is; smallBound and
	// largeBound, to answer about one account and about many rows. With them a
	// tier that hangs costs one reader that much, once.
	probeBound = 300 * time.Millisecond
	smallBound = 300 * time.Millisecond
	largeBound = 700 * time.Millisecond
	// A tier is asked again and again whether it has what a reader waits for.
	pollFirst, pollLast = 2 * time.Millisecond, 40 * time.Millisecond
	// DefaultWait is how long a read waits for Want.AtLeast; MaxWait is the
	// longest that may be asked for.
	DefaultWait = 2 * time.Second
	MaxWait     = 10 * time.Second
)

// Errors of reads, wrapped.
var (
	// ErrUnavailable: no tier could answer.
	ErrUnavailable = errors.New("no tier can answer")
	// ErrBehind: no tier reached Want.AtLeast in time.
	ErrBehind = errors.New("no tier has that sequence yet")
)

// order lists the tiers that hold a kind, in the order of preference. Of a
// trade the file tier has neither strategy, order id nor the amount's own text,
// so memory comes before it.
var order = map[Kind][]string{
	Positions: {"redis", "file", "memory"},
	Records:   {"mysql", "file", "memory"},
	Trades:    {"clickhouse", "memory", "file"},
	Klines:    {"clickhouse", "file", "memory"},
}

// Want is what a reader wants of an answer besides its contents.
type Want struct {
	// AtLeast is a sequence that the answer must contain, such as that of the
	// reader's own last receipt; 0 is any. Wait bounds the wait for it; 0 is
	// DefaultWait.
	AtLeast uint64
	Wait    time.Duration
}

// Answer is what a tier said.
type Answer[T any] struct {
	Value    T
	Sequence uint64
	Tier     string
	// Degraded tells that it was not the primary tier that answered, or that
	// its answer may be older than a healthy tier's; Reason says why.
	Degraded bool
	Reason   string
	// Held tells that the tier is held where it is on purpose.
	Held bool
}

// Options say how a Router is made.
type Options struct {
	// Tiers in any order, each at most once.
	Tiers []Tier
	// LogEnd tells the log's last sequence.
	LogEnd func(ctx context.Context) (uint64, error)
	// StaleAfter is how far, in time, a tier may be behind the log and still be
	// preferred to one that is not; 0 is 5 s. A tier under a hold may always.
	StaleAfter time.Duration
	// Primary picks the primaries; nil is auto for all.
	Primary *Primaries
	Logger  *slog.Logger
}

// Router answers reads. It is safe for concurrent use.
type Router struct {
	sources map[string]*source
	primary *Primaries
	logEnd  func(ctx context.Context) (uint64, error)
	ends    ends
	logger  *slog.Logger
	reads   *reads
}

// NewRouter makes a Router; until Run is called it trusts every tier.
func NewRouter(o Options) *Router {
	r := &Router{sources: make(map[string]*source), primary: o.Primary, logEnd: o.LogEnd, logger: o.Logger, reads: newReads()}
	if r.primary == nil {
		r.primary = new(Primaries)
	}
	if r.logger == nil {
		r.logger = slog.Default()
	}
	r.ends.keep = o.StaleAfter
	if r.ends.keep <= 0 {
		r.ends.keep = 5 * time.Second
	}
	for _, tier := range o.Tiers {
		r.sources[tier.Name()] = newSource(tier)
	}
	return r
}

// Run watches tiers and log until ctx ends.
func (r *Router) Run(ctx context.Context) {
	var all sync.WaitGroup
	every := func(f func()) {
		all.Go(func() {
			ticker := time.NewTicker(watchEvery)
			defer ticker.Stop()
			for {
				f()
				select {
				case <-ticker.C:
				case <-ctx.Done():
					return
				}
			}
		})
	}
	r.ends.begin()
	every(func() { r.lookAtLog(ctx) })
	for _, s := range r.sources {
		every(func() {
			was := s.last.Load().err
			s.watch(ctx)
			is := s.last.Load().err
			switch {
			case ctx.Err() != nil:
			case was == nil && is != nil:
				r.logger.Warn("tier lost, the next one answers", "tier", s.tier.Name(), "error", is)
			case was != nil && is == nil:
				r.logger.Info("tier answers", "tier", s.tier.Name(), "sequence", s.last.Load().at.Sequence)
			}
		})
	}
	all.Wait()
}

// Look looks once at tiers and log, so that the first readers find them known.
func (r *Router) Look(ctx context.Context) {
	r.ends.begin()
	var all sync.WaitGroup
	all.Go(func() { r.lookAtLog(ctx) })
	for _, s := range r.sources {
		all.Go(func() { s.watch(ctx) })
	}
	all.Wait()
}

func (r *Router) lookAtLog(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, probeBound)
	defer cancel()
	began := time.Now()
	end, err := r.logEnd(bounded)
	r.ends.saw(time.Now(), end, err)
	if err != nil {
		return
	}
	for _, s := range r.sources {
		s.outrun(end, began)
	}
}

// Close closes all tiers.
func (r *Router) Close() error {
	var faults []error
	for _, s := range r.sources {
		faults = append(faults, s.tier.Close())
	}
	return errors.Join(faults...)
}

// chain lists the tiers that may answer about a kind, the primary first.
func (r *Router) chain(kind Kind) []*source {
	names := order[kind]
	if first := r.primary.Of(kind); first != Auto {
		names = append([]string{first}, slices.DeleteFunc(slices.Clone(names), func(name string) bool { return name == first })...)
	}
	var chain []*source
	for _, name := range names {
		if s := r.sources[name]; s != nil {
			chain = append(chain, s)
		}
	}
	return chain
}

// read asks one tier after the other until one answers as wanted.
func read[R Tier, T any](ctx context.Context, r *Router, kind Kind, want Want, bound time.Duration, ask func(context.Context, R) (T, At, error)) (Answer[T], error) {
	began := time.Now()
	answer, err := attempt(ctx, r, kind, want, bound, ask)
	r.reads.observe(kind, answer.Tier, answer.Degraded, err, time.Since(began))
	return answer, err
}

func attempt[R Tier, T any](ctx context.Context, r *Router, kind Kind, want Want, bound time.Duration, ask func(context.Context, R) (T, At, error)) (Answer[T], error) {
	wait := want.Wait
	if wait <= 0 {
		wait = DefaultWait
	}
	began, pause := time.Now(), pollFirst
	for {
		// Half of the time belongs to the primary: it is about to have what was
		// just written.
		waited := time.Since(began)
		answer, faults := once(ctx, r, kind, want.AtLeast, waited < min(wait, MaxWait)/2, bound, ask)
		switch {
		case ctx.Err() != nil:
			return Answer[T]{}, ctx.Err()
		case answer.Tier != "":
			return answer, nil
		case !errors.Is(faults, ErrBehind):
			return answer, fmt.Errorf("%s: %w: %w", kind, ErrUnavailable, faults)
		case waited >= min(wait, MaxWait):
			return answer, fmt.Errorf("sequence %d: %w", want.AtLeast, faults)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause = min(2*pause, pollLast)
	}
}

// once asks the tiers in turn; the answer of nobody names no tier.
func once[R Tier, T any](ctx context.Context, r *Router, kind Kind, atLeast uint64, patient bool, bound time.Duration, ask func(context.Context, R) (T, At, error)) (Answer[T], error) {
	var old Answer[T] // the newest of those that are too far behind the log
	var faults []error
	for i, s := range r.chain(kind) {
		tier, reads := s.tier.(R)
		if !reads {
			continue
		}
		var value T
		at, err := s.ask(ctx, bound, func(ctx context.Context) (at At, err error) {
			if atLeast > 0 {
				if at, err = tier.At(ctx); err != nil || at.Sequence < atLeast {
					return at, err
				}
			}
			value, at, err = ask(ctx, tier)
			return at, err
		})
		answer := Answer[T]{Value: value, Sequence: at.Sequence, Tier: s.tier.Name(), Degraded: i > 0, Held: at.Held}
		doubt, useless := r.doubt(s, at)
		switch {
		case err != nil:
			faults = append(faults, err)
		case at.Sequence < atLeast:
			faults = append(faults, fmt.Errorf("%s is at %d: %w", answer.Tier, at.Sequence, ErrBehind))
			if i == 0 && patient && !at.Held && at.Sequence >= r.ends.floor() {
				return Answer[T]{}, errors.Join(faults...)
			}
		case doubt != nil && at.Parked && atLeast > 0: // the event may be among those that wait
			faults = append(faults, fmt.Errorf("%w: %w", doubt, ErrBehind))
		case doubt != nil:
			faults = append(faults, doubt)
			if !useless && (old.Tier == "" || answer.Sequence > old.Sequence) {
				old = answer
			}
		default:
			if r.ends.blind.Load() {
				answer.Degraded, faults = true, append(faults, errBlind)
			}
			if answer.Degraded {
				answer.Reason = text(faults)
			}
			return answer, nil
		}
	}
	if old.Tier != "" {
		old.Degraded, old.Reason = true, text(faults)
	}
	return old, errors.Join(faults...)
}

// text joins what went wrong on one line.
func text(faults []error) string {
	var line []byte
	for i, err := range faults {
		if i > 0 {
			line = append(line, "; "...)
		}
		line = append(line, err.Error()...)
	}
	return string(line)
}

// names are those of the tiers, sorted.
func (r *Router) names() []string { return slices.Sorted(maps.Keys(r.sources)) }
