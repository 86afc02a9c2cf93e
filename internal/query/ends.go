package query

import (
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
	// blind tells that nobody has seen the log since the router runs.
	blind  atomic.Bool
	events atomic.Bool // the log has some
	last   look
	err    error
}

type look struct {
	when time.Time
	end  uint64
}

// begin tells that looks will come: until the first succeeds, nobody has seen
// the log.
func (e *ends) begin() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.blind.Store(e.last.when.IsZero())
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
	if now.Sub(e.seen[0].when) >= e.keep {
		e.below.Store(e.seen[0].end)
	}
	e.events.Store(end > 0)
	e.blind.Store(false)
}

// floor is a sequence that every healthy tier has reached.
func (e *ends) floor() uint64 { return e.below.Load() }
