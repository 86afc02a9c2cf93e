package events_test

import (
	"fmt"
	"math/big"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Generators of valid events, with values at the edges of what is allowed.

var (
	genAccount  = rapid.StringMatching(`[A-Za-z0-9_-]{6,50}`)
	genStrategy = rapid.StringMatching(`[a-z0-9_]{1,50}`)
	genUser     = rapid.StringMatching(`[A-Za-z0-9_]{3,50}`)
	genStock    = rapid.StringMatching(`[0-9]{6}\.(SH|SZ|BJ)`)
	genVersion  = rapid.StringMatching(`(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})`)
	genHash     = rapid.StringMatching(`\$2[aby]\$(1[0-9]|2[0-9]|3[01])\$[./A-Za-z0-9]{53}`)
	genRole     = rapid.SampledFrom([]string{"admin", "developer", "trader", "viewer"})
	genBroker   = rapid.SampledFrom([]string{"QMT", "GM", "TDX"})
	genIP       = rapid.SampledFrom([]string{"127.0.0.1", "10.255.0.1", "::1", "2001:db8::8a2e:370:7334"})
	genTime     = rapid.Custom(func(t *rapid.T) time.Time {
		micros := rapid.Int64Range(631152000_000000, 7258000000_000000).Draw(t, "micros")
		return time.UnixMicro(micros).In(events.Zone)
	})
	genDate = rapid.Custom(func(t *rapid.T) events.Date { return events.DateOf(genTime.Draw(t, "day")) })
	letters = []rune(`abcXYZ 09"\/<>&'_-.深信服Ａ😀é` + "\u2028\ufffd")
)

func genText(lo, hi int) *rapid.Generator[string] {
	return rapid.StringOfN(rapid.SampledFrom(letters), lo, hi, -1)
}

func genName(lo, hi int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return "n" + genText(lo, hi-2).Draw(t, "name") + "e" })
}

func genPrice() *rapid.Generator[events.Price] {
	return rapid.Custom(func(t *rapid.T) events.Price {
		return events.Price(rapid.Int64Range(1, 10_000_000).Draw(t, "price"))
	})
}

func genMoney(lo int64) *rapid.Generator[events.Money] {
	return rapid.Custom(func(t *rapid.T) events.Money {
		return events.Money(rapid.Int64Range(lo, events.MaxUnscaled).Draw(t, "money"))
	})
}

func genPercent() *rapid.Generator[events.Percent] {
	return rapid.Custom(func(t *rapid.T) events.Percent {
		return events.Percent(rapid.Int64Range(0, 10000).Draw(t, "percent"))
	})
}

// maybe draws a value or nil.
func maybe[T any](t *rapid.T, g *rapid.Generator[T], label string) *T {
	if rapid.Bool().Draw(t, label+" there") {
		v := g.Draw(t, label)
		return &v
	}
	return nil
}

func status(t *rapid.T, known ...string) string { return rapid.SampledFrom(known).Draw(t, "status") }

