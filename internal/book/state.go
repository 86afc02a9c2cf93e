package book

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// The structs below are what the relations hold. Their JSON, fields in the
// order given here, is the value of the canonical row: see Row.

// Account is a broker account. UpdatedAt is the time of the last event, in log
// order, that changed the row.
type Account struct {
	ID   string `json:"account_id"`
	Name string `json:"account_name"`
	// Broker is QMT, GM or TDX; Status active, inactive or suspended.
	Broker         string       `json:"broker"`
	Status         string       `json:"status"`
	InitialCapital events.Money `json:"initial_capital"`
	// CurrentCapital and TotalAssets equal InitialCapital, and PositionValue is
	// 0, until the first account.capital_updated.
	CurrentCapital events.Money `json:"current_capital"`
	TotalAssets    events.Money `json:"total_assets"`
	PositionValue  events.Money `json:"position_value"`
	CreatedAt      time.Time    `json:"created_at"`
	UpdatedAt      time.Time    `json:"updated_at"`
}

// Strategy is a registered strategy. Its status is testing, active or inactive.
type Strategy struct {
	Code        string    `json:"strategy_code"`
	Name        string    `json:"strategy_name"`
	Type        string    `json:"strategy_type"`
	Version     string    `json:"version"`
	Description string    `json:"description"`
	Status      string    `json:"status"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// Binding gives a strategy a share of an account's capital. Its status is
// active or paused.
type Binding struct {
	AccountID        string         `json:"account_id"`
	StrategyCode     string         `json:"strategy_code"`
	AllocatedCapital events.Money   `json:"allocated_capital"`
	RiskLimit        events.Percent `json:"risk_limit"`
	Status           string         `json:"status"`
	CreatedAt        time.Time      `json:"created_at"`
	UpdatedAt        time.Time      `json:"updated_at"`
}

// Param is one version of a strategy's parameters. At most one version of a
// strategy is active.
type Param struct {
	StrategyCode string `json:"strategy_code"`
	Version      int64  `json:"version"`
	Active       bool   `json:"active"`
	// Params is the event's text, byte for byte.
	Params    jsontext.Value `json:"params"`
	Remark    string         `json:"remark"`
	CreatedAt time.Time      `json:"created_at"`
}

// User is a console user. Its roles are rows of their own.
type User struct {
	Username     string `json:"username"`
	Email        string `json:"email"`
	PasswordHash string `json:"password_hash"`
	RealName     string `json:"real_name"`
	// Status is active, inactive or locked.
	Status string `json:"status"`
	// FailedLogins counts the failures since the last successful login or
	// unlocking.
	FailedLogins int64 `json:"failed_logins"`
	// LastLoginAt is left out of the JSON until the first login.
	LastLoginAt time.Time `json:"last_login_at,omitzero"`
	CreatedAt   time.Time `json:"created_at"`
	UpdatedAt   time.Time `json:"updated_at"`
}

// UserRole is one role of a user: admin, developer, trader or viewer.
type UserRole struct {
	Username string
	Role     string
}

// Trade is a recorded trade and the sequence of its event.
type Trade struct {
	Sequence uint64
	*events.TradeRecorded
}

// Deal is a trade as a row of deal_hist.csv holds it: without what that file
// has no column for.
type Deal struct {
	AccountID string `json:"-"`
	// Ordinal numbers the account's deals in log order, from 1.
	Ordinal int64 `json:"-"`
	// Date and Time are the day and the "15:04:05" of traded_at in
	// events.Zone; fractions of a second are cut off.
	Date      events.Date      `json:"date"`
	Time      string           `json:"time"`
	StockCode string           `json:"stock_code"`
	StockName string           `json:"stock_name"`
	OrderType events.OrderType `json:"order_type"`
	// PriceType is market or limit for an order, empty for what is no order.
	PriceType events.PriceType `json:"price_type"`
	Remark    string           `json:"remark"`
	Price     events.Price     `json:"price"`
	Volume    int64            `json:"volume"`
}

// Asset is an account's total assets on a day.
type Asset struct {
	AccountID string
	Date      events.Date
	Total     events.Money
}

// Kline is one daily bar of a stock.
type Kline struct {
	StockCode string `json:"-"`
	events.Bar
}

// Position is what is known of one stock in one account. A stock can have
// marked prices without being open.
type Position struct {
	StockCode string
	Open      bool
	// HeldDays is 0 unless Open.
	HeldDays int64
	// MaxPrice and MinPrice are 0 when not marked: a marked price is > 0.
	MaxPrice, MinPrice events.Price
}
