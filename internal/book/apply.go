package book

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// The statuses that the fold itself sets.
const (
	statusActive = "active"
	statusLocked = "locked"
)

// Apply is the pure fold. It is total: it accepts any events in any order and
// the same events always give the same state. A log that ingest wrote, and any
// prefix of it, never meets the lenient cases; a replay bounded by time, which
// feeds a subset, may:
//
//   - what changes a missing account, strategy, binding, parameter version or
//     user does nothing;
//   - a creation whose id, name or e-mail is taken does nothing;
//   - a binding needs its account and its strategy, a parameter version its
//     strategy, a role its user, else it does nothing;
//   - positions, prices, trades, assets and klines need no parent.
//
// A Book with History needs e.Sequence, and keeps e.Data of trades: the caller
// must not change it afterwards.
func (b *Book) Apply(e *events.Event) {
	switch d := e.Data.(type) {
	case *events.TradeRecorded:
		b.recordTrade(e.Sequence, d)
	case *events.PositionOpened:
		b.account(d.AccountID).setHeld(d.StockCode, d.HeldDays)
	case *events.PositionHeldDaysSet:
		b.account(d.AccountID).setHeld(d.StockCode, d.HeldDays)
	case *events.PositionDaysIncremented:
		if a := b.account(d.AccountID); d.Date > a.incDate {
			a.incDate = d.Date
			a.incs++
		}
	case *events.PositionPriceMarked:
		b.account(d.AccountID).mark(d.StockCode, d.MaxPrice, d.MinPrice)
	case *events.PositionClosed:
		b.account(d.AccountID).close(d.StockCode)
	case *events.KlineRecorded:
		b.recordKlines(d)
	default:
		b.applyMaster(e)
	}
}

// applyMaster folds the events about accounts, strategies, parameters and
// users, which are rare.
func (b *Book) applyMaster(e *events.Event) {
	switch d := e.Data.(type) {
	case *events.AccountCreated:
		b.createAccount(e, d)
	case *events.AccountUpdated:
		if a := b.created(d.AccountID); a != nil {
			set(&a.row.Name, d.AccountName)
			set(&a.row.Broker, d.Broker)
			a.row.UpdatedAt = e.Time
		}
	case *events.CapitalUpdated:
		b.updateCapital(e, d)
	case *events.AccountStatusChanged:
		if a := b.created(d.AccountID); a != nil {
			a.row.Status, a.row.UpdatedAt = d.Status, e.Time
		}
	case *events.StrategyCreated:
		b.createStrategy(e, d)
	case *events.StrategyUpdated:
		if s := b.strategy(d.StrategyCode); s != nil {
			set(&s.row.Version, d.Version)
			set(&s.row.Description, d.Description)
			s.row.UpdatedAt = e.Time
		}
	case *events.StrategyStatusChanged:
		if s := b.strategy(d.StrategyCode); s != nil {
			s.row.Status, s.row.UpdatedAt = d.Status, e.Time
		}
	case *events.StrategyBound:
		b.bind(e, d)
	case *events.BindingChanged:
		b.changeBinding(e, d)
	case *events.StrategyUnbound:
		if a := b.accounts[d.AccountID]; a != nil {
			a.allocated -= a.bindings[d.StrategyCode].AllocatedCapital
			delete(a.bindings, d.StrategyCode)
		}
	case *events.ParamSaved:
		b.saveParam(e, d)
	case *events.ParamActivated:
		if s := b.strategy(d.StrategyCode); s != nil {
			if _, ok := s.params[d.Version]; ok {
				s.active = d.Version
			}
		}
	default:
		b.applyUser(e)
	}
}

func (b *Book) applyUser(e *events.Event) {
	switch d := e.Data.(type) {
	case *events.UserRegistered:
		b.registerUser(e, d)
	case *events.UserLoggedIn:
		if u := b.user(d.Username); u != nil {
			u.row.FailedLogins, u.row.LastLoginAt, u.row.UpdatedAt = 0, e.Time, e.Time
		}
	case *events.UserLoginFailed:
		if u := b.user(d.Username); u != nil {
			u.row.FailedLogins++
			if u.row.FailedLogins >= MaxLoginFailures && u.row.Status == statusActive {
				u.row.Status = statusLocked
			}
			u.row.UpdatedAt = e.Time
		}
	case *events.UserStatusChanged:
		if u := b.user(d.Username); u != nil {
			if d.Status == statusActive {
				u.row.FailedLogins = 0
			}
			u.row.Status, u.row.UpdatedAt = d.Status, e.Time
		}
	case *events.UserPasswordChanged:
		if u := b.user(d.Username); u != nil {
			u.row.PasswordHash, u.row.UpdatedAt = d.PasswordHash, e.Time
		}
	case *events.RoleGranted:
		if u := b.user(d.Username); u != nil {
			u.grant(d.Role)
		}
	case *events.RoleRevoked:
		if u := b.user(d.Username); u != nil {
			u.revoke(d.Role)
		}
	}
}

