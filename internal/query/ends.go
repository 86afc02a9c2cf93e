package query

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// ends remembers where the log's end was a while ago.
type ends struct {
	keep time.Duration
	mu   sync.Mutex
	// seen are looks of at most keep's age and the one before them.
	seen  []look
	below atomic.Uint64
	last  look
	err   error
}

type look struct {
	when time.Time
	end  uint64
}

func (e *ends) saw(now time.Time, end uint64, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = err
	if err != nil {
		return
	}
	e.last = look{now, end}
	e.seen = append(e.seen, e.last)
	for len(e.seen) > 1 && now.Sub(e.seen[1].when) >= e.keep {
		e.seen = e.seen[1:]
	}
	// A tier at 0 of a log with events is being filled: that needs no look of a
	// while ago.
	floor := min(end, 1)
	if now.Sub(e.seen[0].when) >= e.keep {
		floor = max(floor, e.seen[0].end)
	}
	e.below.Store(floor)
}

// floor is a sequence that every healthy tier has reached.
func (e *ends) floor() uint64 { return e.below.Load() }

// behind tells that a tier has not reached the floor.
func (e *ends) behind(tier string, sequence, floor uint64) error {
	if sequence == 0 {
		return fmt.Errorf("%s is at 0: it is being filled", tier)
	}
	return fmt.Errorf("%s is at %d, the log was at %d %s ago", tier, sequence, floor, e.keep)
}
