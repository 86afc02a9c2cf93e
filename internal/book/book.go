// Package book is the pure fold of events into state, the cross-entity rules,
// and so the memory tier: what every other tier must equal.
//
// A Book is not safe for concurrent use.
package book

import (
	"github.com/seed-744e3d1b/tapedeck/events"
)

// MaxOpenPositions is how many positions an account may have open.
const MaxOpenPositions = 100

// MaxLoginFailures is how many failed logins in a row lock a user.
const MaxLoginFailures = 5

// Keep says which relations a Book keeps besides the small ones.
type Keep struct {
	// History keeps trades, deals, assets and klines, which grow with the log.
	History bool
}

// Book is the state after some events.
type Book struct {
	keep       Keep
	accounts   map[string]*account
	strategies map[string]*strategy
	users      map[string]*user
	// names and emails are the unique values taken by strategies and users;
	// e-mails are compared without case.
	names  map[string]string
	emails map[string]string

	trades []Trade
	klines map[string]map[events.Date]events.Bar
}

// New is the Book before the first event.
func New(keep Keep) *Book {
	return &Book{
		keep:       keep,
		accounts:   make(map[string]*account),
		strategies: make(map[string]*strategy),
		users:      make(map[string]*user),
		names:      make(map[string]string),
		emails:     make(map[string]string),
		klines:     make(map[string]map[events.Date]events.Bar),
	}
}

// account is all that hangs on one account id. Events about an id that was
// never created are kept as well: positions do not need the account row.
type account struct {
	accountHead
	positions map[string]position
	bindings  map[string]Binding
	deals     []Deal
	assets    map[events.Date]events.Money
}

// accountHead is the part of an account that is cheap to copy.
type accountHead struct {
	// row is the account; row.ID is empty until it is created.
	row     Account
	incDate events.Date
	// incs counts the increments so far, see position.base.
	incs int64
	// open counts the open positions.
	open int
	// allocated is the sum of the bindings' allocations.
	allocated events.Money
}

// position is one stock of an account. Its held days are the account's incs −
// base, so that incrementing all positions is one addition.
type position struct {
	base     int64
	max, min events.Price
	open     bool
}

// strategy is a strategy with its parameter versions. row.Code is empty until
// it is created.
type strategy struct {
	strategyHead
	params map[int64]Param
}

// strategyHead is the part of a strategy that is cheap to copy.
type strategyHead struct {
	row Strategy
	// last and active are versions of params; 0 is none. Param.Active inside
	// params is not kept up to date: active tells.
	last, active int64
}

// user is a user with its roles, sorted. row.Username is empty until it is
// registered.
type user struct {
	row   User
	roles []string
}

// Verdict is Check's answer to an event that breaks no rule.
type Verdict struct {
	// Applied is false when the event would change nothing by the contract's
	// own rule: it is not to be appended, and Reason says why.
	Applied bool
	Reason  string
}

// AccountOf is the id of the account that an event's payload is about, or ""
// when it is about none.
func AccountOf(d events.Data) string {
	switch d := d.(type) {
	case *events.TradeRecorded:
		return d.AccountID
	case *events.PositionOpened:
		return d.AccountID
	case *events.PositionHeldDaysSet:
		return d.AccountID
	case *events.PositionDaysIncremented:
		return d.AccountID
	case *events.PositionPriceMarked:
		return d.AccountID
	case *events.PositionClosed:
		return d.AccountID
	case *events.AccountCreated:
		return d.AccountID
	case *events.AccountUpdated:
		return d.AccountID
	case *events.CapitalUpdated:
		return d.AccountID
	case *events.AccountStatusChanged:
		return d.AccountID
	case *events.StrategyBound:
		return d.AccountID
	case *events.BindingChanged:
		return d.AccountID
	case *events.StrategyUnbound:
		return d.AccountID
	}
	return ""
}
