package console

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

type trade struct {
	Sequence     *uint64 `json:"sequence" doc:"The event's number; null where the tier does not hold it, as files do not."`
	AccountID    string  `json:"account_id"`
	StockCode    string  `json:"stock_code"`
	StockName    string  `json:"stock_name"`
	OrderType    string  `json:"order_type" enum:"buy_order,sell_order,buy_trade,sell_trade,cancel"`
	PriceType    string  `json:"price_type" enum:"market,limit," doc:"Empty for what is no order, or not known."`
	Price        string  `json:"price" example:"10.500"`
	Volume       int64   `json:"volume" doc:"Shares."`
	Amount       string  `json:"amount" example:"10500.00"`
	StrategyName *string `json:"strategy_name" doc:"Null where the tier does not hold it."`
	Remark       string  `json:"remark"`
	TradedAt     string  `json:"traded_at" format:"date-time"`
	OrderID      *string `json:"order_id" doc:"Null where the tier does not hold it."`
}

// tradesAnswer is what a tradeList is written as.
type tradesAnswer struct {
	Envelope
	Trades []trade `json:"trades" nullable:"false" doc:"The newest first: by second of traded_at, then by sequence."`
}

// Sums are what a statistic says of a group of executions.
type Sums struct {
	Count        int64   `json:"count" doc:"Executions: order types buy_trade and sell_trade; no others count."`
	Buys         int64   `json:"buys"`
	Sells        int64   `json:"sells"`
	Amount       string  `json:"amount" doc:"Of buys and sells together."`
	Profit       string  `json:"profit" doc:"Realized, without fees: each sell against the oldest purchases of the same account and stock that are left (first in, first out, by second of traded_at, then by sequence), over the whole history; it belongs to the day of the sell and is rounded to 0.01 for each."`
	Unmatched    int64   `json:"unmatched" doc:"Shares sold that were never bought on the tape; they bring no profit."`
	Wins         int64   `json:"wins" doc:"Sells with a profit."`
	Losses       int64   `json:"losses" doc:"Sells with a loss."`
	WinRate      *string `json:"win_rate" doc:"Wins in percent of wins and losses; null without any." example:"61.54"`
	FirstTradeAt *string `json:"first_trade_at"`
	LastTradeAt  *string `json:"last_trade_at"`
}

func asSums(s query.Statistic) Sums {
	out := Sums{Count: s.Count, Buys: s.Buys, Sells: s.Sells, Amount: s.Amount.String(), Profit: s.Profit.String(), Unmatched: s.Unmatched, Wins: s.Wins, Losses: s.Losses}
	if rate, ok := s.WinRate(); ok {
		out.WinRate = textOrNull(rate.String())
	}
	out.FirstTradeAt, out.LastTradeAt = timeOrNull(s.FirstTrade()), timeOrNull(s.LastTrade())
	return out
}

func timeOrNull(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	return textOrNull(events.FormatTime(t))
}

type group struct {
	Key string `json:"key" doc:"The day, month, year or stock." example:"2025-01"`
	Sums
}

type aggregateAnswer struct {
	Envelope
	Groups []group `json:"groups" nullable:"false" doc:"By key."`
}

type accountSums struct {
	AccountID string `json:"account_id"`
	Sums
}

type statisticsAnswer struct {
	Envelope
	Accounts []accountSums `json:"accounts" nullable:"false" doc:"Accounts with executions, by id."`
	Total    Sums          `json:"total"`
}

// TradeFilter is what picks trades.
type TradeFilter struct {
	Wanted
	Span
	Account  string `query:"account" doc:"Only this account; all when absent." pattern:"^[A-Za-z0-9_-]{1,50}$"`
	Stock    stock  `query:"stock" doc:"Only this stock."`
	Strategy string `query:"strategy" doc:"Only trades whose strategy_name is this; when it is a strategy's code or name, those that carry the other as well. Files do not know it." maxLength:"300"`
}

func (a *api) filter(ctx context.Context, f *TradeFilter) (query.TradeFilter, error) {
	alias, err := a.otherName(ctx, f)
	return query.TradeFilter{Account: f.Account, Stock: f.Stock.code, Strategy: f.Strategy, Alias: alias, From: f.From.Date, To: f.To.Date}, err
}

// otherName is what trades of the strategy that the filter names may carry
// instead: its name for its code, its code for its name. It is "" for a strategy
// that is not known: trades name what they like.
func (a *api) otherName(ctx context.Context, f *TradeFilter) (string, error) {
	if f.Strategy == "" {
		return "", nil
	}
	got, err := a.strategy(ctx, f.want(), f.Strategy)
	var said huma.StatusError
	switch {
	case errors.As(err, &said) && said.GetStatus() == http.StatusNotFound:
		return "", nil
	case err != nil || got.Value.Code == got.Value.Name:
		return "", err
	case got.Value.Code == f.Strategy:
		return got.Value.Name, nil
	}
	return got.Value.Code, nil
}

func (a *api) trades(h huma.API) {
	get(h, "/v1/trades", "list-trades", "trades", "Trades, the newest first",
		func(ctx context.Context, in *struct {
			TradeFilter
			Limit int `query:"limit" minimum:"1" maximum:"100000" default:"1000" doc:"At most so many."`
		}) (*body[tradeList], error) {
			filter, err := a.filter(ctx, &in.TradeFilter)
			if err != nil {
				return nil, err
			}
			filter.Limit = in.Limit
			got, err := a.router.Trades(ctx, in.want(), filter)
			if err != nil {
				return nil, err
			}
			return &body[tradeList]{tradeList{enveloped(got), got.Value}}, nil
		}, 503, 504)
	get(h, "/v1/trades/aggregate", "aggregate-trades", "trades", "Count, amount and realized profit of executions by day, month, year or stock",
		func(ctx context.Context, in *struct {
			TradeFilter
			By string `query:"by" required:"true" enum:"day,month,year,stock"`
		}) (*body[aggregateAnswer], error) {
			filter, err := a.filter(ctx, &in.TradeFilter)
			if err != nil {
				return nil, err
			}
			got, err := a.router.Aggregate(ctx, in.want(), query.Grouping(in.By), filter)
			if err != nil {
				return nil, err
			}
			return &body[aggregateAnswer]{aggregateAnswer{enveloped(got), each(got.Value.Lines, func(s query.Statistic) group { return group{s.Key, asSums(s)} })}}, nil
		}, 503, 504)
	get(h, "/v1/statistics", "get-statistics", "trades", "The same over all accounts",
		func(ctx context.Context, in *struct {
			Wanted
			Span
		}) (*body[statisticsAnswer], error) {
			got, err := a.router.Aggregate(ctx, in.want(), query.ByAccount, query.TradeFilter{From: in.From.Date, To: in.To.Date})
			if err != nil {
				return nil, err
			}
			accounts := each(got.Value.Lines, func(s query.Statistic) accountSums { return accountSums{s.Key, asSums(s)} })
			return &body[statisticsAnswer]{statisticsAnswer{enveloped(got), accounts, asSums(got.Value.Total)}}, nil
		}, 503, 504)
}
