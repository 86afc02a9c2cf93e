package memory

import (
	"cmp"
	"slices"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// keptChanges is how many of the newest changes a Reader remembers at least:
// more than happen while a tier is behind for a moment.
const keptChanges = 8192

// changes are the newest events that may have changed positions or records.
type changes struct {
	list []*events.Event
	// forgotten is the sequence of the newest one that is no longer there.
	forgotten uint64
	// newest is the latest traded_at of the trades that are kept.
	newest time.Time
}

func (c *changes) add(e *events.Event) {
	if len(c.list) == 2*keptChanges {
		c.forgotten = c.list[keptChanges-1].Sequence
		kept := copy(c.list, c.list[keptChanges:])
		clear(c.list[kept:])
		c.list = c.list[:kept]
	}
	c.list = append(c.list, e)
}

func (c *changes) after(sequence uint64) (list []*events.Event, all bool) {
	first, _ := slices.BinarySearchFunc(c.list, sequence+1, func(e *events.Event, next uint64) int { return cmp.Compare(e.Sequence, next) })
	return slices.Clone(c.list[first:]), c.forgotten <= sequence
}

func (c *changes) traded(at time.Time) {
	if at.After(c.newest) {
		c.newest = at
	}
}

// Changes lists the events after a sequence, up to the one that is returned,
// that may have changed positions or records. It is false when they were too
// many to be remembered. The events are not the caller's to change.
func (r *Reader) Changes(after uint64) (list []*events.Event, upto uint64, all bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	list, all = r.changes.after(after)
	return list, r.tier.at.Sequence, all
}

// AccountIDs lists every account that anything is known of, created or not.
func (r *Reader) AccountIDs() (ids []string, err error) {
	_, err = r.look(func(b *book.Book) error {
		ids = b.AccountIDs()
		return nil
	})
	return ids, err
}

// LastTrades is the day that the trades of the last days begin at, up to the
// newest; of fewer days while there are more than most. 0 when no trades are kept.
func (r *Reader) LastTrades(days, most int) events.Date {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.changes.newest.IsZero() {
		return 0
	}
	for ; ; days /= 2 {
		from := events.DateOf(r.changes.newest.AddDate(0, 0, 1-days))
		if days <= 1 || r.trades.Since(from) <= most {
			return from
		}
	}
}
