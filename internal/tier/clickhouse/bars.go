package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// bars keeps the recent bars of all stocks, 56 bytes each: for what is asked
// most often the look at the state is all that is left to do. Klines come once a
// day, so when any changed all are read anew, in the background.
type bars struct {
	kept    atomic.Pointer[recent]
	reading background
}

const (
	// keptDays has 60 bars of whoever is traded, also after long holidays.
	keptDays = 120
	// mostBars bounds what is kept, to 112 MB: a market has 400,000 in keptDays.
	mostBars = 2_000_000
	// keepEvery is how often a reading may begin: a backfill changes klines all
	// the time.
	keepEvery = 10 * time.Second
	// keepBound is how long a reading may take.
	keepBound = time.Minute
)

// recent are the bars of all stocks since a day, as they count at the places of
// one generation that have the same contents. It is never changed.
type recent struct {
	generation uint64
	contents   contents
	since      events.Date
	by         map[string][]events.Bar
}

func recently() events.Date { return events.DateOf(time.Now().AddDate(0, 0, -keptDays)) }

// never is a day that no bar is of.
const never events.Date = 9999_12_31

// keptBars are those that count at a place; nil is none. Then, if they could
// have answered the query, they are going to be read: nobody waits for that.
func (r *Reader) keptBars(ctx context.Context, p *place, q query.KlineQuery) *recent {
	if query.IsAfresh(ctx) {
		return nil
	}
	if kept := r.bars.kept.Load(); kept.of(p) {
		return kept
	}
	if since := recently(); q.From >= since || q.Last > 0 && nearly(q) >= since {
		r.keepBars(ctx)
	}
	return nil
}

// keepBars reads the recent bars in the background, unless that was begun a
// moment ago. When it fails, a read after that moment begins it again.
func (r *Reader) keepBars(ctx context.Context) {
	r.bars.reading.startEvery(ctx, keepEvery, func(ctx context.Context) {
		bounded, cancel := context.WithTimeout(ctx, keepBound)
		defer cancel()
		kept, _, err := snapshot(bounded, r, "keep recent klines", (*place).klines, func(p *place) (*recent, error) {
			return r.readRecent(bounded, p, recently(), mostBars)
		})
		switch {
		case err == nil:
			r.bars.kept.Store(kept)
		case ctx.Err() == nil:
			slog.WarnContext(ctx, "recent klines are queried each time", "error", err)
		}
	})
}

// readRecent reads the bars of all stocks since a day. When there are more than
// most, none is kept: what holds a part of the stocks would be read in vain by
// most queries, and the console's memory is not theirs to fill.
func (r *Reader) readRecent(ctx context.Context, p *place, since events.Date, most int) (*recent, error) {
	from := klinesAt(p, fmt.Sprintf("date >= '%s'", since), len(p.Stocks) > 0)
	by, err := r.queryBars(ctx, from+fmt.Sprintf(" LIMIT %d", most+1))
	if err != nil {
		return nil, err
	}
	n := 0
	for stock, list := range by {
		n += len(list)
		by[stock] = slices.Clone(list) // without the room that it grew into
	}
	if n > most {
		slog.WarnContext(ctx, "recent klines are queried each time: there are too many to keep", "since", since, "most", most)
		by, since = nil, never
	}
	return &recent{generation: p.Generation, contents: p.klines(), since: since, by: by}, nil
}

// of tells whether the bars are those that count at a place.
func (k *recent) of(p *place) bool {
	return k != nil && k.generation == p.Generation && k.contents == p.klines()
}

// reaches tells whether all bars since a day are kept.
func (k *recent) reaches(day events.Date) bool { return k != nil && k.since <= day }

// pick is the answer to a query, but for the stocks that are left: what is asked
// of them may be older than what is kept.
func (k *recent) pick(q query.KlineQuery) (found map[string][]events.Bar, left []string) {
	found = make(map[string][]events.Bar, len(q.Stocks))
	if k == nil {
		return found, q.Stocks
	}
	for _, stock := range q.Stocks {
		list := q.Pick(k.by[stock])
		switch {
		case !k.reaches(q.From) && (q.Last == 0 || len(list) < q.Last):
			left = append(left, stock)
		case len(list) > 0:
			found[stock] = list
		}
	}
	return found, left
}
