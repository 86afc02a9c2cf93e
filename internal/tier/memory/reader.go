package memory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// Keep says what a Reader keeps besides positions and records: about 100 bytes
// a trade and 60 a bar.
type Keep struct{ Trades, Klines bool }

// Reader follows the log and answers reads from memory: what is left when every
// database and every file is gone. Run fills it; until it has read what the log
// held when it began, its answers wrap query.ErrNotReady. It is safe for
// concurrent use.
type Reader struct {
	keep Keep

	mu   sync.RWMutex
	tier *Tier
	// fault is why this must not be trusted: the log is not the one that it was
	// filled from.
	fault  error
	ready  bool
	trades query.KeptTrades
	// klines are by stock, oldest first.
	klines  map[string][]events.Bar
	changes changes
}

var (
	_ query.PositionReader = (*Reader)(nil)
	_ query.RecordReader   = (*Reader)(nil)
	_ query.TradeReader    = (*Reader)(nil)
	_ query.KlineReader    = (*Reader)(nil)
)

// NewReader makes an empty reader.
func NewReader(keep Keep) *Reader {
	return &Reader{
		keep: keep, tier: New(nil), fault: query.ErrNotReady, klines: make(map[string][]events.Bar),
	}
}

// Run follows the log until ctx ends, through all its outages.
func (r *Reader) Run(ctx context.Context, log *eventlog.Log, logger *slog.Logger) {
	for ctx.Err() == nil {
		err := r.follow(ctx, log)
		if ctx.Err() != nil {
			return
		}
		if errors.As(err, new(*eventlog.CorruptError)) {
			r.distrust(err)
		}
		logger.Warn("memory tier waits for the log", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
		}
	}
}

// follow reads the log from where the reader is.
func (r *Reader) follow(ctx context.Context, log *eventlog.Log) error {
	info, err := log.Info(ctx)
	if err != nil {
		return err
	}
	frames, err := log.Read(ctx, r.tier.at, eventlog.ReadOptions{Follow: true})
	if err != nil {
		return err
	}
	defer frames.Close()
	r.readyAt(info.Last)
	_, err = projector.Player{}.Play(ctx, frames, &filling{Tier: r.tier, reader: r, until: info.Last}, r.tier.at)
	return err
}

func (r *Reader) distrust(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ready, r.fault = false, err
}

func (r *Reader) readyAt(end uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tier.at.Sequence >= end {
		r.ready, r.fault = true, nil
	}
}

// filling is the reader as the player's tier.
type filling struct {
	*Tier
	reader *Reader
	until  uint64
}

// Apply implements projector.Tier.
func (f *filling) Apply(ctx context.Context, b projector.Batch) error {
	r := f.reader
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := f.Tier.Apply(ctx, b); err != nil {
		return err
	}
	for _, e := range b.Events {
		switch d := e.Data.(type) {
		case *events.TradeRecorded:
			if r.keep.Trades {
				r.changes.traded(d.TradedAt)
				r.trades.Add(&query.Trade{Sequence: e.Sequence, Whole: true, TradeRecorded: *d})
			}
		case *events.KlineRecorded:
			if r.keep.Klines {
				r.klines[d.StockCode] = merge(r.klines[d.StockCode], d.Bars)
			}
		default:
			r.changes.add(e)
		}
	}
	if b.To.Sequence >= f.until {
		r.ready, r.fault = true, nil
	}
	return nil
}

// merge puts bars into a list by date, replacing those of the same date.
func merge(list, bars []events.Bar) []events.Bar {
	for _, bar := range bars {
		place, found := slices.BinarySearchFunc(list, bar.Date, func(b events.Bar, day events.Date) int { return cmp.Compare(b.Date, day) })
		if found {
			list[place] = bar
		} else {
			list = slices.Insert(list, place, bar)
		}
	}
	return list
}

// Name implements query.Tier.
func (r *Reader) Name() string { return "memory" }

