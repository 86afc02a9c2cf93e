// Package compare holds the tiers against the log, again and again while events
// flow: what the readers of the tiers answer against what the memory tier, which
// follows the log by itself, says. A difference that it tells is one: see
// DESIGN.md in this folder.
package compare

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

const (
	// DefaultTradeDays is how many days of trades are compared, up to the newest.
	DefaultTradeDays = 7
	// mostTrades bounds how many trades are compared.
	mostTrades = 10_000
	// Listed is how many differences of a tier a report lists.
	Listed = 100
)

// Log is what the log says: the memory tier.
type Log interface {
	query.PositionReader
	query.RecordReader
	query.TradeReader
	// AccountIDs lists every account that anything is known of.
	AccountIDs() ([]string, error)
	// LastTrades is the day that the trades of the last days begin at, of fewer
	// days while there are more than most; 0 when there are none.
	LastTrades(days, most int) events.Date
	// Changes lists the events after a sequence, up to the one returned, that may
	// have changed positions or records; it is false when some are forgotten.
	Changes(after uint64) (list []*events.Event, upto uint64, all bool)
}

// Options say what a Comparer compares.
type Options struct {
	Log Log
	// Tiers are compared one after the other.
	Tiers []query.Tier
	// Every is the time between two rounds of Run; 0 is none.
	Every time.Duration
	// TradeDays is DefaultTradeDays when 0.
	TradeDays int
	Logger    *slog.Logger
}

// Comparer compares tiers with the log. It is safe for concurrent use.
type Comparer struct {
	log       Log
	every     time.Duration
	tradeDays int
	logger    *slog.Logger
	pause     func(context.Context, time.Duration) error
	// round lets one round go on at a time.
	round chan struct{}

	mu      sync.Mutex
	checked time.Time
	at      uint64
	tiers   []*compared
}

// compared is a tier with what is known of it.
type compared struct {
	tier query.Tier
	// The last look that ended well, and why the last one of all did not.
	checked   time.Time
	at        uint64
	rows      int
	undecided int
	held      bool
	err       error
	known     map[string]*Difference
}

// New makes a Comparer.
func New(o Options) *Comparer {
	c := &Comparer{log: o.Log, every: o.Every, tradeDays: o.TradeDays, logger: o.Logger, pause: sleep, round: make(chan struct{}, 1)}
	if c.tradeDays <= 0 {
		c.tradeDays = DefaultTradeDays
	}
	if c.logger == nil {
		c.logger = slog.Default()
	}
	for _, tier := range o.Tiers {
		c.tiers = append(c.tiers, &compared{tier: tier, known: make(map[string]*Difference)})
	}
	return c
}

// Run compares every so often until ctx ends, first when the log has been read
// up to its end.
func (c *Comparer) Run(ctx context.Context) {
	if c.every <= 0 {
		return
	}
	for {
		wait := c.every
		if _, err := c.log.At(ctx); err != nil {
			wait = min(wait, time.Second)
		} else if err := c.Round(ctx); err != nil && ctx.Err() == nil {
			c.logger.Warn("tiers were not compared", "error", err)
		}
		if c.pause(ctx, wait) != nil {
			return
		}
	}
}

// Round compares all tiers once. What is wrong with a tier is in the Report; an
// error says that nothing was compared.
func (c *Comparer) Round(ctx context.Context) error {
	select {
	case c.round <- struct{}{}:
		defer func() { <-c.round }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, t := range c.tiers {
		if _, err := c.log.At(ctx); err != nil {
			return fmt.Errorf("%w: %w", query.ErrUnavailable, err)
		}
		found, err := c.compare(ctx, t.tier)
		if ctx.Err() != nil {
			return ctx.Err() // that says nothing about the tier
		}
		c.settle(t, found, err)
	}
	at, err := c.log.At(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", query.ErrUnavailable, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checked, c.at = time.Now(), at.Sequence
	return nil
}

// Errors of a tier that is not compared.
var (
	errHeld   = errors.New("a hold keeps it where it is, or leaves events out: it is not compared (replay status says why)")
	errBehind = errors.New("it lags")
)

// seen is what a round found in a tier.
type seen struct {
	at   uint64
	rows int
	// told are the differences, by id; open, what was not decided.
	told map[string]finding
	open map[string]bool
	// unread are the units that could not be read.
	unread map[string]bool
}

// looks are the pauses before each look: a difference must be seen twice, and
// what events change meanwhile is looked at again.
var looks = []time.Duration{0, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond}

// compare looks at everything in a tier once, and again at what was not equal.
func (c *Comparer) compare(ctx context.Context, tier query.Tier) (seen, error) {
	s := seen{told: make(map[string]finding), open: make(map[string]bool), unread: make(map[string]bool)}
	left, err := c.units(ctx, tier)
	if err != nil {
		return s, err
	}
	if len(left) == 0 { // nothing to compare is no reason to say that all is well
		at, err := where(ctx, tier)
		if err == nil && at.Held {
			err = errHeld
		}
		s.at = at.Sequence
		return s, err
	}
	suspected := make(map[string]bool)
	for i, pause := range looks {
		if i > 0 && len(left) == 0 {
			break
		}
		if err := c.pause(ctx, pause); err != nil {
			return s, err
		}
		clear(s.open)
		var again []unit
		for len(left) > 0 {
			n := min(len(left), unitsAtOnce)
			verdicts, at, err := c.look(ctx, tier, left[:n])
			if err != nil {
				return s, err
			}
			s.at = at
			for j, v := range verdicts {
				if i == 0 {
					s.rows += v.rows
				}
				if !s.take(left[j], v, suspected) {
					again = append(again, left[j])
				}
			}
			left = left[n:]
		}
		left = again
	}
	return s, nil
}

// take notes what a look at a unit found; false asks for another one.
func (s *seen) take(u unit, v verdict, suspected map[string]bool) (done bool) {
	s.unread[u.name()] = v.unread
	for _, id := range v.open {
		s.open[id] = true
	}
	done = len(v.open) == 0
	for _, f := range v.differs {
		if suspected[f.id] {
			s.told[f.id] = f
			continue
		}
		suspected[f.id], s.open[f.id], done = true, true, false
	}
	return done
}
