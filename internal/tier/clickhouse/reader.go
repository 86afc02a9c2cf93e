package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// Reader reads the live contents and writes nothing. It is safe for concurrent
// use.
type Reader struct {
	store  *store
	seen   atomic.Pointer[state]
	trades trades
	bars   bars
	warm   sync.Once
}

var (
	_ query.TradeReader = (*Reader)(nil)
	_ query.KlineReader = (*Reader)(nil)
	_ query.Pinger      = (*Reader)(nil)
)

// NewReader makes a reader; the server need not be there yet. The error is
// about the DSN, and does not contain it.
func NewReader(dsn string) (*Reader, error) {
	options, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		return nil, errDSN
	}
	// The caller's bound is shorter.
	options.DialTimeout, options.ReadTimeout = time.Second, 5*time.Second
	options.MaxOpenConns, options.MaxIdleConns = 16, 16
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, errDSN
	}
	return newReader(&store{conn: conn, options: options, database: options.Auth.Database}), nil
}

func newReader(s *store) *Reader { return &Reader{store: s} }

// Name implements query.Tier.
func (r *Reader) Name() string { return "clickhouse" }

// Close implements query.Tier. It ends what runs in the background.
func (r *Reader) Close() error {
	r.trades.reading.close()
	r.bars.reading.close()
	return r.store.conn.Close()
}

// At implements query.Tier. The first one that finds something has it kept, so
// that no read pays for that.
func (r *Reader) At(ctx context.Context) (query.At, error) {
	p, err := r.store.placeNow(ctx, 0)
	if err != nil {
		return query.At{}, wrap("read checkpoint", err)
	}
	if p != nil {
		r.warm.Do(func() {
			r.keepBars(ctx)
			r.keepTrades(ctx)
		})
	}
	return p.at(), nil
}

// Ping implements query.Pinger: At is a query, which takes the server threads and
// milliseconds.
func (r *Reader) Ping(ctx context.Context) error { return wrapIf("ping", r.store.conn.Ping(ctx)) }

func (p *place) at() query.At {
	if p == nil {
		return query.At{}
	}
	return query.AtOf(p.Sequence, p.Hold)
}

// attempts bounds how often a read begins again because the state moved on.
const attempts = 4

// snapshot is what f reads of what counts at one state, and which state that is.
// It tries the state that was seen last: while that still counts afterwards, the
// look before is spared. Rows that f needs may be cleaned away once a newer state
// counts: the look afterwards tells. What f read in vain is never returned: the
// tier may be empty by then. What f reads changes only when what says, so it is
// of the newer state, too, while that is the same: then nobody waits for events
// of other kinds to pause.
func snapshot[T any](ctx context.Context, r *Reader, op string, what func(*place) contents, f func(p *place) (T, error)) (T, query.At, error) {
	var none T
	now, fresh := r.seen.Load(), false
	for range attempts {
		if now == nil || now.Live == nil {
			read, err := r.store.read(ctx)
			if err != nil || read.Live == nil {
				return none, query.At{}, wrapIf(op, err)
			}
			now, fresh = &read, true
		}
		p := now.Live
		value, err := f(p)
		if err != nil {
			r.seen.Store(nil) // its generation may be gone
			return none, query.At{}, wrap(op, err)
		}
		after, err := r.store.read(ctx)
		if err != nil {
			return none, query.At{}, wrap(op, err)
		}
		r.seen.Store(&after)
		still := after.of(p.Generation)
		whole := still != nil && still.Swept <= p.Upto && still.Repairs == p.Repairs
		switch {
		// Where the tier was emptied, revisions began anew: then there is none still.
		case after.is(now) && still != nil || fresh && whole:
			return value, p.at(), nil
		case whole && still == after.Live && what(still) == what(p):
			return value, still.at(), nil
		}
		now, fresh = &after, true
	}
	return none, query.At{}, wrap(op, errors.New("the tier is being rebuilt or repaired"))
}

