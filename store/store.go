// Package store is what a Go strategy uses: the operations of a data store,
// whichever databases stand behind it. Writes are events and go to ingest,
// which has them on disk when the call returns; reads go to the console's read
// API, which answers from the fastest tier that is up. A read sees every write
// that the same Store made before.
//
// Package storetest is the suite that every Store must pass.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Errors of reads, wrapped.
var (
	// ErrNotFound: there is no such account, strategy or version.
	ErrNotFound = errors.New("not found")
	// ErrBehind: no tier had the Store's own writes in time. Reading again may
	// help.
	ErrBehind = errors.New("the tiers do not have what was just written yet")
	// ErrUnavailable: no tier that could answer can be reached.
	ErrUnavailable = errors.New("no tier can answer")
)

// Store is a data store of positions, trades, klines, accounts and strategies.
// It is safe for concurrent use. Stock codes are 600000.SH or SH600000; prices
// and amounts are decimals. Writes return the errors of events.Publisher: an
// *events.InvalidError or *events.RejectedError means that nothing was written.
type Store interface {
	// GetHeldDays is how many days a position has been held; false when it is
	// not open.
	GetHeldDays(ctx context.Context, accountID, stockCode string) (int64, bool, error)
	// UpdateHeldDays sets held days, ≥ 0; it opens the position if need be.
	UpdateHeldDays(ctx context.Context, accountID, stockCode string, days int64) error
	// AllHeldInc adds one to the held days of all open positions of an account.
	// It is true the first time on a day and does nothing, false, after that.
	AllHeldInc(ctx context.Context, accountID string) (bool, error)
	// DeleteHeldDays closes a position: its held days and prices are gone.
	DeleteHeldDays(ctx context.Context, accountID, stockCode string) error
	// GetMaxPrice and GetMinPrice are the prices marked; false when none is.
	GetMaxPrice(ctx context.Context, accountID, stockCode string) (events.Price, bool, error)
	GetMinPrice(ctx context.Context, accountID, stockCode string) (events.Price, bool, error)
	// UpdateMaxPrice and UpdateMinPrice mark a price, > 0.
	UpdateMaxPrice(ctx context.Context, accountID, stockCode string, price events.Price) error
	UpdateMinPrice(ctx context.Context, accountID, stockCode string, price events.Price) error
	// BatchNewHeld opens positions with held days 0, all or none of them; open
	// ones begin anew. At most 1,000 at once.
	BatchNewHeld(ctx context.Context, accountID string, stockCodes []string) error

	// RecordTrade records an order, an execution or a cancellation.
	RecordTrade(ctx context.Context, t events.TradeRecorded) error
	// QueryTrades lists trades, the newest first.
	QueryTrades(ctx context.Context, q TradeQuery) ([]Trade, error)
	// AggregateTrades sums up executions, sorted by key.
	AggregateTrades(ctx context.Context, q AggregateQuery) ([]Aggregate, error)

	// GetKline lists daily bars of a stock, the oldest first.
	GetKline(ctx context.Context, stockCode string, r KlineRange) ([]events.Bar, error)
	// BatchGetKline does so for at most 100 stocks; all of them are keys, in
	// canonical form.
	BatchGetKline(ctx context.Context, stockCodes []string, r KlineRange) (map[string][]events.Bar, error)

	CreateAccount(ctx context.Context, a events.AccountCreated) error
	// GetAccount wraps ErrNotFound.
	GetAccount(ctx context.Context, accountID string) (Account, error)
	// UpdateAccountCapital sets the balances; total = current + position.
	UpdateAccountCapital(ctx context.Context, accountID string, current, total, position events.Money) error
	// ListAccounts lists accounts of a status, or all for "", by id.
	ListAccounts(ctx context.Context, status string) ([]Account, error)

	CreateStrategy(ctx context.Context, s events.StrategyCreated) error
	// GetStrategyParams is a version of a strategy's parameters, the active one
	// for 0. A strategy is named by its code or its name. It wraps ErrNotFound.
	GetStrategyParams(ctx context.Context, strategy string, version int64) (Params, error)
	// SaveStrategyParams saves a new version, which becomes the active one, and
	// returns its number. params is encoded as JSON and must give an object.
	SaveStrategyParams(ctx context.Context, strategyCode string, params any, remark string) (int64, error)
	// CompareStrategyParams tells what changed from version a to b. It wraps
	// ErrNotFound.
	CompareStrategyParams(ctx context.Context, strategy string, a, b int64) (Comparison, error)
	// BindStrategy gives a strategy a share of an account's capital.
	BindStrategy(ctx context.Context, b events.StrategyBound) error
	UnbindStrategy(ctx context.Context, accountID, strategyCode string) error
	// ListAccountStrategies and ListStrategyAccounts are the bindings, seen from
	// either side. They wrap ErrNotFound.
	ListAccountStrategies(ctx context.Context, accountID string) ([]Binding, error)
	ListStrategyAccounts(ctx context.Context, strategy string) ([]Binding, error)

	// HealthCheck is nil when events are accepted and every kind of data can be
	// read.
	HealthCheck(ctx context.Context) error
	// Close gives connections back. Calls under way may fail.
	Close() error
}

