package events

import (
	"math/bits"
	"strconv"
)

// The limits of single fields.
const (
	// MaxBars is the largest number of bars in one kline.recorded.v1.
	MaxBars = 2000
	// MaxParams is the largest number of keys in one param.saved.v1.
	MaxParams = 500
	// MaxHeldDays bounds held days, far beyond any position's life.
	MaxHeldDays = 1_000_000
	// MaxParamVersion bounds a parameter version.
	MaxParamVersion = 1_000_000_000
	// MinBcryptCost is the lowest cost of a password hash.
	MinBcryptCost = 10
)

func (d *TradeRecorded) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.stock(&d.StockCode)
	r.title("stock_name", d.StockName, 50)
	switch d.OrderType {
	case BuyOrder, SellOrder, BuyTrade, SellTrade, Cancel:
	default:
		r.oneOf("order_type", string(d.OrderType),
			string(BuyOrder), string(SellOrder), string(BuyTrade), string(SellTrade), string(Cancel))
	}
	switch d.PriceType {
	case "", MarketPrice, LimitPrice:
	default:
		r.oneOf("price_type", string(d.PriceType), string(MarketPrice), string(LimitPrice))
	}
	positive(&r, "price", d.Price)
	r.integer("volume", d.Volume, 1, MaxVolume)
	r.label("strategy_name", d.StrategyName, 100)
	r.text("remark", d.Remark, 500)
	r.time("traded_at", &d.TradedAt)
	r.label("order_id", d.OrderID, 64)
	if r.err == nil {
		d.fillAmount(&r)
	}
	return r.err
}

// fillAmount computes price × volume, or holds a given amount against it.
func (d *TradeRecorded) fillAmount(r *rules) {
	// Thousandths of a yuan; up to 1e29, so in 128 bits.
	hi, lo := bits.Mul64(uint64(d.Price), uint64(d.Volume))
	if hi != 0 || lo > MaxUnscaled*10 {
		r.broken("amount", "price × volume is too large: at most "+Money(MaxUnscaled).String(), "")
		return
	}
	exact := int64(lo)
	if d.Amount == 0 {
		d.Amount = Money((exact + 5) / 10)
		return
	}
	// A given amount may be off by the rounding of whoever computed it.
	if d.Amount < 0 || d.Amount > MaxUnscaled || max(int64(d.Amount)*10-exact, exact-int64(d.Amount)*10) > 10 {
		r.broken("amount", "must be price × volume = "+Money((exact+5)/10).String()+" to 0.01", d.Amount.String())
	}
}

func (d *PositionOpened) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.stock(&d.StockCode)
	r.integer("held_days", d.HeldDays, 0, MaxHeldDays)
	return r.err
}

func (d *PositionHeldDaysSet) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.stock(&d.StockCode)
	r.integer("held_days", d.HeldDays, 0, MaxHeldDays)
	return r.err
}

func (d *PositionDaysIncremented) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.date("date", d.Date)
	return r.err
}

func (d *PositionPriceMarked) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.stock(&d.StockCode)
	if d.MaxPrice == nil && d.MinPrice == nil {
		r.broken("max_price", "or min_price is required", "")
	}
	if d.MaxPrice != nil {
		positive(&r, "max_price", *d.MaxPrice)
	}
	if d.MinPrice != nil {
		positive(&r, "min_price", *d.MinPrice)
	}
	if d.MaxPrice != nil && d.MinPrice != nil {
		r.check(*d.MaxPrice >= *d.MinPrice, "max_price", "must be at least min_price", d.MaxPrice.String)
	}
	return r.err
}

func (d *PositionClosed) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.stock(&d.StockCode)
	return r.err
}

func (r *rules) broker(s string) { r.oneOf("broker", s, "QMT", "GM", "TDX") }

func (d *AccountCreated) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.name("account_name", d.AccountName, 1)
	r.broker(d.Broker)
	positive(&r, "initial_capital", d.InitialCapital)
	return r.err
}

func (d *AccountUpdated) normalize() error {
	var r rules
	r.account(d.AccountID)
	if d.AccountName != nil {
		r.name("account_name", *d.AccountName, 1)
	}
	if d.Broker != nil {
		r.broker(*d.Broker)
	}
	return r.err
}

func (d *CapitalUpdated) normalize() error {
	var r rules
	r.account(d.AccountID)
	if d.CurrentCapital != nil {
		notNegative(&r, "current_capital", *d.CurrentCapital)
	}
	notNegative(&r, "total_assets", d.TotalAssets)
	if d.PositionValue != nil {
		notNegative(&r, "position_value", *d.PositionValue)
	}
	if d.CurrentCapital != nil && d.PositionValue != nil {
		r.check(d.TotalAssets == *d.CurrentCapital+*d.PositionValue, "total_assets",
			"must be current_capital + position_value", d.TotalAssets.String)
	}
	if d.Date != 0 {
		r.date("date", d.Date)
	}
	return r.err
}

func (d *AccountStatusChanged) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.oneOf("status", d.Status, "active", "inactive", "suspended")
	return r.err
}

func (d *StrategyCreated) normalize() error {
	if d.Status == "" {
		d.Status = "testing"
	}
	var r rules
	r.name("strategy_name", d.StrategyName, 3)
	r.strategy(d.StrategyCode)
	r.oneOf("strategy_type", d.StrategyType, "wencai", "remote", "technical")
	r.semver("version", d.Version)
	r.text("description", d.Description, 1000)
	r.strategyStatus(d.Status)
	return r.err
}

func (r *rules) strategyStatus(s string) { r.oneOf("status", s, "testing", "active", "inactive") }

func (d *StrategyUpdated) normalize() error {
	var r rules
	r.strategy(d.StrategyCode)
	if d.Version != nil {
		r.semver("version", *d.Version)
	}
	if d.Description != nil {
		r.text("description", *d.Description, 1000)
	}
	return r.err
}