// payloads draws a valid payload of each type.
var payloads = map[events.Type]func(*rapid.T) events.Data{
	events.TypeTradeRecorded: func(t *rapid.T) events.Data {
		d := &events.TradeRecorded{
			AccountID: genAccount.Draw(t, "account"), StockCode: genStock.Draw(t, "stock"), StockName: genText(1, 50).Draw(t, "name"),
			OrderType: rapid.SampledFrom([]events.OrderType{events.BuyOrder, events.SellOrder, events.BuyTrade, events.SellTrade, events.Cancel}).Draw(t, "order"),
			PriceType: rapid.SampledFrom([]events.PriceType{"", events.MarketPrice, events.LimitPrice}).Draw(t, "price type"),
			Price:     genPrice().Draw(t, "price"), Volume: rapid.Int64Range(1, 1_000_000_000).Draw(t, "volume"),
			StrategyName: genText(0, 100).Draw(t, "strategy"), Remark: genText(0, 500).Draw(t, "remark"),
			TradedAt: genTime.Draw(t, "traded at"), OrderID: genText(0, 64).Draw(t, "order id"),
		}
		exact := new(big.Int).Mul(big.NewInt(int64(d.Price)), big.NewInt(d.Volume))
		exact.Add(exact, big.NewInt(5)).Quo(exact, big.NewInt(10))
		d.Amount = events.Money(exact.Int64())
		return d
	},
	events.TypePositionOpened: func(t *rapid.T) events.Data {
		return &events.PositionOpened{AccountID: genAccount.Draw(t, "account"), StockCode: genStock.Draw(t, "stock"),
			HeldDays: rapid.Int64Range(0, events.MaxHeldDays).Draw(t, "held")}
	},
	events.TypePositionHeldDaysSet: func(t *rapid.T) events.Data {
		return &events.PositionHeldDaysSet{AccountID: genAccount.Draw(t, "account"), StockCode: genStock.Draw(t, "stock"),
			HeldDays: rapid.Int64Range(0, events.MaxHeldDays).Draw(t, "held")}
	},
	events.TypePositionDaysIncremented: func(t *rapid.T) events.Data {
		return &events.PositionDaysIncremented{AccountID: genAccount.Draw(t, "account"), Date: genDate.Draw(t, "date")}
	},
	events.TypePositionPriceMarked: func(t *rapid.T) events.Data {
		d := &events.PositionPriceMarked{AccountID: genAccount.Draw(t, "account"), StockCode: genStock.Draw(t, "stock"),
			MaxPrice: maybe(t, genPrice(), "max"), MinPrice: maybe(t, genPrice(), "min")}
		switch {
		case d.MaxPrice == nil && d.MinPrice == nil:
			p := genPrice().Draw(t, "max")
			d.MaxPrice = &p
		case d.MaxPrice != nil && d.MinPrice != nil && *d.MaxPrice < *d.MinPrice:
			d.MaxPrice, d.MinPrice = d.MinPrice, d.MaxPrice
		}
		return d
	},
	events.TypePositionClosed: func(t *rapid.T) events.Data {
		return &events.PositionClosed{AccountID: genAccount.Draw(t, "account"), StockCode: genStock.Draw(t, "stock")}
	},
	events.TypeAccountCreated: func(t *rapid.T) events.Data {
		return &events.AccountCreated{AccountID: genAccount.Draw(t, "account"), AccountName: genName(0, 100).Draw(t, "name"),
			Broker: genBroker.Draw(t, "broker"), InitialCapital: genMoney(1).Draw(t, "capital")}
	},
	events.TypeAccountUpdated: func(t *rapid.T) events.Data {
		return &events.AccountUpdated{AccountID: genAccount.Draw(t, "account"), AccountName: maybe(t, genName(0, 100), "name"),
			Broker: maybe(t, genBroker, "broker")}
	},
	events.TypeCapitalUpdated: func(t *rapid.T) events.Data {
		d := &events.CapitalUpdated{AccountID: genAccount.Draw(t, "account"), TotalAssets: genMoney(0).Draw(t, "total"),
			CurrentCapital: maybe(t, genMoney(0), "current"), PositionValue: maybe(t, genMoney(0), "position")}
		if d.CurrentCapital != nil && d.PositionValue != nil {
			*d.CurrentCapital /= 2
			*d.PositionValue /= 2
			d.TotalAssets = *d.CurrentCapital + *d.PositionValue
		}
		if rapid.Bool().Draw(t, "dated") {
			d.Date = genDate.Draw(t, "date")
		}
		return d
	},
	events.TypeAccountStatusChanged: func(t *rapid.T) events.Data {
		return &events.AccountStatusChanged{AccountID: genAccount.Draw(t, "account"), Status: status(t, "active", "inactive", "suspended")}
	},
	events.TypeStrategyCreated: func(t *rapid.T) events.Data {
		return &events.StrategyCreated{StrategyName: genName(1, 100).Draw(t, "name"), StrategyCode: genStrategy.Draw(t, "code"),
			StrategyType: rapid.SampledFrom([]string{"wencai", "remote", "technical"}).Draw(t, "type"), Version: genVersion.Draw(t, "version"),
			Description: genText(0, 1000).Draw(t, "description") + rapid.SampledFrom([]string{"", "\n\t"}).Draw(t, "lines"),
			Status:      status(t, "testing", "active", "inactive")}
	},
	events.TypeStrategyUpdated: func(t *rapid.T) events.Data {
		return &events.StrategyUpdated{StrategyCode: genStrategy.Draw(t, "code"), Version: maybe(t, genVersion, "version"),
			Description: maybe(t, genText(0, 1000), "description")}
	},
	events.TypeStrategyStatusChanged: func(t *rapid.T) events.Data {
		return &events.StrategyStatusChanged{StrategyCode: genStrategy.Draw(t, "code"), Status: status(t, "testing", "active", "inactive")}
	},
	events.TypeStrategyBound: func(t *rapid.T) events.Data {
		return &events.StrategyBound{AccountID: genAccount.Draw(t, "account"), StrategyCode: genStrategy.Draw(t, "code"),
			AllocatedCapital: genMoney(1).Draw(t, "allocated"), RiskLimit: genPercent().Draw(t, "risk"), Status: status(t, "active", "paused")}
	},
	events.TypeBindingChanged: func(t *rapid.T) events.Data {
		return &events.BindingChanged{AccountID: genAccount.Draw(t, "account"), StrategyCode: genStrategy.Draw(t, "code"),
			AllocatedCapital: maybe(t, genMoney(1), "allocated"), RiskLimit: maybe(t, genPercent(), "risk"),
			Status: maybe(t, rapid.SampledFrom([]string{"active", "paused"}), "status")}
	},
	events.TypeStrategyUnbound: func(t *rapid.T) events.Data {
		return &events.StrategyUnbound{AccountID: genAccount.Draw(t, "account"), StrategyCode: genStrategy.Draw(t, "code")}
	},
	events.TypeParamSaved: func(t *rapid.T) events.Data {
		return &events.ParamSaved{StrategyCode: genStrategy.Draw(t, "code"), Params: genParams(t),
			Remark: genText(0, 500).Draw(t, "remark"), Version: rapid.Int64Range(0, events.MaxParamVersion).Draw(t, "version")}
	},
	events.TypeParamActivated: func(t *rapid.T) events.Data {
		return &events.ParamActivated{StrategyCode: genStrategy.Draw(t, "code"), Version: rapid.Int64Range(1, events.MaxParamVersion).Draw(t, "version")}
	},
	events.TypeKlineRecorded: func(t *rapid.T) events.Data {
		d := &events.KlineRecorded{StockCode: genStock.Draw(t, "stock")}
		for i, n := 0, rapid.IntRange(1, 5).Draw(t, "bars"); i < n; i++ {
			low, high := genPrice().Draw(t, "low"), genPrice().Draw(t, "high")
			if low > high {
				low, high = high, low
			}
			d.Bars = append(d.Bars, events.Bar{Date: events.DateOf(events.Date(20250102).Time().AddDate(0, 0, i*(5-n*2))),
				Open: low, High: high, Low: low, Close: high,
				Volume: rapid.Int64Range(0, events.MaxVolume).Draw(t, "volume"), Amount: genMoney(0).Draw(t, "amount")})
		}
		return d
	},
	events.TypeUserRegistered: func(t *rapid.T) events.Data {
		return &events.UserRegistered{Username: genUser.Draw(t, "user"), Email: genUser.Draw(t, "mailbox") + "@example.com", PasswordHash: genHash.Draw(t, "hash"),
			RealName: genText(0, 100).Draw(t, "name"), Roles: rapid.SampledFrom([][]string{nil, {"admin"}, {"viewer", "trader", "developer"}}).Draw(t, "roles")}
	},
	events.TypeUserLoggedIn: func(t *rapid.T) events.Data {
		return &events.UserLoggedIn{Username: genUser.Draw(t, "user"), IP: genIP.Draw(t, "ip")}
	},
	events.TypeUserLoginFailed: func(t *rapid.T) events.Data {
		return &events.UserLoginFailed{Username: genUser.Draw(t, "user"), IP: genIP.Draw(t, "ip")}
	},
	events.TypeUserStatusChanged: func(t *rapid.T) events.Data {
		return &events.UserStatusChanged{Username: genUser.Draw(t, "user"), Status: status(t, "active", "inactive", "locked")}
	},
	events.TypeUserPasswordChanged: func(t *rapid.T) events.Data {
		return &events.UserPasswordChanged{Username: genUser.Draw(t, "user"), PasswordHash: genHash.Draw(t, "hash")}
	},
	events.TypeRoleGranted: func(t *rapid.T) events.Data {
		return &events.RoleGranted{Username: genUser.Draw(t, "user"), Role: genRole.Draw(t, "role")}
	},
	events.TypeRoleRevoked: func(t *rapid.T) events.Data {
		return &events.RoleRevoked{Username: genUser.Draw(t, "user"), Role: genRole.Draw(t, "role")}
	},
	events.TypeTierParked: func(t *rapid.T) events.Data {
		return &events.TierParked{
			Tier:     rapid.SampledFrom([]string{"redis", "mysql", "clickhouse", "file"}).Draw(t, "tier"),
			Action:   rapid.SampledFrom([]string{"parked", "retried", "discarded"}).Draw(t, "action"),
			About:    "account/" + genAccount.Draw(t, "account"),
			Sequence: rapid.Int64Range(1, events.MaxSequence).Draw(t, "sequence"),
			Reason:   rapid.SampledFrom([]string{"", "Data too long for column 'remark' at row 1"}).Draw(t, "reason"),
		}
	},
}