// TradeQuery picks trades; empty fields pick all. From and To are days, both
// included. A strategy's trades are those that carry its name or its code,
// whichever of them StrategyName is.
type TradeQuery struct {
	AccountID, StockCode, StrategyName string
	From, To                           events.Date
	// Limit is 1,000 when 0, at most 100,000.
	Limit int
}

// Trade is a recorded trade.
type Trade struct {
	// Sequence is the event's number on the log.
	Sequence uint64
	// Whole is false when a tier answered that does not hold all of a trade, as
	// files do not: Sequence, StrategyName and OrderID are not known, TradedAt
	// has whole seconds, and Amount is price × volume.
	Whole bool
	events.TradeRecorded
}

// Grouping is what AggregateTrades has one line for.
type Grouping string

// The groupings.
const (
	ByDay   Grouping = "day"
	ByMonth Grouping = "month"
	ByYear  Grouping = "year"
	ByStock Grouping = "stock"
)

// AggregateQuery picks what is summed up; Limit does not count.
type AggregateQuery struct {
	TradeQuery
	By Grouping
}

// Aggregate sums up the executions (buy_trade and sell_trade) of a day, month,
// year or stock. Profit is realized, without fees, first in, first out over the
// account's whole history; docs/read-api.md defines it to the cent.
type Aggregate struct {
	// Key is 2025-01-02, 2025-01, 2025 or 600000.SH.
	Key                string
	Count, Buys, Sells int64
	Amount, Profit     events.Money
	// Unmatched is how many shares were sold but never bought on the tape.
	Unmatched    int64
	Wins, Losses int64
	// WinRate is Wins in percent of Wins + Losses; nil without any.
	WinRate *events.Percent
}

// KlineRange picks bars: of the days From to To, both included, 0 for no bound.
// Last, when it is not 0, overrides From: the newest Last of the days up to To.
type KlineRange struct {
	From, To events.Date
	Last     int
}

// Account is a broker account.
type Account struct {
	ID, Name, Broker, Status                                   string
	InitialCapital, CurrentCapital, TotalAssets, PositionValue events.Money
	CreatedAt, UpdatedAt                                       time.Time
}

// Binding is a strategy's share of an account.
type Binding struct {
	AccountID, StrategyCode string
	AllocatedCapital        events.Money
	RiskLimit               events.Percent
	Status                  string
	CreatedAt, UpdatedAt    time.Time
}

// Params is one version of a strategy's parameters.
type Params struct {
	StrategyCode string
	Version      int64
	Active       bool
	Remark       string
	CreatedAt    time.Time
	// Values are JSON texts by key, as they were saved.
	Values map[string]jsontext.Value
}

// Comparison is what changed between two versions.
type Comparison struct {
	Added, Removed map[string]jsontext.Value
	Changed        map[string]Change
}

// Change is a value before and after.
type Change struct{ A, B jsontext.Value }
