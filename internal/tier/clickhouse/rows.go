package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// rowsPerInsert bounds a block: what the server holds in memory for it.
const rowsPerInsert = 250_000

// rows are a batch's, as they are inserted.
type rows struct {
	trades []book.Trade
	// stocks are sorted by code, each with its bars by date, one a day.
	stocks []stockBars
}

type stockBars struct {
	code string
	bars []bar
}

type bar struct {
	events.Bar
	sequence uint64
}

func (r rows) empty() bool { return len(r.trades) == 0 && len(r.stocks) == 0 }

// gather picks the events that make rows here. Of several bars of one stock and
// day the last wins.
func gather(batch []*events.Event) rows {
	var r rows
	byCode := make(map[string]int)
	for _, e := range batch {
		switch d := e.Data.(type) {
		case *events.TradeRecorded:
			r.trades = append(r.trades, book.Trade{Sequence: e.Sequence, TradeRecorded: d})
		case *events.KlineRecorded:
			if len(d.Bars) == 0 {
				continue
			}
			i, ok := byCode[d.StockCode]
			if !ok {
				i = len(r.stocks)
				byCode[d.StockCode] = i
				r.stocks = append(r.stocks, stockBars{code: d.StockCode})
			}
			s := &r.stocks[i]
			s.bars = slices.Grow(s.bars, len(d.Bars))
			for _, b := range d.Bars {
				s.bars = append(s.bars, bar{b, e.Sequence})
			}
		}
	}
	slices.SortFunc(r.stocks, func(a, b stockBars) int { return strings.Compare(a.code, b.code) })
	for i := range r.stocks {
		r.stocks[i].bars = lastOfEachDay(r.stocks[i].bars)
	}
	return r
}

func lastOfEachDay(bars []bar) []bar {
	byDay := func(a, b bar) int { return cmp.Compare(a.Date, b.Date) }
	if !slices.IsSortedFunc(bars, byDay) {
		slices.SortStableFunc(bars, byDay)
	}
	kept := bars[:0]
	for i, b := range bars {
		if i+1 == len(bars) || bars[i+1].Date != b.Date {
			kept = append(kept, b)
		}
	}
	return kept
}

// insertRows sends the rows under an attempt, column by column.
func (s *store) insertRows(ctx context.Context, as attempt, r rows) error {
	for trades := range slices.Chunk(r.trades, rowsPerInsert) {
		var c tradeColumns
		c.grow(len(trades))
		for i := range trades {
			c.add(&trades[i], false)
		}
		if err := s.insertTrades(ctx, as, &c); err != nil {
			return err
		}
	}
	var c klineColumns
	for i, stock := range r.stocks {
		for _, b := range stock.bars {
			c.add(stock.code, b, false)
		}
		if len(c.stockCode) >= rowsPerInsert || i == len(r.stocks)-1 {
			if err := s.insertKlines(ctx, as, &c); err != nil {
				return err
			}
			c.reset()
		}
	}
	return nil
}

// tradeColumns are rows of tapedeck_trade.
type tradeColumns struct {
	sequence, volume                                                    []uint64
	timestamp                                                           []time.Time
	accountID, stockCode, stockName, orderType, priceType, strategyName []string
	price, amount                                                       []int64
	remark, orderID                                                     []string
	removed                                                             []uint8
}

func (c *tradeColumns) grow(n int) {
	c.sequence, c.volume = make([]uint64, 0, n), make([]uint64, 0, n)
	c.timestamp = make([]time.Time, 0, n)
	for _, column := range []*[]string{&c.accountID, &c.stockCode, &c.stockName, &c.orderType, &c.priceType, &c.strategyName, &c.remark, &c.orderID} {
		*column = make([]string, 0, n)
	}
	c.price, c.amount = make([]int64, 0, n), make([]int64, 0, n)
	c.removed = make([]uint8, 0, n)
}

func (c *tradeColumns) add(t *book.Trade, removed bool) {
	c.sequence = append(c.sequence, t.Sequence)
	c.timestamp = append(c.timestamp, t.TradedAt)
	c.accountID = append(c.accountID, t.AccountID)
	c.stockCode = append(c.stockCode, t.StockCode)
	c.stockName = append(c.stockName, t.StockName)
	c.orderType = append(c.orderType, string(t.OrderType))
	c.priceType = append(c.priceType, string(t.PriceType))
	c.strategyName = append(c.strategyName, t.StrategyName)
	c.price = append(c.price, int64(t.Price))
	c.volume = append(c.volume, uint64(t.Volume))
	c.amount = append(c.amount, int64(t.Amount))
	c.remark = append(c.remark, t.Remark)
	c.orderID = append(c.orderID, t.OrderID)
	c.removed = append(c.removed, flag(removed))
}