// set changes *field when there is a value.
func set[T any](field *T, value *T) {
	if value != nil {
		*field = *value
	}
}

// account is the entry of an id, made when missing.
func (b *Book) account(id string) *account {
	a := b.accounts[id]
	if a == nil {
		a = &account{positions: make(map[string]position)}
		b.accounts[id] = a
	}
	return a
}

// created is the entry of an account that was created, or nil.
func (b *Book) created(id string) *account {
	if a := b.accounts[id]; a != nil && a.row.ID != "" {
		return a
	}
	return nil
}

// strategy is the entry of a strategy that was created, or nil.
func (b *Book) strategy(code string) *strategy {
	if s := b.strategies[code]; s != nil && s.row.Code != "" {
		return s
	}
	return nil
}

// user is the entry of a user who was registered, or nil.
func (b *Book) user(name string) *user {
	if u := b.users[name]; u != nil && u.row.Username != "" {
		return u
	}
	return nil
}

func (a *account) setHeld(stock string, days int64) {
	p := a.positions[stock]
	if !p.open {
		p.open = true
		a.open++
	}
	p.base = a.incs - days
	a.positions[stock] = p
}

func (a *account) mark(stock string, highest, lowest *events.Price) {
	p := a.positions[stock]
	set(&p.max, highest)
	set(&p.min, lowest)
	a.positions[stock] = p
}

func (a *account) close(stock string) {
	p, ok := a.positions[stock]
	if !ok {
		return
	}
	if p.open {
		a.open--
	}
	delete(a.positions, stock)
}

func (b *Book) recordTrade(sequence uint64, d *events.TradeRecorded) {
	if !b.keep.History {
		return
	}
	b.trades = append(b.trades, Trade{Sequence: sequence, TradeRecorded: d})
	a := b.account(d.AccountID)
	a.deals = append(a.deals, DealOf(d, int64(len(a.deals))+1))
}

// DealOf is the trade as deal_hist.csv's row of that ordinal. The file has a
// word for market and one for limit orders, and none for an unknown price
// type: such an order counts as a limit order.
func DealOf(d *events.TradeRecorded, ordinal int64) Deal {
	at := d.TradedAt.In(events.Zone)
	deal := Deal{
		AccountID: d.AccountID,
		Ordinal:   ordinal,
		Date:      events.DateOf(at),
		Time:      at.Format(dealTime),
		StockCode: d.StockCode,
		StockName: d.StockName,
		OrderType: d.OrderType,
		Remark:    d.Remark,
		Price:     d.Price,
		Volume:    d.Volume,
	}
	if d.OrderType == events.BuyOrder || d.OrderType == events.SellOrder {
		deal.PriceType = cmp.Or(d.PriceType, events.LimitPrice)
	}
	return deal
}

func (b *Book) recordKlines(d *events.KlineRecorded) {
	if !b.keep.History || len(d.Bars) == 0 {
		return
	}
	bars := b.klines[d.StockCode]
	if bars == nil {
		bars = make(map[events.Date]events.Bar, len(d.Bars))
		b.klines[d.StockCode] = bars
	}
	for _, bar := range d.Bars {
		bars[bar.Date] = bar
	}
}

func (b *Book) createAccount(e *events.Event, d *events.AccountCreated) {
	a := b.account(d.AccountID)
	if a.row.ID != "" {
		return
	}
	a.row = Account{
		ID:             d.AccountID,
		Name:           d.AccountName,
		Broker:         d.Broker,
		Status:         statusActive,
		InitialCapital: d.InitialCapital,
		CurrentCapital: d.InitialCapital,
		TotalAssets:    d.InitialCapital,
		CreatedAt:      e.Time,
		UpdatedAt:      e.Time,
	}
}

// CapitalDate is the day that a capital update is about: its own date, or the
// day of the event's time.
func CapitalDate(e *events.Event, d *events.CapitalUpdated) events.Date {
	if d.Date != 0 {
		return d.Date
	}
	return events.DateOf(e.Time)
}

