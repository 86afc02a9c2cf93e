package store

import (
	"context"

	"github.com/seed-744e3d1b/tapedeck/events"
)

type position struct {
	Open     bool    `json:"open"`
	HeldDays *int64  `json:"held_days"`
	MaxPrice *string `json:"max_price"`
	MinPrice *string `json:"min_price"`
}

func (c *Client) position(ctx context.Context, accountID, stockCode string) (position, error) {
	var answer struct {
		head
		Position position `json:"position"`
	}
	err := c.get(ctx, positions, []string{"v1", "accounts", accountID, "positions", stockCode}, nil, &answer)
	return answer.Position, err
}

// GetHeldDays implements Store.
func (c *Client) GetHeldDays(ctx context.Context, accountID, stockCode string) (int64, bool, error) {
	p, err := c.position(ctx, accountID, stockCode)
	if err != nil || p.HeldDays == nil {
		return 0, false, err
	}
	return *p.HeldDays, true, nil
}

// GetMaxPrice implements Store.
func (c *Client) GetMaxPrice(ctx context.Context, accountID, stockCode string) (events.Price, bool, error) {
	p, err := c.position(ctx, accountID, stockCode)
	return marked(p.MaxPrice, err)
}

// GetMinPrice implements Store.
func (c *Client) GetMinPrice(ctx context.Context, accountID, stockCode string) (events.Price, bool, error) {
	p, err := c.position(ctx, accountID, stockCode)
	return marked(p.MinPrice, err)
}

func marked(text *string, err error) (events.Price, bool, error) {
	if err != nil || text == nil {
		return 0, false, err
	}
	price, err := events.ParsePrice(*text)
	return price, err == nil, err
}

// UpdateHeldDays implements Store.
func (c *Client) UpdateHeldDays(ctx context.Context, accountID, stockCode string, days int64) error {
	_, err := c.write(ctx, positions, &events.PositionHeldDaysSet{AccountID: accountID, StockCode: stockCode, HeldDays: days})
	return err
}

// AllHeldInc implements Store. The day is that of the clock, in events.Zone.
func (c *Client) AllHeldInc(ctx context.Context, accountID string) (bool, error) {
	receipts, err := c.write(ctx, positions, &events.PositionDaysIncremented{AccountID: accountID, Date: events.DateOf(c.now())})
	return err == nil && receipts[0].WasApplied(), err
}

// DeleteHeldDays implements Store.
func (c *Client) DeleteHeldDays(ctx context.Context, accountID, stockCode string) error {
	_, err := c.write(ctx, positions, &events.PositionClosed{AccountID: accountID, StockCode: stockCode})
	return err
}

// UpdateMaxPrice implements Store.
func (c *Client) UpdateMaxPrice(ctx context.Context, accountID, stockCode string, price events.Price) error {
	_, err := c.write(ctx, positions, &events.PositionPriceMarked{AccountID: accountID, StockCode: stockCode, MaxPrice: &price})
	return err
}

// UpdateMinPrice implements Store.
func (c *Client) UpdateMinPrice(ctx context.Context, accountID, stockCode string, price events.Price) error {
	_, err := c.write(ctx, positions, &events.PositionPriceMarked{AccountID: accountID, StockCode: stockCode, MinPrice: &price})
	return err
}

// BatchNewHeld implements Store.
func (c *Client) BatchNewHeld(ctx context.Context, accountID string, stockCodes []string) error {
	if len(stockCodes) == 0 {
		return nil
	}
	opened := make([]events.Data, len(stockCodes))
	for i, stock := range stockCodes {
		opened[i] = &events.PositionOpened{AccountID: accountID, StockCode: stock}
	}
	_, err := c.write(ctx, positions, opened...)
	return err
}