// Klines implements query.KlineReader.
func (r *Reader) Klines(ctx context.Context, q query.KlineQuery) (map[string][]events.Bar, query.At, error) {
	return snapshot(ctx, r, "read klines", (*place).klines, func(p *place) (map[string][]events.Bar, error) {
		kept := r.keptBars(ctx, p, q)
		found, left := kept.pick(q)
		if len(left) == 0 {
			return found, nil
		}
		rest := q
		rest.Stocks = left
		read := r.klines
		if q.Last > 0 && q.From == 0 && !kept.reaches(nearly(q)) {
			read = r.newest
		}
		queried, err := read(ctx, p, rest)
		maps.Copy(found, queried)
		return found, err
	})
}

// newest looks where the newest bars of a stock that is traded are to be found,
// and only for what is not there into every month since the stock's first.
func (r *Reader) newest(ctx context.Context, p *place, q query.KlineQuery) (map[string][]events.Bar, error) {
	near := q
	near.From = nearly(q)
	found, err := r.klines(ctx, p, near)
	if err != nil {
		return nil, err
	}
	q.Stocks = slices.DeleteFunc(slices.Clone(q.Stocks), func(stock string) bool { return len(found[stock]) == q.Last })
	if len(q.Stocks) == 0 {
		return found, nil
	}
	rest, err := r.klines(ctx, p, q)
	maps.Copy(found, rest)
	return found, err
}

// nearly is a day since which a stock that is traded has had q.Last bars: five a
// week, but for the holidays.
func nearly(q query.KlineQuery) events.Date {
	until := time.Now()
	if q.To != 0 && q.To.Time().Before(until) {
		until = q.To.Time()
	}
	return events.DateOf(until.AddDate(0, 0, -q.Last*3/2-21))
}

func (r *Reader) klines(ctx context.Context, p *place, q query.KlineQuery) (map[string][]events.Bar, error) {
	quoted := make([]string, len(q.Stocks))
	several := false
	for i, stock := range q.Stocks {
		quoted[i] = quoteText(stock)
		several = several || p.Stocks[stock] > 0
	}
	where := "stock_code IN (" + strings.Join(quoted, ",") + ")"
	if q.From != 0 {
		where += fmt.Sprintf(" AND date >= '%s'", q.From)
	}
	if q.To != 0 {
		where += fmt.Sprintf(" AND date <= '%s'", q.To)
	}
	from := klinesAt(p, where, several)
	if q.Last > 0 {
		// Not by stock_code first: to read in that order, the server merges every
		// part there is.
		from += fmt.Sprintf(" ORDER BY date DESC LIMIT %d BY stock_code", q.Last)
	}
	return r.queryBars(ctx, from)
}

// klinesAt is the relation of the klines that count and are where. Only stocks
// that the place lists have several rows a day, or removed ones; several tells
// that there may be any of those.
func klinesAt(p *place, where string, several bool) string {
	from := "tapedeck_daily_kline PREWHERE " + p.visible() + " AND " + where
	if several {
		from = "(SELECT * FROM " + from + " ORDER BY stock_code, date, attempt DESC LIMIT 1 BY stock_code, date) WHERE removed = 0"
	}
	return from
}

// queryBars lists the bars of a relation by stock, the oldest first.
func (r *Reader) queryBars(ctx context.Context, from string) (map[string][]events.Bar, error) {
	rows, err := r.store.conn.Query(ctx, "SELECT stock_code, toYYYYMMDD(date), reinterpretAsInt64(open), reinterpretAsInt64(high), reinterpretAsInt64(low), reinterpretAsInt64(close), volume, reinterpretAsInt64(amount) FROM "+from)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[string][]events.Bar)
	for rows.Next() {
		var stock string
		var day uint32
		var open, high, low, closing, amount int64
		var volume uint64
		if err := rows.Scan(&stock, &day, &open, &high, &low, &closing, &volume, &amount); err != nil {
			return nil, err
		}
		found[stock] = append(found[stock], events.Bar{
			Date: events.Date(day), Open: events.Price(open), High: events.Price(high), Low: events.Price(low), Close: events.Price(closing),
			Volume: int64(volume), Amount: events.Money(amount),
		})
	}
	for _, bars := range found {
		slices.SortFunc(bars, func(a, b events.Bar) int { return cmp.Compare(a.Date, b.Date) })
	}
	return found, rows.Err()
}