func (b *Book) updateCapital(e *events.Event, d *events.CapitalUpdated) {
	if b.keep.History {
		b.account(d.AccountID).setAsset(CapitalDate(e, d), d.TotalAssets)
	}
	if a := b.created(d.AccountID); a != nil {
		set(&a.row.CurrentCapital, d.CurrentCapital)
		set(&a.row.PositionValue, d.PositionValue)
		a.row.TotalAssets, a.row.UpdatedAt = d.TotalAssets, e.Time
	}
}

func (a *account) setAsset(date events.Date, total events.Money) {
	if a.assets == nil {
		a.assets = make(map[events.Date]events.Money)
	}
	a.assets[date] = total
}

func (b *Book) createStrategy(e *events.Event, d *events.StrategyCreated) {
	if b.strategy(d.StrategyCode) != nil || b.names[d.StrategyName] != "" {
		return
	}
	b.names[d.StrategyName] = d.StrategyCode
	b.strategies[d.StrategyCode] = &strategy{strategyHead: strategyHead{row: Strategy{
		Code:        d.StrategyCode,
		Name:        d.StrategyName,
		Type:        d.StrategyType,
		Version:     d.Version,
		Description: d.Description,
		Status:      d.Status,
		CreatedAt:   e.Time,
		UpdatedAt:   e.Time,
	}}}
}

func (b *Book) bind(e *events.Event, d *events.StrategyBound) {
	a := b.created(d.AccountID)
	if a == nil || b.strategy(d.StrategyCode) == nil {
		return
	}
	if _, bound := a.bindings[d.StrategyCode]; bound {
		return
	}
	a.putBinding(Binding{
		AccountID:        d.AccountID,
		StrategyCode:     d.StrategyCode,
		AllocatedCapital: d.AllocatedCapital,
		RiskLimit:        d.RiskLimit,
		Status:           d.Status,
		CreatedAt:        e.Time,
		UpdatedAt:        e.Time,
	})
}

func (b *Book) changeBinding(e *events.Event, d *events.BindingChanged) {
	a := b.accounts[d.AccountID]
	if a == nil {
		return
	}
	binding, bound := a.bindings[d.StrategyCode]
	if !bound {
		return
	}
	set(&binding.AllocatedCapital, d.AllocatedCapital)
	set(&binding.RiskLimit, d.RiskLimit)
	set(&binding.Status, d.Status)
	binding.UpdatedAt = e.Time
	a.putBinding(binding)
}

// putBinding adds or replaces a binding and keeps the sum of allocations.
func (a *account) putBinding(binding Binding) {
	if a.bindings == nil {
		a.bindings = make(map[string]Binding)
	}
	a.allocated += binding.AllocatedCapital - a.bindings[binding.StrategyCode].AllocatedCapital
	a.bindings[binding.StrategyCode] = binding
}

func (b *Book) saveParam(e *events.Event, d *events.ParamSaved) {
	s := b.strategy(d.StrategyCode)
	if s == nil {
		return
	}
	s.putParam(Param{
		StrategyCode: d.StrategyCode,
		Version:      d.Version,
		Params:       d.Params,
		Remark:       d.Remark,
		CreatedAt:    e.Time,
	})
	s.active = d.Version
}

// putParam adds or replaces a version.
func (s *strategy) putParam(p Param) {
	if s.params == nil {
		s.params = make(map[int64]Param)
	}
	s.params[p.Version] = p
	s.last = max(s.last, p.Version)
}

func (b *Book) registerUser(e *events.Event, d *events.UserRegistered) {
	email := strings.ToLower(d.Email)
	if b.user(d.Username) != nil || b.emails[email] != "" {
		return
	}
	b.emails[email] = d.Username
	u := &user{row: User{
		Username:     d.Username,
		Email:        d.Email,
		PasswordHash: d.PasswordHash,
		RealName:     d.RealName,
		Status:       statusActive,
		CreatedAt:    e.Time,
		UpdatedAt:    e.Time,
	}}
	for _, role := range d.Roles {
		u.grant(role)
	}
	b.users[d.Username] = u
}

func (u *user) grant(role string) {
	if i, found := slices.BinarySearch(u.roles, role); !found {
		u.roles = slices.Insert(slices.Clone(u.roles), i, role)
	}
}

func (u *user) revoke(role string) {
	if i, found := slices.BinarySearch(u.roles, role); found {
		u.roles = slices.Delete(slices.Clone(u.roles), i, i+1)
	}
}
