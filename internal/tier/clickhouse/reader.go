package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// Reader reads the live contents and writes nothing. It is safe for concurrent
// use.
type Reader struct {
	store *store
	seen  atomic.Pointer[state]
	fills fills
}

var (
	_ query.TradeReader = (*Reader)(nil)
	_ query.KlineReader = (*Reader)(nil)
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
	return &Reader{store: &store{conn: conn, options: options, database: options.Auth.Database}, fills: newFills()}, nil
}

// Name implements query.Tier.
func (r *Reader) Name() string { return "clickhouse" }

// Close implements query.Tier.
func (r *Reader) Close() error { return r.store.conn.Close() }

// At implements query.Tier.
func (r *Reader) At(ctx context.Context) (query.At, error) {
	p, err := r.store.placeNow(ctx, 0)
	if err != nil {
		return query.At{}, wrap("read checkpoint", err)
	}
	return p.at(), nil
}

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
// tier may be empty by then.
func snapshot[T any](ctx context.Context, r *Reader, op string, f func(p *place) (T, error)) (T, query.At, error) {
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
		if after.Revision == now.Revision || fresh && whole {
			return value, p.at(), nil
		}
		now, fresh = &after, true
	}
	return none, query.At{}, wrap(op, errors.New("the tier is being rebuilt or repaired"))
}

// Klines implements query.KlineReader.
func (r *Reader) Klines(ctx context.Context, q query.KlineQuery) (map[string][]events.Bar, query.At, error) {
	return snapshot(ctx, r, "read klines", func(p *place) (map[string][]events.Bar, error) {
		if q.Last > 0 && q.From == 0 {
			return r.newest(ctx, p, q)
		}
		return r.klines(ctx, p, q)
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
	for i, stock := range q.Stocks {
		quoted[i] = quoteText(stock)
	}
	where := p.visible() + " AND stock_code IN (" + strings.Join(quoted, ",") + ")"
	if q.From != 0 {
		where += fmt.Sprintf(" AND date >= '%s'", q.From)
	}
	if q.To != 0 {
		where += fmt.Sprintf(" AND date <= '%s'", q.To)
	}
	// Only stocks that the state lists have several rows a day, or removed ones.
	from := "tapedeck_daily_kline PREWHERE " + where
	if slices.ContainsFunc(q.Stocks, func(stock string) bool { return p.Stocks[stock] > 0 }) {
		from = "(SELECT * FROM " + from + " ORDER BY stock_code, date, attempt DESC LIMIT 1 BY stock_code, date) WHERE removed = 0"
	}
	if q.Last > 0 {
		// Not by stock_code first: to read in that order, the server merges every
		// part there is.
		from += fmt.Sprintf(" ORDER BY date DESC LIMIT %d BY stock_code", q.Last)
	}
	rows, err := r.store.conn.Query(ctx, "SELECT stock_code, toYYYYMMDD(date), reinterpretAsInt64(open), reinterpretAsInt64(high), reinterpretAsInt64(low), reinterpretAsInt64(close), volume, reinterpretAsInt64(amount) FROM "+from)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[string][]events.Bar, len(q.Stocks))
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

// second is traded_at in seconds since 1970, which no trade is before;
// toUnixTimestamp ends in 2106.
const second = "intDiv(toUnixTimestamp64Micro(timestamp), 1000000)"

// tradesAt is the relation of the trades that count and pass a filter. Where
// repairs may have left several rows of one trade, the newest is picked before
// anything else is looked at.
//
// PREWHERE is written out, here and for klines: to choose it by itself, the
// server (26.7) reads statistics of every part there is, which takes longer than
// all else.
func tradesAt(p *place, f query.TradeFilter) string {
	var passes []string
	is := func(column, value string) {
		if value != "" {
			passes = append(passes, column+" = "+quoteText(value))
		}
	}
	is("account_id", f.Account)
	is("stock_code", f.Stock)
	is("strategy_name", f.Strategy)
	// The server's 'Asia/Shanghai' had summer time until 1991, events.Zone has none.
	if f.From != 0 {
		passes = append(passes, fmt.Sprintf("timestamp >= fromUnixTimestamp64Micro(%d)", f.From.Time().UnixMicro()))
	}
	if f.To != 0 {
		passes = append(passes, fmt.Sprintf("timestamp < fromUnixTimestamp64Micro(%d)", f.To.Time().AddDate(0, 0, 1).UnixMicro()))
	}
	from := "tapedeck_trade PREWHERE " + p.visible()
	if len(p.Accounts) > 0 {
		from = "(SELECT * FROM tapedeck_trade PREWHERE " + p.visible() + " ORDER BY sequence, attempt DESC LIMIT 1 BY sequence) WHERE removed = 0"
	}
	return strings.Join(append([]string{from}, passes...), " AND ")
}

// Trades implements query.TradeReader.
func (r *Reader) Trades(ctx context.Context, f query.TradeFilter) ([]query.Trade, query.At, error) {
	return snapshot(ctx, r, "read trades", func(p *place) ([]query.Trade, error) {
		statement := "SELECT sequence, toUnixTimestamp64Micro(timestamp), account_id, stock_code, stock_name, order_type, price_type, strategy_name, " +
			"reinterpretAsInt64(price), volume, reinterpretAsInt64(amount), remark, order_id FROM " + tradesAt(p, f) + " ORDER BY " + second + " DESC, sequence DESC"
		if f.Limit > 0 {
			statement += fmt.Sprintf(" LIMIT %d", f.Limit)
		}
		return collect(ctx, r.store.conn, statement, scanWhole)
	})
}

func scanWhole(rows driver.Rows, t *query.Trade) error {
	var micros, price, amount int64
	var volume uint64
	var orderType, priceType string
	err := rows.Scan(&t.Sequence, &micros, &t.AccountID, &t.StockCode, &t.StockName, &orderType, &priceType, &t.StrategyName,
		&price, &volume, &amount, &t.Remark, &t.OrderID)
	t.Whole, t.TradedAt = true, time.UnixMicro(micros).In(events.Zone)
	t.OrderType, t.PriceType = events.OrderType(orderType), events.PriceType(priceType)
	t.Price, t.Volume, t.Amount = events.Price(price), int64(volume), events.Money(amount)
	return err
}

// collect lists what a statement finds.
func collect[T any](ctx context.Context, conn driver.Conn, statement string, scan func(driver.Rows, *T) error) ([]T, error) {
	rows, err := conn.Query(ctx, statement)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var list []T
	for rows.Next() {
		var item T
		if err := scan(rows, &item); err != nil {
			return nil, err
		}
		list = append(list, item)
	}
	return list, rows.Err()
}
