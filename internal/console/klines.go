package console

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

type bar struct {
	Date   string `json:"date" format:"date"`
	Open   string `json:"open" example:"10.500"`
	High   string `json:"high"`
	Low    string `json:"low"`
	Close  string `json:"close"`
	Volume int64  `json:"volume" doc:"Shares."`
	Amount string `json:"amount"`
}

func asBar(b events.Bar) bar {
	return bar{b.Date.String(), b.Open.String(), b.High.String(), b.Low.String(), b.Close.String(), b.Volume, b.Amount.String()}
}

type klineAnswer struct {
	Envelope
	StockCode string `json:"stock_code"`
	Bars      []bar  `json:"bars" nullable:"false" doc:"The oldest first."`
}

type klinesAnswer struct {
	Envelope
	Klines map[string][]bar `json:"klines" doc:"By stock; every stock asked for is there."`
}

// BarRange is what picks bars.
type BarRange struct {
	Wanted
	Span
	Last int `query:"last" minimum:"0" maximum:"10000" doc:"Only the newest so many, up to the day to."`
}

func (a *api) klines(h huma.API) {
	get(h, "/v1/klines/{stock}", "get-klines", "klines", "Daily bars of a stock",
		func(ctx context.Context, in *struct {
			StockPath
			BarRange
		}) (*body[klineAnswer], error) {
			stock := in.Stock.code
			got, err := a.router.Klines(ctx, in.want(), query.KlineQuery{Stocks: []string{stock}, From: in.From.Date, To: in.To.Date, Last: in.Last})
			if err != nil {
				return nil, err
			}
			return &body[klineAnswer]{klineAnswer{enveloped(got), stock, each(got.Value[stock], asBar)}}, nil
		}, 503, 504)
	get(h, "/v1/klines", "list-klines", "klines", "Daily bars of several stocks, at most 100",
		func(ctx context.Context, in *struct {
			BarRange
			Stocks stocks `query:"stocks" required:"true" doc:"Codes, divided by commas, at most 100." example:"600000.SH,000001.SZ"`
		}) (*body[klinesAnswer], error) {
			got, err := a.router.Klines(ctx, in.want(), query.KlineQuery{Stocks: in.Stocks.codes, From: in.From.Date, To: in.To.Date, Last: in.Last})
			if err != nil {
				return nil, err
			}
			klines := make(map[string][]bar, len(in.Stocks.codes))
			for _, stock := range in.Stocks.codes {
				klines[stock] = each(got.Value[stock], asBar)
			}
			return &body[klinesAnswer]{klinesAnswer{enveloped(got), klines}}, nil
		}, 503, 504)
}