// Close implements query.Tier.
func (r *Reader) Close() error { return nil }

// Keeps implements query.Keeper.
func (r *Reader) Keeps(kind query.Kind) bool {
	return (kind != query.Trades || r.keep.Trades) && (kind != query.Klines || r.keep.Klines)
}

// At implements query.Tier.
func (r *Reader) At(context.Context) (query.At, error) {
	return r.look(func(*book.Book) error { return nil })
}

// look reads under the lock.
func (r *Reader) look(f func(*book.Book) error) (query.At, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if !r.ready {
		return query.At{}, fmt.Errorf("memory is at %d: %w", r.tier.at.Sequence, r.fault)
	}
	return query.At{Sequence: r.tier.at.Sequence}, f(r.tier.book)
}

// Positions implements query.PositionReader.
func (r *Reader) Positions(_ context.Context, account, stock string) (query.AccountPositions, query.At, error) {
	var positions query.AccountPositions
	at, err := r.look(func(b *book.Book) error {
		positions = query.AccountPositions{IncDate: b.IncDate(account), List: query.Position(b.Positions(account), stock)}
		return nil
	})
	return positions, at, err
}

// Accounts implements query.RecordReader.
func (r *Reader) Accounts(_ context.Context, id string) ([]book.Account, query.At, error) {
	return listed(r, func(b *book.Book) []book.Account { return query.Accounts(b, id) })
}

// Strategies implements query.RecordReader.
func (r *Reader) Strategies(_ context.Context, code string) ([]book.Strategy, query.At, error) {
	return listed(r, func(b *book.Book) []book.Strategy { return query.Strategies(b, code) })
}

// Bindings implements query.RecordReader.
func (r *Reader) Bindings(_ context.Context, account, code string) ([]book.Binding, query.At, error) {
	return listed(r, func(b *book.Book) []book.Binding { return query.Bindings(b, account, code) })
}

// Params implements query.RecordReader.
func (r *Reader) Params(_ context.Context, code string, which query.Versions) ([]book.Param, query.At, error) {
	return listed(r, func(b *book.Book) []book.Param { return query.Params(b, code, which) })
}

func listed[T any](r *Reader, pick func(*book.Book) []T) ([]T, query.At, error) {
	var list []T
	at, err := r.look(func(b *book.Book) error {
		list = pick(b)
		return nil
	})
	return list, at, err
}

var errNotKept = fmt.Errorf("it is kept in memory only when asked for (--memory): %w", query.ErrLacks)

// Trades implements query.TradeReader.
func (r *Reader) Trades(_ context.Context, f query.TradeFilter) (list []query.Trade, at query.At, err error) {
	at, err = r.lookAtTrades(func(kept *query.KeptTrades) { list = kept.List(f) })
	return list, at, err
}

// Fills implements query.TradeReader.
func (r *Reader) Fills(_ context.Context, f query.TradeFilter) (all []query.StockFills, at query.At, err error) {
	at, err = r.lookAtTrades(func(kept *query.KeptTrades) { all = kept.Fills(f) })
	return all, at, err
}

func (r *Reader) lookAtTrades(f func(*query.KeptTrades)) (query.At, error) {
	return r.look(func(*book.Book) error {
		if !r.keep.Trades {
			return errNotKept
		}
		f(&r.trades)
		return nil
	})
}

// Klines implements query.KlineReader.
func (r *Reader) Klines(_ context.Context, q query.KlineQuery) (map[string][]events.Bar, query.At, error) {
	found := make(map[string][]events.Bar, len(q.Stocks))
	at, err := r.look(func(*book.Book) error {
		if !r.keep.Klines {
			return errNotKept
		}
		for _, stock := range q.Stocks {
			if bars := q.Pick(r.klines[stock]); len(bars) > 0 {
				found[stock] = bars
			}
		}
		return nil
	})
	return found, at, err
}