func genParams(t *rapid.T) jsontext.Value {
	text := []byte("{")
	for i, n := 0, rapid.IntRange(0, 4).Draw(t, "params"); i < n; i++ {
		if i > 0 {
			text = append(text, ',')
		}
		text, _ = jsontext.AppendQuote(text, genName(0, 90).Draw(t, "key")+strconv.Itoa(i))
		text = append(text, ':')
		text = append(text, rapid.SampledFrom([]string{`1`, `9.9990`, `1e400`, `-0`, `"深"`, `null`, `true`, `[]`, `{}`,
			`[[1.08,9.99],{"a":{"b":[null]}}]`, `12345678901234567890123.5`}).Draw(t, "value")...)
	}
	return append(text, '}')
}

// genEvent draws a valid event whose payload is of the given type.
func genEvent(typ events.Type) *rapid.Generator[*events.Event] {
	return rapid.Custom(func(t *rapid.T) *events.Event {
		d := payloads[typ](t)
		return &events.Event{
			ID: rapid.StringMatching(`[!-~]{1,64}`).Draw(t, "id"), Source: "strategy/" + rapid.StringMatching(`[ -~]{0,100}`).Draw(t, "source"),
			Subject: d.Subject(), Time: genTime.Draw(t, "time"), Data: d,
			CorrelationID: rapid.StringMatching(`[!-~]{0,64}`).Draw(t, "correlation"), CausationID: rapid.StringMatching(`[!-~]{0,64}`).Draw(t, "causation"),
		}
	})
}

func describe(e *events.Event) string { return fmt.Sprintf("%+v %+v", e, e.Data) }
