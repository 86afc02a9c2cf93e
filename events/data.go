package events

import (
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// OrderType is what a trade row records.
type OrderType string

// The order types.
const (
	BuyOrder  OrderType = "buy_order"
	SellOrder OrderType = "sell_order"
	BuyTrade  OrderType = "buy_trade"
	SellTrade OrderType = "sell_trade"
	Cancel    OrderType = "cancel"
)

// PriceType tells how an order was priced. Strategies' deal_hist.csv
// distinguishes market from limit orders, so the tape keeps it.
type PriceType string

// The price types; empty is unknown.
const (
	MarketPrice PriceType = "market"
	LimitPrice  PriceType = "limit"
)

// TradeRecorded is an order, its execution or its cancellation.
type TradeRecorded struct {
	AccountID string    `json:"account_id"`
	StockCode string    `json:"stock_code"`
	StockName string    `json:"stock_name"`
	OrderType OrderType `json:"order_type"`
	PriceType PriceType `json:"price_type,omitzero"`
	// Price is yuan a share, > 0.
	Price Price `json:"price"`
	// Volume is whole shares, > 0.
	Volume int64 `json:"volume"`
	// Amount is price × volume to 0.01 yuan; filled in when absent.
	Amount       Money     `json:"amount" tape:"default"`
	StrategyName string    `json:"strategy_name,omitzero"`
	Remark       string    `json:"remark,omitzero"`
	TradedAt     time.Time `json:"traded_at"`
	OrderID      string    `json:"order_id,omitzero"`
}

// PositionOpened opens a position, or resets the held days of an open one.
type PositionOpened struct {
	AccountID string `json:"account_id"`
	StockCode string `json:"stock_code"`
	HeldDays  int64  `json:"held_days" tape:"default"`
}

// PositionHeldDaysSet sets held days; it opens the position if need be.
type PositionHeldDaysSet struct {
	AccountID string `json:"account_id"`
	StockCode string `json:"stock_code"`
	HeldDays  int64  `json:"held_days"`
}

// PositionDaysIncremented adds one to the held days of all open positions of
// an account, in one atomic step, and remembers Date.
type PositionDaysIncremented struct {
	AccountID string `json:"account_id"`
	Date      Date   `json:"date"`
}

// PositionPriceMarked sets the highest and/or lowest price since opening.
type PositionPriceMarked struct {
	AccountID string `json:"account_id"`
	StockCode string `json:"stock_code"`
	// MaxPrice and MinPrice: at least one is there; nil leaves it as it is.
	MaxPrice *Price `json:"max_price,omitzero"`
	MinPrice *Price `json:"min_price,omitzero"`
}

// PositionClosed removes a position with its held days, max and min price.
type PositionClosed struct {
	AccountID string `json:"account_id"`
	StockCode string `json:"stock_code"`
}

// AccountCreated registers a broker account; its status starts as active.
type AccountCreated struct {
	AccountID      string `json:"account_id"`
	AccountName    string `json:"account_name"`
	Broker         string `json:"broker"`
	InitialCapital Money  `json:"initial_capital"`
}

// AccountUpdated changes what is not nil.
type AccountUpdated struct {
	AccountID   string  `json:"account_id"`
	AccountName *string `json:"account_name,omitzero"`
	Broker      *string `json:"broker,omitzero"`
}

// CapitalUpdated sets the account's balances; nil leaves one as it is.
type CapitalUpdated struct {
	AccountID      string `json:"account_id"`
	CurrentCapital *Money `json:"current_capital,omitzero"`
	TotalAssets    Money  `json:"total_assets"`
	PositionValue  *Money `json:"position_value,omitzero"`
	// Date is the trading day of the balance; the event time's day when zero.
	Date Date `json:"date,omitzero"`
}

// AccountStatusChanged moves an account to active, inactive or suspended.
type AccountStatusChanged struct {
	AccountID string `json:"account_id"`
	Status    string `json:"status"`
}

// StrategyCreated registers a strategy.
type StrategyCreated struct {
	StrategyName string `json:"strategy_name"`
	StrategyCode string `json:"strategy_code"`
	StrategyType string `json:"strategy_type"`
	Version      string `json:"version"`
	Description  string `json:"description,omitzero"`
	// Status is testing (filled in when absent), active or inactive.
	Status string `json:"status" tape:"default"`
}

// StrategyUpdated changes what is not nil.
type StrategyUpdated struct {
	StrategyCode string  `json:"strategy_code"`
	Version      *string `json:"version,omitzero"`
	Description  *string `json:"description,omitzero"`
}

// StrategyStatusChanged moves a strategy to testing, active or inactive.
type StrategyStatusChanged struct {
	StrategyCode string `json:"strategy_code"`
	Status       string `json:"status"`
}

// StrategyBound binds a strategy to an account with a share of its capital.
type StrategyBound struct {
	AccountID        string  `json:"account_id"`
	StrategyCode     string  `json:"strategy_code"`
	AllocatedCapital Money   `json:"allocated_capital"`
	RiskLimit        Percent `json:"risk_limit"`
	// Status is active (filled in when absent) or paused.
	Status string `json:"status" tape:"default"`
}

// BindingChanged changes what is not nil of an existing binding.
type BindingChanged struct {
	AccountID        string   `json:"account_id"`
	StrategyCode     string   `json:"strategy_code"`
	AllocatedCapital *Money   `json:"allocated_capital,omitzero"`
	RiskLimit        *Percent `json:"risk_limit,omitzero"`
	Status           *string  `json:"status,omitzero"`
}

// StrategyUnbound removes a binding.
type StrategyUnbound struct {
	AccountID    string `json:"account_id"`
	StrategyCode string `json:"strategy_code"`
}

// ParamSaved stores a new version of a strategy's parameters, makes it the
// active one and keeps the older as history.
type ParamSaved struct {
	StrategyCode string `json:"strategy_code"`
	// Params is one JSON object, compact, in the publisher's key order, its
	// numbers in the publisher's own text.
	Params jsontext.Value `json:"params"`
	Remark string         `json:"remark,omitzero"`
	// Version is the last one + 1; zero until ingest has given it.
	Version int64 `json:"version,omitzero"`
}

// ParamActivated makes an older version active again: rollback of parameters.
type ParamActivated struct {
	StrategyCode string `json:"strategy_code"`
	Version      int64  `json:"version"`
}

// KlineRecorded brings daily bars of one stock; for a (code, date) the later
// event wins.
type KlineRecorded struct {
	StockCode string `json:"stock_code"`
	Bars      []Bar  `json:"bars"`
}

// Bar is one daily kline; prices in yuan, volume in shares, amount in yuan.
type Bar struct {
	Date   Date  `json:"date"`
	Open   Price `json:"open"`
	High   Price `json:"high"`
	Low    Price `json:"low"`
	Close  Price `json:"close"`
	Volume int64 `json:"volume"`
	Amount Money `json:"amount"`
}

// UserRegistered creates a console user; status starts as active.
type UserRegistered struct {
	Username string `json:"username"`
	Email    string `json:"email"`
	// PasswordHash is a bcrypt hash of cost ≥ 10. A plain password never
	// reaches the log.
	PasswordHash string   `json:"password_hash"`
	RealName     string   `json:"real_name,omitzero"`
	Roles        []string `json:"roles,omitzero"`
}

// UserLoggedIn resets the count of failed logins.
type UserLoggedIn struct {
	Username string `json:"username"`
	IP       string `json:"ip"`
}

// UserLoginFailed counts towards the lock: five in a row lock the user.
type UserLoginFailed struct {
	Username string `json:"username"`
	IP       string `json:"ip"`
}

// UserStatusChanged moves a user to active, inactive or locked.
type UserStatusChanged struct {
	Username string `json:"username"`
	Status   string `json:"status"`
}

// UserPasswordChanged replaces the bcrypt hash.
type UserPasswordChanged struct {
	Username     string `json:"username"`
	PasswordHash string `json:"password_hash"`
}

// RoleGranted gives a user a role: admin, developer, trader or viewer.
type RoleGranted struct {
	Username string `json:"username"`
	Role     string `json:"role"`
}

// RoleRevoked takes a role away.
type RoleRevoked struct {
	Username string `json:"username"`
	Role     string `json:"role"`
}

// TierParked tells what became of an event that a tier could not apply. It is a
// record for people: it changes no tier.
type TierParked struct {
	// Tier is redis, mysql, clickhouse or file.
	Tier string `json:"tier"`
	// Action is parked, retried or discarded.
	Action string `json:"action"`
	// About is the subject of the event, whose later events wait behind it.
	About string `json:"about"`
	// Sequence is the event's.
	Sequence int64  `json:"sequence"`
	Reason   string `json:"reason,omitzero"`
}
