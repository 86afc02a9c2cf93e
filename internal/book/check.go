package book

import (
	"fmt"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Check holds an event, already valid on its own, against the rules that need
// the state. It changes nothing but the Version of a ParamSaved, which it
// fills in. The error is an *events.InvalidError.
//
// Records are facts: a trade of a suspended account, the closing of a position
// that is not open or the failed login of a locked user is accepted.
func (b *Book) Check(e *events.Event) (Verdict, error) {
	switch d := e.Data.(type) {
	case *events.TradeRecorded:
		return b.needAccount(d.AccountID)
	case *events.PositionOpened:
		return b.needAccount(d.AccountID, b.mayOpen(d.AccountID, d.StockCode))
	case *events.PositionHeldDaysSet:
		return b.needAccount(d.AccountID, b.mayOpen(d.AccountID, d.StockCode))
	case *events.PositionDaysIncremented:
		if verdict, err := b.needAccount(d.AccountID); err != nil {
			return verdict, err
		}
		if last := b.IncDate(d.AccountID); d.Date <= last {
			return skip("held days were already incremented for %s", last), nil
		}
		return apply, nil
	case *events.PositionPriceMarked:
		return b.needAccount(d.AccountID)
	case *events.PositionClosed:
		return b.needAccount(d.AccountID)
	case *events.AccountCreated:
		if b.created(d.AccountID) != nil {
			return verdictOf(broken("data.account_id", "must be new: the account exists", d.AccountID))
		}
		return apply, nil
	case *events.AccountUpdated:
		return b.needAccount(d.AccountID)
	case *events.CapitalUpdated:
		return b.needAccount(d.AccountID)
	case *events.AccountStatusChanged:
		if verdict, err := b.needAccount(d.AccountID); err != nil {
			return verdict, err
		}
		return checkStatus(accountMoves, b.created(d.AccountID).row.Status, d.Status)
	case *events.KlineRecorded, *events.TierParked:
		return apply, nil
	}
	return b.checkMaster(e.Data)
}

// apply is the usual verdict.
var apply = Verdict{Applied: true}

// checkMaster holds events about strategies, bindings, parameters and users
// against their rules.
func (b *Book) checkMaster(data events.Data) (Verdict, error) {
	switch d := data.(type) {
	case *events.StrategyCreated:
		if b.strategy(d.StrategyCode) != nil {
			return verdictOf(broken("data.strategy_code", "must be new: the strategy exists", d.StrategyCode))
		}
		if b.names[d.StrategyName] != "" {
			return verdictOf(broken("data.strategy_name", "must be new: a strategy has this name", d.StrategyName))
		}
		return apply, nil
	case *events.StrategyUpdated:
		return b.needStrategy(d.StrategyCode)
	case *events.StrategyStatusChanged:
		if verdict, err := b.needStrategy(d.StrategyCode); err != nil {
			return verdict, err
		}
		return checkStatus(strategyMoves, b.strategy(d.StrategyCode).row.Status, d.Status)
	case *events.StrategyBound:
		return b.checkBound(d)
	case *events.BindingChanged:
		return b.checkBindingChanged(d)
	case *events.StrategyUnbound:
		_, err := b.needBinding(d.AccountID, d.StrategyCode)
		return verdictOf(err)
	case *events.ParamSaved:
		return b.checkParamSaved(d)
	case *events.ParamActivated:
		return b.checkParamActivated(d)
	}
	return b.checkUser(data)
}

func (b *Book) checkUser(data events.Data) (Verdict, error) {
	if d, ok := data.(*events.UserRegistered); ok {
		if b.user(d.Username) != nil {
			return verdictOf(broken("data.username", "must be new: the user exists", d.Username))
		}
		if b.emails[strings.ToLower(d.Email)] != "" {
			return verdictOf(broken("data.email", "must be new: a user has this e-mail", d.Email))
		}
		return apply, nil
	}
	name := strings.TrimPrefix(data.Subject(), "user/")
	u := b.user(name)
	if u == nil {
		return verdictOf(broken("data.username", "must be a known user", name))
	}
	switch d := data.(type) {
	case *events.UserStatusChanged:
		return checkStatus(userMoves, u.row.Status, d.Status)
	case *events.RoleGranted:
		if slices.Contains(u.roles, d.Role) {
			return skip("the user has the role %s already", d.Role), nil
		}
	case *events.RoleRevoked:
		if !slices.Contains(u.roles, d.Role) {
			return skip("the user does not have the role %s", d.Role), nil
		}
	}
	return apply, nil
}

func (b *Book) mayOpen(id, stock string) error {
	a := b.accounts[id]
	if a == nil || a.open < MaxOpenPositions || a.positions[stock].open {
		return nil
	}
	return broken("data.stock_code", fmt.Sprintf("must not open more than %d positions in one account", MaxOpenPositions), stock)
}

func (b *Book) checkBound(d *events.StrategyBound) (Verdict, error) {
	verdict, err := b.needAccount(d.AccountID)
	if err == nil {
		verdict, err = b.needStrategy(d.StrategyCode)
	}
	if err != nil {
		return verdict, err
	}
	a := b.created(d.AccountID)
	if _, bound := a.bindings[d.StrategyCode]; bound {
		return verdictOf(broken("data.strategy_code", "must not be bound to the account yet", d.StrategyCode))
	}
	return verdictOf(a.mayAllocate(a.allocated, d.AllocatedCapital))
}

func (b *Book) checkBindingChanged(d *events.BindingChanged) (Verdict, error) {
	binding, err := b.needBinding(d.AccountID, d.StrategyCode)
	if err != nil || d.AllocatedCapital == nil {
		return verdictOf(err)
	}
	a := b.created(d.AccountID)
	return verdictOf(a.mayAllocate(a.allocated-binding.AllocatedCapital, *d.AllocatedCapital))
}

// mayAllocate holds a new allocation, beside those of the account's other
// bindings, against the current capital.
func (a *account) mayAllocate(others, capital events.Money) error {
	switch {
	case capital <= 0:
		return broken("data.allocated_capital", "must be greater than 0", capital.String())
	case others+capital > a.row.CurrentCapital:
		return broken("data.allocated_capital", fmt.Sprintf(
			"must, with the %s of the account's other bindings, not exceed its current capital %s",
			others, a.row.CurrentCapital), capital.String())
	}
	return nil
}

func (b *Book) checkParamSaved(d *events.ParamSaved) (Verdict, error) {
	if verdict, err := b.needStrategy(d.StrategyCode); err != nil {
		return verdict, err
	}
	next := b.strategy(d.StrategyCode).last + 1
	if d.Version != 0 && d.Version != next {
		return verdictOf(broken("data.version", fmt.Sprintf("must be the strategy's next version, %d, or absent", next), fmt.Sprint(d.Version)))
	}
	d.Version = next
	return apply, nil
}

func (b *Book) checkParamActivated(d *events.ParamActivated) (Verdict, error) {
	if verdict, err := b.needStrategy(d.StrategyCode); err != nil {
		return verdict, err
	}
	s := b.strategy(d.StrategyCode)
	if _, ok := s.params[d.Version]; !ok {
		return verdictOf(broken("data.version", "must be a saved version", fmt.Sprint(d.Version)))
	}
	if s.active == d.Version {
		return skip("version %d is active already", d.Version), nil
	}
	return apply, nil
}

// needAccount refuses an unknown account; after that it passes on the first of
// more.
func (b *Book) needAccount(id string, more ...error) (Verdict, error) {
	if b.created(id) == nil {
		return verdictOf(broken("data.account_id", "must be a known account", id))
	}
	for _, err := range more {
		if err != nil {
			return verdictOf(err)
		}
	}
	return apply, nil
}

func (b *Book) needStrategy(code string) (Verdict, error) {
	if b.strategy(code) == nil {
		return verdictOf(broken("data.strategy_code", "must be a known strategy", code))
	}
	return apply, nil
}

func (b *Book) needBinding(id, code string) (Binding, error) {
	if _, err := b.needAccount(id); err != nil {
		return Binding{}, err
	}
	if _, err := b.needStrategy(code); err != nil {
		return Binding{}, err
	}
	binding, bound := b.created(id).bindings[code]
	if !bound {
		return Binding{}, broken("data.strategy_code", "must be bound to the account", code)
	}
	return binding, nil
}

// The moves that a status may make.
var (
	accountMoves = map[string][]string{
		"active":    {"inactive", "suspended"},
		"inactive":  {"active"},
		"suspended": {"active"},
	}
	strategyMoves = map[string][]string{
		"testing":  {"active"},
		"active":   {"inactive", "testing"},
		"inactive": {"active"},
	}
	userMoves = map[string][]string{
		"active":   {"inactive", "locked"},
		"inactive": {"active"},
		"locked":   {"active"},
	}
)

func checkStatus(moves map[string][]string, from, to string) (Verdict, error) {
	if from == to {
		return skip("the status is %s already", to), nil
	}
	if !slices.Contains(moves[from], to) {
		return verdictOf(broken("data.status", fmt.Sprintf("must be %s after %s", strings.Join(moves[from], " or "), from), to))
	}
	return apply, nil
}

func skip(format string, args ...any) Verdict {
	return Verdict{Reason: fmt.Sprintf(format, args...)}
}

func verdictOf(err error) (Verdict, error) { return Verdict{Applied: err == nil}, err }

func broken(field, rule, value string) error {
	if runes := []rune(value); len(runes) > 64 {
		value = string(runes[:64])
	}
	return &events.InvalidError{Field: field, Rule: rule, Value: value}
}
