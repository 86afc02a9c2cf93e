package console

import (
	"context"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

type position struct {
	StockCode string  `json:"stock_code"`
	Open      bool    `json:"open" doc:"False where only prices are marked, or nothing is known."`
	HeldDays  *int64  `json:"held_days" doc:"Null unless open."`
	MaxPrice  *string `json:"max_price" doc:"Highest price since opening; null when none is marked." example:"10.850"`
	MinPrice  *string `json:"min_price" doc:"Lowest price since opening; null when none is marked."`
}

func asPosition(p book.Position) position {
	out := position{StockCode: p.StockCode, Open: p.Open, MaxPrice: priceOrNull(p.MaxPrice), MinPrice: priceOrNull(p.MinPrice)}
	if p.Open {
		out.HeldDays = &p.HeldDays
	}
	return out
}

func priceOrNull(p events.Price) *string {
	if p == 0 {
		return nil
	}
	return textOrNull(p.String())
}

func dateOrNull(d events.Date) *string {
	if d == 0 {
		return nil
	}
	return textOrNull(d.String())
}

type positionsAnswer struct {
	Envelope
	AccountID string     `json:"account_id"`
	IncDate   *string    `json:"inc_date" doc:"Date of the last increment of held days; null before the first." example:"2025-10-10"`
	Positions []position `json:"positions" nullable:"false" doc:"By stock code."`
}

type positionAnswer struct {
	Envelope
	AccountID string   `json:"account_id"`
	IncDate   *string  `json:"inc_date"`
	Position  position `json:"position"`
}

func (a *api) positions(h huma.API) {
	get(h, "/v1/accounts/{account}/positions", "list-positions", "positions", "All that is known of an account's stocks",
		func(ctx context.Context, in *struct {
			AccountPath
			Wanted
		}) (*body[positionsAnswer], error) {
			got, err := a.router.Positions(ctx, in.want(), in.Account, "")
			if err != nil {
				return nil, err
			}
			return &body[positionsAnswer]{positionsAnswer{enveloped(got), in.Account, dateOrNull(got.Value.IncDate), each(got.Value.List, asPosition)}}, nil
		}, 503, 504)
	get(h, "/v1/accounts/{account}/positions/{stock}", "get-position", "positions", "What is known of one stock of an account",
		func(ctx context.Context, in *struct {
			AccountPath
			StockPath
			Wanted
		}) (*body[positionAnswer], error) {
			got, err := a.router.Positions(ctx, in.want(), in.Account, in.Stock.code)
			if err != nil {
				return nil, err
			}
			one := book.Position{StockCode: in.Stock.code}
			if len(got.Value.List) > 0 {
				one = got.Value.List[0]
			}
			return &body[positionAnswer]{positionAnswer{enveloped(got), in.Account, dateOrNull(got.Value.IncDate), asPosition(one)}}, nil
		}, 503, 504)
}
