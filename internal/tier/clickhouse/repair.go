package clickhouse

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Repair implements projector.Live: new rows, and marks that a row is
// removed, are inserted under an attempt of their own that outdates what the
// keys held, whatever and however many that is.
func (t *Tier) Repair(ctx context.Context, at eventlog.Checkpoint, changes []projector.Change) error {
	const op = "repair"
	if err := t.store.ensureOnce(ctx); err != nil {
		return wrap(op, err)
	}
	// The hold is no matter: the checkpoint stays.
	now, err := t.store.change(ctx, func(next *state) error {
		p, err := t.at(next, at)
		if err != nil {
			return err
		}
		t.give(next, p)
		return nil
	})
	if err != nil {
		return wrap(op, err)
	}
	as := t.attempt
	t.attempt = attempt{}
	r := repair{at: at, store: t.store, place: now.of(t.generation), stocks: make(map[string]bool), accounts: make(map[string]bool)}
	if err := r.plan(ctx, changes); err != nil {
		return wrap(op, err)
	}
	if err := r.insert(ctx, as); err != nil {
		return wrap(op, err)
	}
	if err := ctx.Err(); err != nil {
		return wrap(op, err)
	}
	_, err = t.store.change(context.WithoutCancel(ctx), func(next *state) error {
		p, err := t.at(next, at)
		if err != nil {
			return err
		}
		if p.Generation != as.generation || !slices.Contains(p.Pending, as.number) {
			return fmt.Errorf("another writer made our rows void: %w", projector.ErrConflict)
		}
		p.count(as.number, len(r.klines.sequence) > 0)
		p.Stocks = mark(p.Stocks, slices.Sorted(maps.Keys(r.stocks)), as.number)
		p.Accounts = mark(p.Accounts, slices.Sorted(maps.Keys(r.accounts)), as.number)
		if len(r.trades.sequence) > 0 {
			p.Repairs++
		}
		return nil
	})
	return wrapIf(op, err)
}

// at is the place that is repaired, if its checkpoint is the one given.
func (t *Tier) at(s *state, at eventlog.Checkpoint) (*place, error) {
	p := s.of(t.generation)
	if p == nil {
		return nil, errGone
	}
	is, err := p.checkpoint()
	if err == nil && is != at {
		err = fmt.Errorf("the checkpoint is %d: %w", is.Sequence, projector.ErrConflict)
	}
	return p, err
}

// mark notes the attempt at which the named got rows beside those they had.
func mark(marks map[string]uint64, names []string, number uint64) map[string]uint64 {
	if len(names) > 0 && marks == nil {
		marks = make(map[string]uint64)
	}
	for _, name := range names {
		marks[name] = number
	}
	return marks
}

// repair collects the rows that make changes true.
type repair struct {
	at               eventlog.Checkpoint
	store            *store
	place            *place
	trades           tradeColumns
	klines           klineColumns
	stocks, accounts map[string]bool
}

// keysPerQuery bounds how many keys are looked up at once.
const keysPerQuery = 1000

func (r *repair) plan(ctx context.Context, changes []projector.Change) error {
	var trades, klines []projector.Change
	for _, c := range changes {
		switch c.Kind {
		case book.KindTrade:
			trades = append(trades, c)
		case book.KindKline:
			klines = append(klines, c)
		default:
			return fmt.Errorf("there are no rows of %s here: %w", c.Kind, projector.ErrRefused)
		}
	}
	for chunk := range slices.Chunk(trades, keysPerQuery) {
		if err := r.planTrades(ctx, chunk); err != nil {
			return err
		}
	}
	for chunk := range slices.Chunk(klines, keysPerQuery) {
		if err := r.planKlines(ctx, chunk); err != nil {
			return err
		}
	}
	return nil
}

func (r *repair) planTrades(ctx context.Context, changes []projector.Change) error {
	sequences := make([]uint64, len(changes))
	for i, c := range changes {
		var err error
		if sequences[i], err = strconv.ParseUint(c.Key, 10, 64); err != nil {
			return errKey(c)
		}
	}
	there, err := r.storedTrades(ctx, sequences)
	if err != nil {
		return err
	}
	for i, c := range changes {
		old, isThere := there[sequences[i]]
		switch {
		case c.Value != nil:
			b, err := restore(c)
			if err != nil {
				return err
			}
			trade := b.Trades()[0]
			r.accounts[trade.AccountID] = true
			r.trades.add(&trade, false)
		case isThere:
			r.trades.add(&old.Trade, true)
		}
	}
	return nil
}

// storedTrades reads the rows of trades that count, and notes whose they are.
func (r *repair) storedTrades(ctx context.Context, sequences []uint64) (map[uint64]storedTrade, error) {
	found, err := r.store.conn.Query(ctx, "SELECT "+tradeFields+" FROM tapedeck_trade WHERE "+r.place.visible()+
		" AND sequence IN ("+numbers(sequences)+") ORDER BY sequence, attempt")
	if err != nil {
		return nil, err
	}
	defer found.Close()
	there := make(map[uint64]storedTrade)
	for found.Next() {
		row, err := scanTrade(found)
		if err != nil {
			return nil, err
		}
		r.accounts[row.AccountID] = true
		there[row.Sequence] = row
	}
	return there, found.Err()
}

func (r *repair) planKlines(ctx context.Context, changes []projector.Change) error {
	type key struct {
		code string
		date events.Date
	}
	keys := make([]key, len(changes))
	texts := make([]string, len(changes))
	for i, c := range changes {
		code, day, _ := strings.Cut(c.Key, "/")
		date, err := events.ParseDate(day)
		if err != nil {
			return errKey(c)
		}
		keys[i] = key{code, date}
		texts[i] = "(" + quoteText(code) + ", toDate32(" + quoteText(day) + "))"
	}
	found, err := r.store.conn.Query(ctx, "SELECT "+klineFields+" FROM tapedeck_daily_kline WHERE "+r.place.visible()+
		" AND (stock_code, date) IN ("+strings.Join(texts, ", ")+") ORDER BY stock_code, date, attempt")
	if err != nil {
		return err
	}
	defer found.Close()
	there := make(map[key]storedKline)
	for found.Next() {
		row, err := scanKline(found)
		if err != nil {
			return err
		}
		there[key{row.StockCode, row.Date}] = row
	}
	if err := found.Err(); err != nil {
		return err
	}
	for i, c := range changes {
		old, isThere := there[keys[i]]
		sequence := r.at.Sequence
		if isThere {
			sequence = old.sequence
		}
		r.stocks[keys[i].code] = true
		switch {
		case c.Value != nil:
			b, err := restore(c)
			if err != nil {
				return err
			}
			r.klines.add(keys[i].code, bar{b.Klines(keys[i].code)[0].Bar, sequence}, false)
		case isThere:
			r.klines.add(keys[i].code, bar{old.Bar, sequence}, true)
		}
	}
	return nil
}

func (r *repair) insert(ctx context.Context, as attempt) error {
	if len(r.trades.sequence) > 0 {
		if err := r.store.insertTrades(ctx, as, &r.trades); err != nil {
			return err
		}
	}
	if len(r.klines.sequence) > 0 {
		return r.store.insertKlines(ctx, as, &r.klines)
	}
	return nil
}

// restore reads a row as the book does.
func restore(c projector.Change) (*book.Book, error) {
	b := book.New(book.Keep{History: true})
	return b, b.Restore(book.Row{Kind: c.Kind, Key: c.Key, Value: *c.Value})
}

func errKey(c projector.Change) error {
	return fmt.Errorf("%q is no key of a %s: %w", c.Key, c.Kind, projector.ErrRefused)
}
