package booktest

import (
	"fmt"

	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// The first two ids sort one way alone and the other way as folders.
var (
	accountIDs    = []string{"acc-01", "acc-01-b", "ACC_01"}
	stockCodes    = []string{"600000.SH", "000001.SZ", "300750.SZ", "830799.BJ"}
	strategyCodes = []string{"wencai_v1", "remote", "t_9"}
	userNames     = []string{"li_lei", "Han", "trader_03"}
	roleNames     = []string{"admin", "developer", "trader", "viewer"}

	texts = []string{"", "问财选股", "回落止盈 🚀📉", `say "hi", a\b`, "a,b;c", "第一行\n第二行", "<&> '", "\u2028", "𠮷野家"}
	lines = []string{"问财选股", "*ST 🚀", `say "hi", a\b`, "万  科Ａ", "a,b;c", "O'Neil"}

	prices  = []events.Price{1, 999, 1000, 8300, 12_430, 2_200_050, 99_999_999, events.MaxUnscaled}
	moneys  = []events.Money{0, 1, 99, 100, 50_000_000, 100_000_000, 12_345_678_901, events.MaxUnscaled}
	volumes = []int64{1, 99, 100, 1600, 1_000_000, events.MaxVolume}
)

const passwordHash = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

// one draws one of a pool.
func one[T any](h *history, pool []T) T { return rapid.SampledFrom(pool).Draw(h.t, "one") }

// maybe draws one of a pool, or nil.
func maybe[T any](h *history, pool []T) *T {
	if rapid.Bool().Draw(h.t, "absent") {
		return nil
	}
	v := one(h, pool)
	return &v
}

// date draws a day near the history's present: repeated and earlier ones too.
func (h *history) date() events.Date {
	return events.DateOf(h.now.AddDate(0, 0, rapid.IntRange(-2, 3).Draw(h.t, "days")))
}

func (h *history) trade() events.Data {
	d := &events.TradeRecorded{
		AccountID: one(h, accountIDs),
		StockCode: one(h, stockCodes),
		StockName: one(h, lines),
		OrderType: one(h, []events.OrderType{events.BuyOrder, events.SellOrder, events.BuyTrade, events.SellTrade, events.Cancel}),
		PriceType: one(h, []events.PriceType{"", events.MarketPrice, events.LimitPrice}),
		Price:     one(h, prices),
		Volume:    one(h, volumes),
		Remark:    one(h, texts),
		TradedAt:  h.now,
		OrderID:   one(h, []string{"", "1024", "委托-7"}),
	}
	if names := h.book.Strategies(); len(names) > 0 {
		d.StrategyName = one(h, []string{"", names[0].Name})
	}
	return d
}

func (h *history) opened() events.Data {
	return &events.PositionOpened{AccountID: one(h, accountIDs), StockCode: one(h, stockCodes), HeldDays: one(h, []int64{0, 0, 0, 7})}
}

func (h *history) heldDaysSet() events.Data {
	return &events.PositionHeldDaysSet{AccountID: one(h, accountIDs), StockCode: one(h, stockCodes), HeldDays: one(h, []int64{0, 1, 30, events.MaxHeldDays})}
}

func (h *history) daysIncremented() events.Data {
	return &events.PositionDaysIncremented{AccountID: one(h, accountIDs), Date: h.date()}
}

func (h *history) priceMarked() events.Data {
	return &events.PositionPriceMarked{AccountID: one(h, accountIDs), StockCode: one(h, stockCodes), MaxPrice: maybe(h, prices), MinPrice: maybe(h, prices)}
}

func (h *history) closed() events.Data {
	return &events.PositionClosed{AccountID: one(h, accountIDs), StockCode: one(h, stockCodes)}
}

func (h *history) anyAccount() events.Data { return h.account(one(h, accountIDs)) }

func (h *history) account(id string) events.Data {
	return &events.AccountCreated{
		AccountID:      id,
		AccountName:    one(h, lines),
		Broker:         one(h, []string{"QMT", "GM", "TDX"}),
		InitialCapital: one(h, moneys[1:]),
	}
}

func (h *history) accountUpdated() events.Data {
	return &events.AccountUpdated{AccountID: one(h, accountIDs), AccountName: maybe(h, lines), Broker: maybe(h, []string{"QMT", "GM"})}
}

func (h *history) capital() events.Data {
	d := &events.CapitalUpdated{
		AccountID:      one(h, accountIDs),
		CurrentCapital: maybe(h, moneys[:len(moneys)-1]),
		PositionValue:  maybe(h, moneys[:len(moneys)-1]),
		TotalAssets:    one(h, moneys),
	}
	if d.CurrentCapital != nil && d.PositionValue != nil {
		d.TotalAssets = *d.CurrentCapital + *d.PositionValue
	}
	if rapid.Bool().Draw(h.t, "dated") {
		d.Date = h.date()
	}
	return d
}

func (h *history) accountStatus() events.Data {
	return &events.AccountStatusChanged{AccountID: one(h, accountIDs), Status: one(h, []string{"active", "inactive", "suspended"})}
}

func (h *history) strategyCreated() events.Data {
	code := one(h, strategyCodes)
	// Now and then another strategy's name, which is then taken.
	named := one(h, []string{code, code, one(h, strategyCodes)})
	return &events.StrategyCreated{
		StrategyName: "策略 " + named,
		StrategyCode: code,
		StrategyType: one(h, []string{"wencai", "remote", "technical"}),
		Version:      "1.0.0",
		Description:  one(h, texts),
		Status:       one(h, []string{"", "active"}),
	}
}

func (h *history) strategyUpdated() events.Data {
	return &events.StrategyUpdated{StrategyCode: one(h, strategyCodes), Version: maybe(h, []string{"1.2.0", "10.0.13"}), Description: maybe(h, texts)}
}

func (h *history) strategyStatus() events.Data {
	return &events.StrategyStatusChanged{StrategyCode: one(h, strategyCodes), Status: one(h, []string{"testing", "active", "inactive"})}
}

func (h *history) bound() events.Data {
	return &events.StrategyBound{
		AccountID:        one(h, accountIDs),
		StrategyCode:     one(h, strategyCodes),
		AllocatedCapital: one(h, moneys[1:6]),
		RiskLimit:        one(h, []events.Percent{0, 1, 500, 10_000}),
		Status:           one(h, []string{"", "paused"}),
	}
}

func (h *history) bindingChanged() events.Data {
	return &events.BindingChanged{
		AccountID:        one(h, accountIDs),
		StrategyCode:     one(h, strategyCodes),
		AllocatedCapital: maybe(h, moneys[1:6]),
		RiskLimit:        maybe(h, []events.Percent{0, 10_000}),
		Status:           maybe(h, []string{"active", "paused"}),
	}
}

func (h *history) unbound() events.Data {
	return &events.StrategyUnbound{AccountID: one(h, accountIDs), StrategyCode: one(h, strategyCodes)}
}

func (h *history) paramSaved() events.Data {
	return &events.ParamSaved{StrategyCode: one(h, strategyCodes), Params: []byte(h.object(3)), Remark: one(h, texts)}
}

func (h *history) paramActivated() events.Data {
	return &events.ParamActivated{StrategyCode: one(h, strategyCodes), Version: rapid.Int64Range(1, 4).Draw(h.t, "version")}
}

// object draws the text of a JSON object, nested up to levels deep.
func (h *history) object(levels int) string {
	keys := []string{"slot_count", "涨幅", "z", "a"}
	text := "{"
	for i := range rapid.IntRange(0, len(keys)).Draw(h.t, "keys") {
		if i > 0 {
			text += ", "
		}
		text += fmt.Sprintf("%q: %s", keys[i], h.json(levels-1))
	}
	return text + "}"
}

// json draws the text of any JSON value: numbers whose text a float would lose,
// escapes, nesting.
func (h *history) json(levels int) string {
	kinds := 2
	if levels > 0 {
		kinds = 4
	}
	switch rapid.IntRange(1, kinds).Draw(h.t, "json") {
	case 1:
		return one(h, []string{"0", "-0.0", "1.0", "9.999", "1E400", "12345678901234567890", "0.1000"})
	case 2:
		return one(h, []string{"null", "true", `""`, `"中文 🚀"`, `"\u4e2d\n\"\\"`, `"<&>"`, `"09:30"`})
	case 3:
		return "[" + h.json(levels-1) + ", " + h.json(levels-1) + "]"
	default:
		return h.object(levels)
	}
}

func (h *history) klines() events.Data {
	d := &events.KlineRecorded{StockCode: one(h, stockCodes)}
	for range rapid.IntRange(1, 3).Draw(h.t, "bars") {
		low, high := one(h, prices), one(h, prices)
		low, high = min(low, high), max(low, high)
		d.Bars = append(d.Bars, events.Bar{
			Date: h.date(), Open: low, High: high, Low: low, Close: high,
			Volume: one(h, volumes), Amount: one(h, moneys),
		})
	}
	return d
}

func (h *history) userRegistered() events.Data {
	name := one(h, userNames)
	mailbox := one(h, []string{name, name, one(h, userNames)})
	d := &events.UserRegistered{
		Username:     name,
		Email:        mailbox + one(h, []string{"@example.com", "@EXAMPLE.com"}),
		PasswordHash: passwordHash,
		RealName:     one(h, []string{"", "李雷"}),
	}
	if role := maybe(h, roleNames); role != nil {
		d.Roles = []string{*role}
	}
	return d
}

func (h *history) loggedIn() events.Data {
	return &events.UserLoggedIn{Username: one(h, userNames), IP: "192.0.2.7"}
}

// loginFailed comes in runs, so that five in a row happen.
func (h *history) loginFailed() events.Data {
	name := one(h, userNames)
	for range rapid.IntRange(0, 4).Draw(h.t, "before") {
		h.add(&events.UserLoginFailed{Username: name, IP: "192.0.2.7"})
	}
	return &events.UserLoginFailed{Username: name, IP: "2001:db8::1"}
}

func (h *history) userStatus() events.Data {
	return &events.UserStatusChanged{Username: one(h, userNames), Status: one(h, []string{"active", "inactive", "locked"})}
}

func (h *history) passwordChanged() events.Data {
	return &events.UserPasswordChanged{Username: one(h, userNames), PasswordHash: "$2b$10" + passwordHash[6:]}
}

func (h *history) roleGranted() events.Data {
	return &events.RoleGranted{Username: one(h, userNames), Role: one(h, roleNames)}
}

func (h *history) roleRevoked() events.Data {
	return &events.RoleRevoked{Username: one(h, userNames), Role: one(h, roleNames)}
}

// tierParked changes nothing anywhere.
func (h *history) tierParked() events.Data {
	return &events.TierParked{Tier: one(h, []string{"redis", "file"}), Action: one(h, []string{"parked", "retried", "discarded"}), About: "account/acc-01", Sequence: 1, Reason: "because"}
}