func (s *store) insertTrades(ctx context.Context, as attempt, c *tradeColumns) error {
	n := len(c.sequence)
	err := s.insert(ctx, "INSERT INTO tapedeck_trade (generation, attempt, sequence, timestamp, account_id, stock_code, stock_name, "+
		"order_type, price_type, strategy_name, price_milli, volume, amount_cents, remark, order_id, removed)",
		slices.Repeat([]uint64{as.generation}, n), slices.Repeat([]uint64{as.number}, n), c.sequence, c.timestamp, c.accountID, c.stockCode, c.stockName,
		c.orderType, c.priceType, c.strategyName, c.price, c.volume, c.amount, c.remark, c.orderID, c.removed)
	if err != nil {
		return fmt.Errorf("insert %d trades: %w", n, err)
	}
	return nil
}

// klineColumns are rows of tapedeck_daily_kline.
type klineColumns struct {
	sequence, volume               []uint64
	stockCode                      []string
	date                           []time.Time
	open, high, low, close, amount []int64
	removed                        []uint8
	// days remembers what dates are as times.
	days map[events.Date]time.Time
}

func (c *klineColumns) reset() {
	c.sequence, c.volume, c.stockCode, c.date = c.sequence[:0], c.volume[:0], c.stockCode[:0], c.date[:0]
	c.open, c.high, c.low, c.close, c.amount, c.removed = c.open[:0], c.high[:0], c.low[:0], c.close[:0], c.amount[:0], c.removed[:0]
}

func (c *klineColumns) add(code string, b bar, removed bool) {
	day, ok := c.days[b.Date]
	if !ok {
		if c.days == nil {
			c.days = make(map[events.Date]time.Time)
		}
		y, m, d := b.Date.Time().Date()
		day = time.Date(y, m, d, 0, 0, 0, 0, time.UTC)
		c.days[b.Date] = day
	}
	c.sequence = append(c.sequence, b.sequence)
	c.stockCode = append(c.stockCode, code)
	c.date = append(c.date, day)
	c.open = append(c.open, int64(b.Open))
	c.high = append(c.high, int64(b.High))
	c.low = append(c.low, int64(b.Low))
	c.close = append(c.close, int64(b.Close))
	c.volume = append(c.volume, uint64(b.Volume))
	c.amount = append(c.amount, int64(b.Amount))
	c.removed = append(c.removed, flag(removed))
}

func (s *store) insertKlines(ctx context.Context, as attempt, c *klineColumns) error {
	n := len(c.sequence)
	err := s.insert(ctx, "INSERT INTO tapedeck_daily_kline (generation, attempt, sequence, stock_code, date, "+
		"open_milli, high_milli, low_milli, close_milli, volume, amount_cents, removed)",
		slices.Repeat([]uint64{as.generation}, n), slices.Repeat([]uint64{as.number}, n), c.sequence, c.stockCode, c.date,
		c.open, c.high, c.low, c.close, c.volume, c.amount, c.removed)
	if err != nil {
		return fmt.Errorf("insert %d klines: %w", n, err)
	}
	return nil
}

func flag(set bool) uint8 {
	if set {
		return 1
	}
	return 0
}

// newestDays is the newest day of every stock of a place.
func (s *store) newestDays(ctx context.Context, p *place) (map[string]events.Date, error) {
	found, err := s.conn.Query(ctx, fmt.Sprintf(
		"SELECT stock_code, max(date) FROM tapedeck_daily_kline WHERE generation = %d AND attempt <= %d GROUP BY stock_code", p.Generation, p.Upto))
	if err != nil {
		return nil, err
	}
	defer found.Close()
	days := make(map[string]events.Date)
	for found.Next() {
		var code string
		var day time.Time
		if err := found.Scan(&code, &day); err != nil {
			return nil, err
		}
		days[code] = dateOf(day)
	}
	return days, found.Err()
}

// dateOf is the day that the driver read.
func dateOf(day time.Time) events.Date {
	y, m, d := day.Date()
	return events.Date(y*10000 + int(m)*100 + d)
}