func (d *StrategyStatusChanged) normalize() error {
	var r rules
	r.strategy(d.StrategyCode)
	r.strategyStatus(d.Status)
	return r.err
}

func (r *rules) bindingStatus(s string) { r.oneOf("status", s, "active", "paused") }

func (d *StrategyBound) normalize() error {
	if d.Status == "" {
		d.Status = "active"
	}
	var r rules
	r.account(d.AccountID)
	r.strategy(d.StrategyCode)
	positive(&r, "allocated_capital", d.AllocatedCapital)
	r.percent("risk_limit", d.RiskLimit)
	r.bindingStatus(d.Status)
	return r.err
}

func (d *BindingChanged) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.strategy(d.StrategyCode)
	if d.AllocatedCapital != nil {
		positive(&r, "allocated_capital", *d.AllocatedCapital)
	}
	if d.RiskLimit != nil {
		r.percent("risk_limit", *d.RiskLimit)
	}
	if d.Status != nil {
		r.bindingStatus(*d.Status)
	}
	return r.err
}

func (d *StrategyUnbound) normalize() error {
	var r rules
	r.account(d.AccountID)
	r.strategy(d.StrategyCode)
	return r.err
}

func (d *ParamSaved) normalize() error {
	var r rules
	r.strategy(d.StrategyCode)
	r.params(&d.Params)
	r.text("remark", d.Remark, 500)
	r.integer("version", d.Version, 0, MaxParamVersion)
	return r.err
}

func (d *ParamActivated) normalize() error {
	var r rules
	r.strategy(d.StrategyCode)
	r.integer("version", d.Version, 1, MaxParamVersion)
	return r.err
}

func (d *KlineRecorded) normalize() error {
	var r rules
	r.stock(&d.StockCode)
	switch n := len(d.Bars); {
	case n == 0:
		r.broken("bars", "must hold at least one bar", "")
	case n > MaxBars:
		r.broken("bars", "must hold at most "+strconv.Itoa(MaxBars)+" bars", strconv.Itoa(n))
	}
	for i := range d.Bars {
		if r.err == nil {
			d.Bars[i].check(&r, "bars["+strconv.Itoa(i)+"].")
		}
	}
	if r.err == nil {
		d.checkDates(&r)
	}
	return r.err
}

func (b *Bar) check(r *rules, at string) {
	r.date(at+"date", b.Date)
	notNegative(r, at+"low", b.Low)
	notNegative(r, at+"open", b.Open)
	notNegative(r, at+"close", b.Close)
	notNegative(r, at+"high", b.High)
	r.check(b.Low <= b.Open && b.Low <= b.Close && b.Low <= b.High, at+"low", "must be at most open, close and high", b.Low.String)
	r.check(b.High >= b.Open && b.High >= b.Close, at+"high", "must be at least open and close", b.High.String)
	r.integer(at+"volume", b.Volume, 0, MaxVolume)
	notNegative(r, at+"amount", b.Amount)
}

// checkDates refuses a date that appears twice; bars in rising order, the
// usual case, need no memory for that.
func (d *KlineRecorded) checkDates(r *rules) {
	rising := true
	for i := 1; i < len(d.Bars) && rising; i++ {
		rising = d.Bars[i-1].Date < d.Bars[i].Date
	}
	if rising {
		return
	}
	seen := make(map[Date]struct{}, len(d.Bars))
	for i := range d.Bars {
		if _, ok := seen[d.Bars[i].Date]; ok {
			r.broken("bars["+strconv.Itoa(i)+"].date", "must not appear twice", d.Bars[i].Date.String())
		}
		seen[d.Bars[i].Date] = struct{}{}
	}
}

func (d *UserRegistered) normalize() error {
	var r rules
	r.username(d.Username)
	r.email(d.Email)
	r.passwordHash(d.PasswordHash)
	r.label("real_name", d.RealName, 100)
	seen := make(map[string]bool, len(d.Roles))
	for i, role := range d.Roles {
		at := "roles[" + strconv.Itoa(i) + "]"
		r.role(at, role)
		if seen[role] {
			r.broken(at, "must not appear twice", role)
		}
		seen[role] = true
	}
	if len(d.Roles) == 0 {
		d.Roles = nil
	}
	return r.err
}

func (r *rules) role(field, s string) { r.oneOf(field, s, "admin", "developer", "trader", "viewer") }

func (d *UserLoggedIn) normalize() error {
	var r rules
	r.username(d.Username)
	r.ip(&d.IP)
	return r.err
}

func (d *UserLoginFailed) normalize() error {
	var r rules
	r.username(d.Username)
	r.ip(&d.IP)
	return r.err
}

func (d *UserStatusChanged) normalize() error {
	var r rules
	r.username(d.Username)
	r.oneOf("status", d.Status, "active", "inactive", "locked")
	return r.err
}

func (d *UserPasswordChanged) normalize() error {
	var r rules
	r.username(d.Username)
	r.passwordHash(d.PasswordHash)
	return r.err
}

func (d *RoleGranted) normalize() error {
	var r rules
	r.username(d.Username)
	r.role("role", d.Role)
	return r.err
}

func (d *RoleRevoked) normalize() error {
	var r rules
	r.username(d.Username)
	r.role("role", d.Role)
	return r.err
}

func (d *TierParked) normalize() error {
	var r rules
	r.oneOf("tier", d.Tier, "redis", "mysql", "clickhouse", "file")
	r.oneOf("action", d.Action, "parked", "retried", "discarded")
	r.title("about", d.About, 100)
	r.integer("sequence", d.Sequence, 1, MaxSequence)
	r.text("reason", d.Reason, 1000)
	return r.err
}
