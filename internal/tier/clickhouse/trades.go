package clickhouse

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// trades keeps the trades that were read. They are only added: a newer place of
// the generation needs no more than those of later sequences, but after a
// repair, and in another generation, all are read anew. That is done in the
// background; a read asks the server for what came since.
type trades struct {
	reading background
	mu      sync.RWMutex
	kept    *query.KeptTrades
	// at is the place that they are of, but for its lists.
	at place
	// many tells that there are more than may be kept: none is.
	many bool
}

// most bounds what is kept, and how many more are read on at once: as they are
// not packed, they take ten times as much.
type most struct{ trades, bytes, more int }

var mostTrades = most{trades: 5_000_000, bytes: 600 << 20, more: 50_000}

// keepTradesEvery is how often a reading may begin.
const keepTradesEvery = time.Second

// Trades implements query.TradeReader.
func (r *Reader) Trades(ctx context.Context, f query.TradeFilter) ([]query.Trade, query.At, error) {
	r.catchUp()
	return snapshot(ctx, r, "read trades", (*place).trades, func(p *place) ([]query.Trade, error) {
		var list []query.Trade
		at := r.keptTrades(ctx, p, func(kept *query.KeptTrades) { list = kept.List(f) })
		more, err := r.queryTrades(ctx, missing(at, p, f), f.Limit)
		return query.MergeTrades(list, more, f.Limit), err
	})
}

// Fills implements query.TradeReader. Whoever asks first waits until all trades
// were read; that goes on when they give up, and the next one finds it done.
func (r *Reader) Fills(ctx context.Context, f query.TradeFilter) ([]query.StockFills, query.At, error) {
	const op = "read executions"
	if r.keepsNone() && !query.IsAfresh(ctx) {
		r.keepTrades(ctx)
		if err := r.trades.reading.wait(ctx); err != nil {
			return nil, query.At{}, wrap(op, err)
		}
	}
	r.catchUp()
	return snapshot(ctx, r, op, (*place).trades, func(p *place) ([]query.StockFills, error) {
		var all []query.StockFills
		at := r.keptTrades(ctx, p, func(kept *query.KeptTrades) { all = kept.Fills(f) })
		more, err := r.queryTrades(ctx, missing(at, p, f), 0)
		return query.MergeFills(all, more), err
	})
}

// catchUp forgets a state that is older than what is kept: another read
// remembers it, from before.
func (r *Reader) catchUp() {
	r.trades.mu.RLock()
	defer r.trades.mu.RUnlock()
	if seen := r.seen.Load(); seen != nil && seen.Live != nil && seen.Live.Sequence < r.trades.at.Sequence {
		r.seen.Store(nil)
	}
}

func (r *Reader) keepsNone() bool {
	r.trades.mu.RLock()
	defer r.trades.mu.RUnlock()
	return r.trades.kept == nil && !r.trades.many
}

// keptTrades lets somebody use what is kept of a place and returns which place
// it is of, a part of that; nil is nothing. What is missing is going to be read:
// nobody waits for that.
func (r *Reader) keptTrades(ctx context.Context, p *place, use func(*query.KeptTrades)) *place {
	if query.IsAfresh(ctx) {
		return nil
	}
	t := &r.trades
	t.mu.RLock()
	at, extends, many := t.at, t.extends(p), t.many
	if extends && !many {
		use(t.kept)
	}
	t.mu.RUnlock()
	if !extends || at.trades() != p.trades() && !many {
		r.keepTrades(ctx)
	}
	if !extends || many {
		return nil
	}
	return &at
}

// extends tells whether a place holds what is kept and perhaps more, and each
// trade once.
func (t *trades) extends(p *place) bool {
	return (t.kept != nil || t.many) && t.at.Generation == p.Generation && t.at.Repairs == p.Repairs && t.at.Sequence <= p.Sequence && len(p.Accounts) == 0
}

// keepTrades reads what is missing in the background, unless that was begun a
// moment ago. When it fails, a read after that moment begins it again.
func (r *Reader) keepTrades(ctx context.Context) {
	r.trades.reading.startEvery(ctx, keepTradesEvery, func(ctx context.Context) {
		bounded, cancel := context.WithTimeout(ctx, keepBound)
		defer cancel()
		if err := r.readOn(bounded, mostTrades); err != nil && ctx.Err() == nil {
			slog.WarnContext(ctx, "trades are queried each time", "error", err)
		}
	})
}

