package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// fills keeps the fills that were read, 40 bytes each: profits need all that
// ever were, and trades are only added, so a newer state needs no more than what
// its newer attempts brought. A repair, or another generation, begins anew.
type fills struct {
	// turn is had by whoever reads; the rest is theirs.
	turn chan struct{}
	// at is the place that they were read at, but for its lists.
	at place
	by map[stockOf][]query.Fill
}

type stockOf struct{ account, stock string }

func newFills() fills { return fills{turn: make(chan struct{}, 1)} }

// fillsBound is how long a read of fills may take. It goes on when its caller
// has given up: the next one finds it done.
const fillsBound = time.Minute

// Fills implements query.TradeReader.
func (r *Reader) Fills(ctx context.Context, f query.TradeFilter) ([]query.StockFills, query.At, error) {
	const op = "read executions"
	select {
	case r.fills.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, query.At{}, wrap(op, ctx.Err())
	}
	type answer struct {
		all []query.StockFills
		at  query.At
		err error
	}
	answered := make(chan answer, 1)
	go func() {
		defer func() { <-r.fills.turn }()
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), fillsBound)
		defer cancel()
		var a answer
		a.all, a.at, a.err = r.readFills(bounded, op, f)
		answered <- a
	}()
	select {
	case a := <-answered:
		return a.all, a.at, a.err
	case <-ctx.Done():
		return nil, query.At{}, wrap(op, ctx.Err())
	}
}

// readFills is for one at a time.
func (r *Reader) readFills(ctx context.Context, op string, f query.TradeFilter) ([]query.StockFills, query.At, error) {
	if seen := r.seen.Load(); seen != nil && seen.Live != nil && seen.Live.Upto < r.fills.at.Upto {
		r.seen.Store(nil) // another read remembers it, from before
	}
	var p *place
	found, at, err := snapshot(ctx, r, op, func(now *place) (map[stockOf][]numbered, error) {
		p = now
		from := r.fills.missing(p, f)
		if from == "" {
			return nil, nil
		}
		return r.queryFills(ctx, from)
	})
	if err != nil || p == nil || at.Sequence != p.Sequence { // the tier is empty by now
		return nil, at, err
	}
	return r.fills.take(p, f, found), at, nil
}

// keeps tells whether fills for a filter are kept: not their strategies, and
// nothing while a trade may have several rows.
func (k *fills) keeps(p *place, f query.TradeFilter) bool {
	return f.Strategy == "" && len(p.Accounts) == 0
}

// extends tells whether a place holds what is kept and perhaps more.
func (k *fills) extends(p *place) bool {
	return k.by != nil && k.at.Generation == p.Generation && k.at.Repairs == p.Repairs && k.at.Upto <= p.Upto
}

// missing is the relation of the trades that have to be read; "" is none.
func (k *fills) missing(p *place, f query.TradeFilter) string {
	switch {
	case !k.keeps(p, f):
		return tradesAt(p, f)
	case !k.extends(p):
		return tradesAt(p, query.TradeFilter{})
	case k.at.Upto == p.Upto:
		return ""
	}
	return fmt.Sprintf("%s AND attempt > %d AND sequence > %d", tradesAt(p, query.TradeFilter{}), k.at.Upto, k.at.Sequence)
}

// take adds what was missing to what is kept and picks what was asked for.
func (k *fills) take(p *place, f query.TradeFilter, found map[stockOf][]numbered) []query.StockFills {
	if !k.keeps(p, f) {
		by := make(map[stockOf][]query.Fill, len(found))
		add(by, found)
		return pick(by, f)
	}
	if !k.extends(p) {
		k.by = make(map[stockOf][]query.Fill, len(found))
	}
	add(k.by, found)
	k.at = place{Generation: p.Generation, Repairs: p.Repairs, Upto: p.Upto, Sequence: p.Sequence}
	return pick(k.by, f)
}

// numbered is a fill with its event's sequence.
type numbered struct {
	sequence uint64
	query.Fill
}

func (r *Reader) queryFills(ctx context.Context, from string) (map[stockOf][]numbered, error) {
	rows, err := r.store.conn.Query(ctx, "SELECT account_id, stock_code, sequence, "+second+", order_type = 'sell_trade', "+
		"reinterpretAsInt64(price), volume, reinterpretAsInt64(amount) FROM "+from+" AND order_type IN ('buy_trade', 'sell_trade')")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[stockOf][]numbered)
	for rows.Next() {
		of, fill, err := scanFill(rows)
		if err != nil {
			return nil, err
		}
		found[of] = append(found[of], fill)
	}
	return found, rows.Err()
}

func scanFill(rows driver.Rows) (of stockOf, fill numbered, err error) {
	var price, amount int64
	var volume uint64
	var sell uint8
	err = rows.Scan(&of.account, &of.stock, &fill.sequence, &fill.Second, &sell, &price, &volume, &amount)
	fill.Sell, fill.Price, fill.Volume, fill.Amount = sell == 1, events.Price(price), int64(volume), events.Money(amount)
	return of, fill, err
}

// add puts fills in their places; their sequences are higher than those of all
// that are there. What readers were given is not changed.
func add(by map[stockOf][]query.Fill, found map[stockOf][]numbered) {
	for of, list := range found {
		slices.SortFunc(list, func(a, b numbered) int {
			return cmp.Or(cmp.Compare(a.Second, b.Second), cmp.Compare(a.sequence, b.sequence))
		})
		all := by[of]
		var later []query.Fill
		if first := behind(all, list[0].Second); first < len(all) {
			all, later = slices.Clone(all[:first]), all[first:]
		}
		for _, fill := range list {
			n := behind(later, fill.Second)
			all, later = append(append(all, later[:n]...), fill.Fill), later[n:]
		}
		by[of] = append(all, later...)
	}
}

// behind is the place behind all fills of a second and before.
func behind(list []query.Fill, second int64) int {
	place, _ := slices.BinarySearchFunc(list, second+1, func(f query.Fill, second int64) int { return cmp.Compare(f.Second, second) })
	return place
}

func pick(by map[stockOf][]query.Fill, f query.TradeFilter) []query.StockFills {
	var all []query.StockFills
	for of, list := range by {
		if f.Account != "" && f.Account != of.account || f.Stock != "" && f.Stock != of.stock {
			continue
		}
		first, last := 0, len(list)
		if f.From != 0 {
			first = behind(list, f.From.Time().Unix()-1)
		}
		if f.To != 0 {
			last = behind(list, f.To.Time().AddDate(0, 0, 1).Unix()-1)
		}
		if first < last {
			all = append(all, query.StockFills{Account: of.account, Stock: of.stock, Fills: list[first:last]})
		}
	}
	return all
}
