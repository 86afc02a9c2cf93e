package store

import (
	"context"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

type trade struct {
	Sequence     *uint64          `json:"sequence"`
	AccountID    string           `json:"account_id"`
	StockCode    string           `json:"stock_code"`
	StockName    string           `json:"stock_name"`
	OrderType    events.OrderType `json:"order_type"`
	PriceType    events.PriceType `json:"price_type"`
	Price        string           `json:"price"`
	Volume       int64            `json:"volume"`
	Amount       string           `json:"amount"`
	StrategyName *string          `json:"strategy_name"`
	Remark       string           `json:"remark"`
	TradedAt     string           `json:"traded_at"`
	OrderID      *string          `json:"order_id"`
}

func (t trade) value(p *parser) Trade {
	out := Trade{Whole: t.Sequence != nil, TradeRecorded: events.TradeRecorded{
		AccountID: t.AccountID, StockCode: t.StockCode, StockName: t.StockName, OrderType: t.OrderType, PriceType: t.PriceType,
		Price: parsed(p, events.ParsePrice, t.Price), Volume: t.Volume, Amount: parsed(p, events.ParseMoney, t.Amount),
		Remark: t.Remark, TradedAt: parsed(p, events.ParseTime, t.TradedAt),
	}}
	if out.Whole && t.StrategyName != nil && t.OrderID != nil {
		out.Sequence, out.StrategyName, out.OrderID = *t.Sequence, *t.StrategyName, *t.OrderID
	}
	return out
}

// parser remembers the first text of an answer that could not be read.
type parser struct{ err error }

func parsed[T any](p *parser, parse func(string) (T, error), text string) T {
	v, err := parse(text)
	if p.err == nil {
		p.err = err
	}
	return v
}

// RecordTrade implements Store.
func (c *Client) RecordTrade(ctx context.Context, t events.TradeRecorded) error {
	_, err := c.write(ctx, trades, &t)
	return err
}

func (q TradeQuery) parameters() url.Values {
	parameters := span(q.From, q.To)
	for name, value := range map[string]string{"account": q.AccountID, "stock": q.StockCode, "strategy": q.StrategyName} {
		if value != "" {
			parameters.Set(name, value)
		}
	}
	return parameters
}

func span(from, to events.Date) url.Values {
	parameters := make(url.Values)
	for name, day := range map[string]events.Date{"from": from, "to": to} {
		if day != 0 {
			parameters.Set(name, day.String())
		}
	}
	return parameters
}

// QueryTrades implements Store.
func (c *Client) QueryTrades(ctx context.Context, q TradeQuery) ([]Trade, error) {
	var answer struct {
		head
		Trades []trade `json:"trades"`
	}
	parameters := q.parameters()
	if q.Limit != 0 {
		parameters.Set("limit", strconv.Itoa(q.Limit))
	}
	if err := c.get(ctx, trades, []string{"v1", "trades"}, parameters, &answer); err != nil {
		return nil, err
	}
	var p parser
	list := make([]Trade, len(answer.Trades))
	for i, t := range answer.Trades {
		list[i] = t.value(&p)
	}
	return list, p.err
}

// AggregateTrades implements Store.
func (c *Client) AggregateTrades(ctx context.Context, q AggregateQuery) ([]Aggregate, error) {
	var answer struct {
		head
		Groups []struct {
			Key       string  `json:"key"`
			Count     int64   `json:"count"`
			Buys      int64   `json:"buys"`
			Sells     int64   `json:"sells"`
			Amount    string  `json:"amount"`
			Profit    string  `json:"profit"`
			Unmatched int64   `json:"unmatched"`
			Wins      int64   `json:"wins"`
			Losses    int64   `json:"losses"`
			WinRate   *string `json:"win_rate"`
		} `json:"groups"`
	}
	parameters := q.parameters()
	parameters.Set("by", string(q.By))
	if err := c.get(ctx, trades, []string{"v1", "trades", "aggregate"}, parameters, &answer); err != nil {
		return nil, err
	}
	var p parser
	list := make([]Aggregate, len(answer.Groups))
	for i, g := range answer.Groups {
		list[i] = Aggregate{
			Key: g.Key, Count: g.Count, Buys: g.Buys, Sells: g.Sells, Amount: parsed(&p, events.ParseMoney, g.Amount),
			Profit: parsed(&p, events.ParseMoney, g.Profit), Unmatched: g.Unmatched, Wins: g.Wins, Losses: g.Losses,
		}
		if g.WinRate != nil {
			rate := parsed(&p, events.ParsePercent, *g.WinRate)
			list[i].WinRate = &rate
		}
	}
	return list, p.err
}

type bar struct {
	Date   string `json:"date"`
	Open   string `json:"open"`
	High   string `json:"high"`
	Low    string `json:"low"`
	Close  string `json:"close"`
	Volume int64  `json:"volume"`
	Amount string `json:"amount"`
}

func bars(list []bar, p *parser) []events.Bar {
	values := make([]events.Bar, len(list))
	for i, b := range list {
		values[i] = events.Bar{
			Date: parsed(p, events.ParseDate, b.Date), Open: parsed(p, events.ParsePrice, b.Open), High: parsed(p, events.ParsePrice, b.High),
			Low: parsed(p, events.ParsePrice, b.Low), Close: parsed(p, events.ParsePrice, b.Close),
			Volume: b.Volume, Amount: parsed(p, events.ParseMoney, b.Amount),
		}
	}
	return values
}

func (r KlineRange) parameters() url.Values {
	if r.Last != 0 {
		r.From = 0
	}
	parameters := span(r.From, r.To)
	if r.Last != 0 {
		parameters.Set("last", strconv.Itoa(r.Last))
	}
	return parameters
}

// GetKline implements Store.
func (c *Client) GetKline(ctx context.Context, stockCode string, r KlineRange) ([]events.Bar, error) {
	var answer struct {
		head
		Bars []bar `json:"bars"`
	}
	if err := c.get(ctx, klines, []string{"v1", "klines", stockCode}, r.parameters(), &answer); err != nil {
		return nil, err
	}
	var p parser
	list := bars(answer.Bars, &p)
	return list, p.err
}

// BatchGetKline implements Store.
func (c *Client) BatchGetKline(ctx context.Context, stockCodes []string, r KlineRange) (map[string][]events.Bar, error) {
	found := make(map[string][]events.Bar, len(stockCodes))
	if len(stockCodes) == 0 {
		return found, nil
	}
	var answer struct {
		head
		Klines map[string][]bar `json:"klines"`
	}
	parameters := r.parameters()
	parameters.Set("stocks", strings.Join(stockCodes, ","))
	if err := c.get(ctx, klines, []string{"v1", "klines"}, parameters, &answer); err != nil {
		return nil, err
	}
	var p parser
	for stock, list := range answer.Klines {
		found[stock] = bars(list, &p)
	}
	return found, p.err
}