// readOn brings what is kept to the present. It is for one at a time, who alone
// changes it.
func (r *Reader) readOn(ctx context.Context, most most) error {
	t := &r.trades
	type found struct {
		p    *place
		all  *query.KeptTrades
		more []query.Trade
		many bool
	}
	got, _, err := snapshot(ctx, r, "keep trades", (*place).trades, func(p *place) (found, error) {
		switch {
		case len(p.Accounts) > 0: // until the sweep each read picks the rows that count
			return found{}, nil
		case t.extends(p) && t.many:
			return found{p: p, many: true}, nil
		case t.extends(p):
			more, err := r.queryTrades(ctx, missing(&t.at, p, query.TradeFilter{}), most.more+1)
			if err != nil || len(more) <= most.more {
				return found{p: p, more: more}, err
			}
		}
		all, err := r.readAll(ctx, p, most)
		return found{p: p, all: all, many: all == nil}, err
	})
	if err != nil || got.p == nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if got.all != nil {
		t.kept = got.all
	}
	for i := range slices.Backward(got.more) { // the oldest first
		t.kept.Add(&got.more[i])
	}
	many := got.many || most.exceededBy(t.kept)
	if many && !t.many {
		slog.WarnContext(ctx, "trades are queried each time: there are too many to keep", "most", most.trades, "most_bytes", most.bytes)
	}
	if t.many = many; many {
		t.kept = nil
	}
	t.at = place{Generation: got.p.Generation, Repairs: got.p.Repairs, Upto: got.p.Upto, UptoAt: got.p.UptoAt, Sequence: got.p.Sequence}
	return nil
}

func (m most) exceededBy(kept *query.KeptTrades) bool {
	return kept.Len() > m.trades || kept.Bytes() > m.bytes
}

// readAll reads all trades of a place; nil when there are too many.
func (r *Reader) readAll(ctx context.Context, p *place, most most) (*query.KeptTrades, error) {
	ctx, enough := context.WithCancel(ctx)
	defer enough()
	all := new(query.KeptTrades)
	err := r.eachTrade(ctx, tradesAt(p, query.TradeFilter{})+fmt.Sprintf(" ORDER BY sequence LIMIT %d", most.trades+1), func(t *query.Trade) {
		if all.Add(t); most.exceededBy(all) {
			enough()
		}
	})
	if most.exceededBy(all) {
		return nil, nil
	}
	return all, err
}

// second is traded_at in seconds since 1970, which no trade is before;
// toUnixTimestamp ends in 2106.
const second = "intDiv(toUnixTimestamp64Micro(timestamp), 1000000)"

// tradesAt is the relation of the trades that count and pass a filter. Where
// repairs may have left several rows of one trade, the newest is picked before
// anything else is looked at.
//
// PREWHERE is written out, here and in klinesAt: to choose it by itself, the
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
	if f.Strategy != "" && f.Alias != "" {
		passes = append(passes, fmt.Sprintf("strategy_name IN (%s, %s)", quoteText(f.Strategy), quoteText(f.Alias)))
	} else {
		is("strategy_name", f.Strategy)
	}
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

// missing is the relation of the trades of a place that pass a filter and are
// not of the part of it that is kept; "" is none.
func missing(kept, p *place, f query.TradeFilter) string {
	switch {
	case kept == nil:
		return tradesAt(p, f)
	case kept.trades() == p.trades():
		return ""
	}
	return fmt.Sprintf("%s AND sequence > %d", tradesAt(p, f), kept.Sequence)
}

// queryTrades lists the trades of a relation, the newest first.
func (r *Reader) queryTrades(ctx context.Context, from string, limit int) ([]query.Trade, error) {
	if from == "" {
		return nil, nil
	}
	from += " ORDER BY " + second + " DESC, sequence DESC"
	if limit > 0 {
		from += fmt.Sprintf(" LIMIT %d", limit)
	}
	var list []query.Trade
	err := r.eachTrade(ctx, from, func(t *query.Trade) {
		if len(list) == cap(list) { // append alone would copy a long list ten times
			list = slices.Grow(list, max(64, len(list)))
		}
		list = append(list, *t)
	})
	return list, err
}

// eachTrade hands over the trades of a relation.
func (r *Reader) eachTrade(ctx context.Context, from string, use func(*query.Trade)) error {
	rows, err := r.store.conn.Query(ctx, "SELECT sequence, toUnixTimestamp64Micro(timestamp), account_id, stock_code, stock_name, order_type, price_type, strategy_name, "+
		"reinterpretAsInt64(price), volume, reinterpretAsInt64(amount), remark, order_id FROM "+from)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var t query.Trade
		if err := scanWhole(rows, &t); err != nil {
			return err
		}
		use(&t)
	}
	return rows.Err()
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
