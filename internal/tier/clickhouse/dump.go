package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Dump implements projector.Tier. Rows are streamed; neither side holds them
// all. Attempts that count later than the state that was read are left out, so
// a projector may go on. If one does, the instant is the one at which the
// klines are read: trades only ever get more at their end.
func (t *Tier) Dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	const op = "dump"
	if err := t.store.ensureOnce(ctx); err != nil {
		return eventlog.Checkpoint{}, wrap(op, err)
	}
	p, err := t.store.placeNow(ctx, t.generation)
	if err != nil {
		return eventlog.Checkpoint{}, wrap(op, err)
	}
	if p == nil {
		return eventlog.Checkpoint{}, nil
	}
	if p, err = t.store.dump(ctx, p, yield); err != nil {
		return eventlog.Checkpoint{}, wrap(op, err)
	}
	return p.checkpoint()
}

// placeNow is the place of a generation as it is now; nil for a live one that
// was never written to.
func (s *store) placeNow(ctx context.Context, generation uint64) (*place, error) {
	now, err := s.read(ctx)
	if err != nil {
		return nil, err
	}
	p := now.of(generation)
	if p == nil && generation != 0 {
		return nil, errGone
	}
	return p, nil
}

func (s *store) dump(ctx context.Context, p *place, yield func(book.Row) error) (*place, error) {
	if err := s.dumpTrades(ctx, p.visible(), yield); err != nil {
		return nil, err
	}
	for {
		now, err := s.placeNow(ctx, p.Generation)
		if err != nil {
			return nil, err
		}
		if now.Repairs != p.Repairs {
			return nil, fmt.Errorf("trades were repaired meanwhile")
		}
		if now.Upto != p.Upto {
			if err := s.dumpTrades(ctx, fmt.Sprintf("%s AND attempt > %d", now.visible(), p.Upto), yield); err != nil {
				return nil, err
			}
		}
		p = now
		done, err := s.dumpKlines(ctx, p, yield)
		if err != nil || done {
			return p, err
		}
	}
}

// sorting keeps the server's memory bounded, too.
var sorting = clickhouse.WithSettings(clickhouse.Settings{"max_bytes_before_external_sort": 256 << 20})

func (s *store) dumpTrades(ctx context.Context, condition string, yield func(book.Row) error) error {
	found, err := s.conn.Query(clickhouse.Context(ctx, sorting), "SELECT "+tradeFields+" FROM tapedeck_trade WHERE "+condition+" ORDER BY sequence, attempt DESC")
	if err != nil {
		return err
	}
	defer found.Close()
	var last storedTrade
	for first := true; found.Next(); first = false {
		row, err := scanTrade(found)
		if err != nil {
			return err
		}
		outdated := !first && row.Sequence == last.Sequence && row.attempt < last.attempt
		if outdated {
			continue
		}
		last = row
		if row.removed == 0 {
			if err := yield(row.Row()); err != nil {
				return err
			}
		}
	}
	return found.Err()
}

// dumpKlines reports false, and has yielded nothing, when rows of the place as
// it was are being deleted: then it has moved on.
func (s *store) dumpKlines(ctx context.Context, p *place, yield func(book.Row) error) (bool, error) {
	found, err := s.conn.Query(clickhouse.Context(ctx, sorting), "SELECT "+klineFields+" FROM tapedeck_daily_kline WHERE "+p.visible()+
		" ORDER BY stock_code, date, attempt DESC")
	if err != nil {
		return false, err
	}
	defer found.Close()
	// The query reads the rows as they were when it began, whatever is deleted
	// from now on.
	now, err := s.placeNow(ctx, p.Generation)
	if err != nil || now.Swept > p.Upto {
		return false, err
	}
	var last storedKline
	for first := true; found.Next(); first = false {
		row, err := scanKline(found)
		if err != nil {
			return false, err
		}
		outdated := !first && row.Date == last.Date && row.StockCode == last.StockCode && row.attempt < last.attempt
		if outdated {
			continue
		}
		last = row
		if row.removed == 0 {
			if err := yield(row.Row()); err != nil {
				return false, err
			}
		}
	}
	return true, found.Err()
}

const (
	tradeFields = "attempt, removed, sequence, timestamp, account_id, stock_code, stock_name, order_type, price_type, strategy_name, price, volume, amount, remark, order_id"
	klineFields = "attempt, removed, sequence, stock_code, date, open, high, low, close, volume, amount"
)

// storedTrade is a row of tapedeck_trade.
type storedTrade struct {
	book.Trade
	attempt uint64
	removed uint8
}

func scanTrade(found driver.Rows) (storedTrade, error) {
	var d events.TradeRecorded
	row := storedTrade{Trade: book.Trade{TradeRecorded: &d}}
	var orderType, priceType string
	var price, amount decimal.Decimal
	var volume uint64
	err := found.Scan(&row.attempt, &row.removed, &row.Sequence, &d.TradedAt, &d.AccountID, &d.StockCode, &d.StockName,
		&orderType, &priceType, &d.StrategyName, &price, &volume, &amount, &d.Remark, &d.OrderID)
	d.OrderType, d.PriceType = events.OrderType(orderType), events.PriceType(priceType)
	d.Price, d.Amount, d.Volume = events.Price(price.CoefficientInt64()), events.Money(amount.CoefficientInt64()), int64(volume)
	return row, err
}

// storedKline is a row of tapedeck_daily_kline.
type storedKline struct {
	book.Kline
	attempt, sequence uint64
	removed           uint8
}

func scanKline(found driver.Rows) (storedKline, error) {
	var row storedKline
	var day time.Time
	var open, high, low, closed, amount decimal.Decimal
	var volume uint64
	err := found.Scan(&row.attempt, &row.removed, &row.sequence, &row.StockCode, &day, &open, &high, &low, &closed, &volume, &amount)
	row.Date = dateOf(day)
	row.Open, row.High = events.Price(open.CoefficientInt64()), events.Price(high.CoefficientInt64())
	row.Low, row.Close = events.Price(low.CoefficientInt64()), events.Price(closed.CoefficientInt64())
	row.Volume, row.Amount = int64(volume), events.Money(amount.CoefficientInt64())
	return row, err
}
