package mysql_test

import (
	"fmt"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

const hash = "$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"

// small has a row of every kind in its first nine events, and goes on from each.
func small() []*events.Event {
	name, email, active, paused, risk := "改名", "Han@example.com", "1.0.1", "paused", events.Percent(10_000)
	money, none := events.Money(123_456_789_01), events.Money(0)
	return tapeOf(
		&events.AccountCreated{AccountID: "acc-01", AccountName: "生产账户 🚀", Broker: "QMT", InitialCapital: events.MaxUnscaled},
		&events.AccountCreated{AccountID: "acc-01-b", AccountName: "O'Neil \\ \"x\"", Broker: "GM", InitialCapital: 1},
		&events.StrategyCreated{StrategyName: "问财选股", StrategyCode: "wencai_v1", StrategyType: "wencai", Version: "1.0.0", Description: "第一行\n第二行", Status: "testing"},
		&events.StrategyCreated{StrategyName: "Remote", StrategyCode: "remote", StrategyType: "remote", Version: "999999.999999.999999", Status: "active"},
		&events.StrategyBound{AccountID: "acc-01", StrategyCode: "wencai_v1", AllocatedCapital: events.MaxUnscaled, RiskLimit: 1, Status: "active"},
		&events.StrategyBound{AccountID: "acc-01-b", StrategyCode: "remote", AllocatedCapital: 1, RiskLimit: 500, Status: "paused"},
		&events.ParamSaved{StrategyCode: "wencai_v1", Version: 1, Params: []byte(`{"slot_count":10,"止盈":[1E400,{"a":-0.0}],"text":"\u4e2d\n","t":true}`), Remark: "首版"},
		&events.UserRegistered{Username: "li_lei", Email: "Li@example.com", PasswordHash: hash, RealName: "李雷", Roles: []string{"admin", "viewer"}},
		&events.UserRegistered{Username: "Han", Email: email, PasswordHash: hash, Roles: []string{"trader"}},
		&events.ParamSaved{StrategyCode: "wencai_v1", Version: 2, Params: []byte(`{}`)},
		&events.ParamSaved{StrategyCode: "wencai_v1", Version: 3, Params: []byte(`{"slot_count":12345678901234567890}`), Remark: "🚀"},
		&events.ParamSaved{StrategyCode: "remote", Version: 1, Params: []byte(`{"b":"","a":null}`)},
		&events.ParamActivated{StrategyCode: "wencai_v1", Version: 1},
		&events.CapitalUpdated{AccountID: "acc-01", CurrentCapital: &money, TotalAssets: money, PositionValue: &none},
		&events.AccountUpdated{AccountID: "acc-01-b", AccountName: &name},
		&events.AccountStatusChanged{AccountID: "acc-01-b", Status: "suspended"},
		&events.StrategyUpdated{StrategyCode: "remote", Version: &active},
		&events.BindingChanged{AccountID: "acc-01", StrategyCode: "wencai_v1", RiskLimit: &risk, Status: &paused},
		&events.StrategyUnbound{AccountID: "acc-01-b", StrategyCode: "remote"},
		&events.RoleRevoked{Username: "li_lei", Role: "viewer"},
		&events.RoleGranted{Username: "Han", Role: "developer"},
		&events.UserLoginFailed{Username: "Han", IP: "192.0.2.7"},
		&events.UserLoggedIn{Username: "li_lei", IP: "192.0.2.7"},
		&events.UserPasswordChanged{Username: "Han", PasswordHash: strings.Replace(hash, "12", "10", 1)},
		&events.TradeRecorded{AccountID: "acc-01", StockCode: "600000.SH"},
	)
}

// steady is a history of n events after six of setting up, each of which
// changes something: parameters mostly, and capital.
func steady(n int) []*events.Event {
	data := []events.Data{
		&events.AccountCreated{AccountID: "acc-01", AccountName: "a", Broker: "QMT", InitialCapital: 100},
		&events.AccountCreated{AccountID: "acc-02", AccountName: "b", Broker: "GM", InitialCapital: 100},
	}
	for s := range 4 {
		data = append(data, &events.StrategyCreated{StrategyName: fmt.Sprint("name ", s), StrategyCode: fmt.Sprint("s", s), StrategyType: "remote", Version: "1.0.0", Status: "testing"})
	}
	for i := range n {
		if i%10 == 9 {
			data = append(data, &events.CapitalUpdated{AccountID: fmt.Sprintf("acc-0%d", i%2+1), TotalAssets: events.Money(i)})
			continue
		}
		params := fmt.Sprintf(`{"slot_count":%d,"order_premium":0.%03d,"name":"参数 %d","switch":{"begin":"09:45","rise":[1.0,2.5]}}`, i, i%1000, i)
		data = append(data, &events.ParamSaved{StrategyCode: fmt.Sprint("s", i%4), Version: int64(i/4 + 1), Params: []byte(params), Remark: "调参"})
	}
	return tapeOf(data...)
}

// savedIn counts the parameter versions that a tape saves.
func savedIn(tape []*events.Event) int {
	n := 0
	for _, e := range tape {
		if _, ok := e.Data.(*events.ParamSaved); ok {
			n++
		}
	}
	return n
}
