package book_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
)

func ptr[T any](v T) *T { return &v }

func event(d events.Data) *events.Event {
	return &events.Event{Data: d, Time: time.Date(2025, 1, 2, 10, 0, 0, 0, events.Zone)}
}

// known is the state that the rules are tried on.
func known(t *testing.T) *book.Book {
	b := book.New(book.Keep{})
	for _, d := range []events.Data{
		&events.AccountCreated{AccountID: "acc-01", AccountName: "A", Broker: "QMT", InitialCapital: 1000_00},
		&events.AccountCreated{AccountID: "acc-02", AccountName: "B", Broker: "GM", InitialCapital: 1000_00},
		&events.AccountStatusChanged{AccountID: "acc-02", Status: "suspended"},
		&events.StrategyCreated{StrategyName: "策略一", StrategyCode: "one", StrategyType: "wencai", Version: "1.0.0", Status: "testing"},
		&events.StrategyCreated{StrategyName: "策略二", StrategyCode: "two", StrategyType: "wencai", Version: "1.0.0", Status: "active"},
		&events.StrategyBound{AccountID: "acc-01", StrategyCode: "one", AllocatedCapital: 600_00, Status: "active"},
		&events.ParamSaved{StrategyCode: "one", Params: []byte(`{"a":1}`), Version: 1},
		&events.ParamSaved{StrategyCode: "one", Params: []byte(`{"a":2}`), Version: 2},
		&events.PositionDaysIncremented{AccountID: "acc-01", Date: 20250102},
		&events.UserRegistered{Username: "li_lei", Email: "Li@example.com", PasswordHash: "x", Roles: []string{"trader"}},
	} {
		e := event(d)
		verdict, err := b.Check(e)
		require.NoError(t, err)
		require.True(t, verdict.Applied)
		b.Apply(e)
	}
	for i := range book.MaxOpenPositions {
		b.Apply(event(&events.PositionOpened{AccountID: "acc-02", StockCode: fmt.Sprintf("3%05d.SZ", i)}))
	}
	return b
}

func TestCheck(t *testing.T) {
	const applied = "applied"
	for _, c := range []struct {
		data events.Data
		// want is "applied", "skip: <reason>" or "<field>: <rule>, got <value>".
		want string
	}{
		{&events.TradeRecorded{AccountID: "acc-01"}, applied},
		{&events.TradeRecorded{AccountID: "acc-01", StrategyName: "策略一"}, applied},
		{&events.TradeRecorded{AccountID: "acc-02"}, applied},
		{&events.TradeRecorded{AccountID: "nobody"}, "data.account_id: must be a known account, got nobody"},
		{&events.TradeRecorded{AccountID: "acc-01", StrategyName: "nobody knows it"}, applied},

		{&events.PositionOpened{AccountID: "acc-01", StockCode: "600000.SH"}, applied},
		{&events.PositionOpened{AccountID: "nobody", StockCode: "600000.SH"}, "data.account_id: must be a known account, got nobody"},
		{&events.PositionOpened{AccountID: "acc-02", StockCode: "300000.SZ"}, applied},
		{&events.PositionOpened{AccountID: "acc-02", StockCode: "600000.SH"}, "data.stock_code: must not open more than 100 positions in one account, got 600000.SH"},
		{&events.PositionHeldDaysSet{AccountID: "acc-02", StockCode: "300099.SZ"}, applied},
		{&events.PositionHeldDaysSet{AccountID: "acc-02", StockCode: "600000.SH"}, "data.stock_code: must not open more than 100 positions in one account, got 600000.SH"},
		{&events.PositionHeldDaysSet{AccountID: "nobody"}, "data.account_id: must be a known account, got nobody"},
		{&events.PositionPriceMarked{AccountID: "acc-02", StockCode: "600000.SH"}, applied},
		{&events.PositionPriceMarked{AccountID: "nobody"}, "data.account_id: must be a known account, got nobody"},
		{&events.PositionClosed{AccountID: "acc-01", StockCode: "600000.SH"}, applied},
		{&events.PositionClosed{AccountID: "nobody"}, "data.account_id: must be a known account, got nobody"},
		{&events.PositionDaysIncremented{AccountID: "acc-01", Date: 20250103}, applied},
		{&events.PositionDaysIncremented{AccountID: "acc-01", Date: 20250102}, "skip: held days were already incremented for 2025-01-02"},
		{&events.PositionDaysIncremented{AccountID: "acc-01", Date: 20241231}, "skip: held days were already incremented for 2025-01-02"},
		{&events.PositionDaysIncremented{AccountID: "nobody", Date: 20250103}, "data.account_id: must be a known account, got nobody"},

		{&events.AccountCreated{AccountID: "acc-03"}, applied},
		{&events.AccountCreated{AccountID: "acc-01"}, "data.account_id: must be new: the account exists, got acc-01"},
		{&events.AccountUpdated{AccountID: "acc-01"}, applied},
		{&events.AccountUpdated{AccountID: "nobody"}, "data.account_id: must be a known account, got nobody"},
		{&events.CapitalUpdated{AccountID: "acc-02"}, applied},
		{&events.CapitalUpdated{AccountID: "nobody"}, "data.account_id: must be a known account, got nobody"},
		{&events.AccountStatusChanged{AccountID: "acc-01", Status: "inactive"}, applied},
		{&events.AccountStatusChanged{AccountID: "acc-01", Status: "active"}, "skip: the status is active already"},
		{&events.AccountStatusChanged{AccountID: "acc-02", Status: "active"}, applied},
		{&events.AccountStatusChanged{AccountID: "acc-02", Status: "inactive"}, "data.status: must be active after suspended, got inactive"},
		{&events.AccountStatusChanged{AccountID: "nobody", Status: "active"}, "data.account_id: must be a known account, got nobody"},

		{&events.StrategyCreated{StrategyCode: "three", StrategyName: "策略三"}, applied},
		{&events.StrategyCreated{StrategyCode: "one", StrategyName: "策略三"}, "data.strategy_code: must be new: the strategy exists, got one"},
		{&events.StrategyCreated{StrategyCode: "three", StrategyName: "策略一"}, "data.strategy_name: must be new: a strategy has this name, got 策略一"},
		{&events.StrategyUpdated{StrategyCode: "two"}, applied},
		{&events.StrategyUpdated{StrategyCode: "none"}, "data.strategy_code: must be a known strategy, got none"},
		{&events.StrategyStatusChanged{StrategyCode: "one", Status: "active"}, applied},
		{&events.StrategyStatusChanged{StrategyCode: "one", Status: "inactive"}, "data.status: must be active after testing, got inactive"},
		{&events.StrategyStatusChanged{StrategyCode: "two", Status: "testing"}, applied},
		{&events.StrategyStatusChanged{StrategyCode: "none", Status: "active"}, "data.strategy_code: must be a known strategy, got none"},

		{&events.StrategyBound{AccountID: "acc-01", StrategyCode: "two", AllocatedCapital: 400_00}, applied},
		{&events.StrategyBound{AccountID: "acc-01", StrategyCode: "two", AllocatedCapital: 400_01}, "data.allocated_capital: must, with the 600.00 of the account's other bindings, not exceed its current capital 1000.00, got 400.01"},
		{&events.StrategyBound{AccountID: "acc-01", StrategyCode: "two"}, "data.allocated_capital: must be greater than 0, got 0.00"},
		{&events.StrategyBound{AccountID: "acc-01", StrategyCode: "one", AllocatedCapital: 1}, "data.strategy_code: must not be bound to the account yet, got one"},
		{&events.StrategyBound{AccountID: "nobody", StrategyCode: "one", AllocatedCapital: 1}, "data.account_id: must be a known account, got nobody"},
		{&events.StrategyBound{AccountID: "acc-01", StrategyCode: "none", AllocatedCapital: 1}, "data.strategy_code: must be a known strategy, got none"},
		{&events.BindingChanged{AccountID: "acc-01", StrategyCode: "one", AllocatedCapital: ptr(events.Money(1000_00))}, applied},
		{&events.BindingChanged{AccountID: "acc-01", StrategyCode: "one", Status: ptr("paused")}, applied},
		{&events.BindingChanged{AccountID: "acc-01", StrategyCode: "one", AllocatedCapital: ptr(events.Money(1000_01))}, "data.allocated_capital: must, with the 0.00 of the account's other bindings, not exceed its current capital 1000.00, got 1000.01"},
		{&events.BindingChanged{AccountID: "acc-01", StrategyCode: "two"}, "data.strategy_code: must be bound to the account, got two"},
		{&events.StrategyUnbound{AccountID: "acc-01", StrategyCode: "one"}, applied},
		{&events.StrategyUnbound{AccountID: "acc-02", StrategyCode: "one"}, "data.strategy_code: must be bound to the account, got one"},
		{&events.StrategyUnbound{AccountID: "nobody", StrategyCode: "one"}, "data.account_id: must be a known account, got nobody"},
		{&events.StrategyUnbound{AccountID: "acc-01", StrategyCode: "none"}, "data.strategy_code: must be a known strategy, got none"},

		{&events.ParamSaved{StrategyCode: "one"}, applied},
		{&events.ParamSaved{StrategyCode: "one", Version: 3}, applied},
		{&events.ParamSaved{StrategyCode: "one", Version: 2}, "data.version: must be the strategy's next version, 3, or absent, got 2"},
		{&events.ParamSaved{StrategyCode: "two", Version: 2}, "data.version: must be the strategy's next version, 1, or absent, got 2"},
		{&events.ParamSaved{StrategyCode: "none"}, "data.strategy_code: must be a known strategy, got none"},
		{&events.ParamActivated{StrategyCode: "one", Version: 1}, applied},
		{&events.ParamActivated{StrategyCode: "one", Version: 2}, "skip: version 2 is active already"},
		{&events.ParamActivated{StrategyCode: "one", Version: 3}, "data.version: must be a saved version, got 3"},
		{&events.ParamActivated{StrategyCode: "none", Version: 1}, "data.strategy_code: must be a known strategy, got none"},

		{&events.KlineRecorded{StockCode: "600000.SH"}, applied},

		{&events.UserRegistered{Username: "han", Email: "han@example.com"}, applied},
		{&events.UserRegistered{Username: "li_lei", Email: "han@example.com"}, "data.username: must be new: the user exists, got li_lei"},
		{&events.UserRegistered{Username: "han", Email: "li@EXAMPLE.com"}, "data.email: must be new: a user has this e-mail, got li@EXAMPLE.com"},
		{&events.UserLoggedIn{Username: "li_lei"}, applied},
		{&events.UserLoggedIn{Username: "han"}, "data.username: must be a known user, got han"},
		{&events.UserLoginFailed{Username: "li_lei"}, applied},
		{&events.UserLoginFailed{Username: "han"}, "data.username: must be a known user, got han"},
		{&events.UserStatusChanged{Username: "li_lei", Status: "locked"}, applied},
		{&events.UserStatusChanged{Username: "han", Status: "locked"}, "data.username: must be a known user, got han"},
		{&events.UserPasswordChanged{Username: "li_lei"}, applied},
		{&events.UserPasswordChanged{Username: "han"}, "data.username: must be a known user, got han"},
		{&events.RoleGranted{Username: "li_lei", Role: "admin"}, applied},
		{&events.RoleGranted{Username: "li_lei", Role: "trader"}, "skip: the user has the role trader already"},
		{&events.RoleGranted{Username: "han", Role: "trader"}, "data.username: must be a known user, got han"},
		{&events.RoleRevoked{Username: "li_lei", Role: "trader"}, applied},
		{&events.RoleRevoked{Username: "li_lei", Role: "viewer"}, "skip: the user does not have the role viewer"},
		{&events.RoleRevoked{Username: "han", Role: "viewer"}, "data.username: must be a known user, got han"},
	} {
		t.Run(fmt.Sprintf("%s %s", c.data.Type(), c.want), func(t *testing.T) {
			b := known(t)
			before := rowsOf(t, b)
			verdict, err := b.Check(event(c.data))
			got := applied
			switch {
			case err != nil:
				var invalid *events.InvalidError
				require.ErrorAs(t, err, &invalid)
				require.False(t, verdict.Applied)
				got = err.Error()
			case !verdict.Applied:
				got = "skip: " + verdict.Reason
			}
			require.Equal(t, c.want, got)
			require.Equal(t, before, rowsOf(t, b), "Check changes no state")
		})
	}
}

func TestCheckGivesParamsTheirVersion(t *testing.T) {
	b := known(t)
	for want := int64(3); want < 6; want++ {
		d := &events.ParamSaved{StrategyCode: "one", Params: []byte(`{}`)}
		_, err := b.Check(event(d))
		require.NoError(t, err)
		require.Equal(t, want, d.Version)
		b.Apply(event(d))
	}
}

// An older version made active again does not lead to a version given twice.
func TestParamVersionsGoOnAfterActivation(t *testing.T) {
	b := known(t)
	b.Apply(event(&events.ParamActivated{StrategyCode: "one", Version: 1}))
	d := &events.ParamSaved{StrategyCode: "one", Params: []byte(`{}`)}
	_, err := b.Check(event(d))
	require.NoError(t, err)
	require.Equal(t, int64(3), d.Version)
}

func TestUnbindingFreesTheAllocation(t *testing.T) {
	b := known(t)
	b.Apply(event(&events.StrategyUnbound{AccountID: "acc-01", StrategyCode: "one"}))
	_, err := b.Check(event(&events.StrategyBound{AccountID: "acc-01", StrategyCode: "two", AllocatedCapital: 1000_00}))
	require.NoError(t, err)
}

// No log holds a second creation; should one come, no tier may be led to
// replace the first or to break a unique value.
func TestFirstCreationWins(t *testing.T) {
	b := known(t)
	before := rowsOf(t, b)
	for _, d := range []events.Data{
		&events.AccountCreated{AccountID: "acc-01", AccountName: "second", Broker: "TDX", InitialCapital: 1},
		&events.StrategyCreated{StrategyCode: "one", StrategyName: "second"},
		&events.StrategyCreated{StrategyCode: "second", StrategyName: "策略一"},
		&events.StrategyBound{AccountID: "acc-01", StrategyCode: "one", AllocatedCapital: 1},
		&events.UserRegistered{Username: "li_lei", Email: "second@example.com"},
		&events.UserRegistered{Username: "second", Email: "LI@example.com"},
	} {
		b.Apply(event(d))
		require.Equal(t, before, rowsOf(t, b), "%s", d.Type())
	}
}

func TestFiveFailedLoginsInARowLock(t *testing.T) {
	status := func(b *book.Book) string { return b.Users()[0].Status }
	fail := func(b *book.Book, times int) {
		for range times {
			b.Apply(event(&events.UserLoginFailed{Username: "li_lei"}))
		}
	}
	b := known(t)
	fail(b, 4)
	b.Apply(event(&events.UserLoggedIn{Username: "li_lei"}))
	fail(b, 4)
	require.Equal(t, "active", status(b), "a login in between starts the row again")
	fail(b, 1)
	require.Equal(t, "locked", status(b))
	b.Apply(event(&events.UserLoggedIn{Username: "li_lei"}))
	require.Equal(t, "locked", status(b), "only a status change unlocks")
	b.Apply(event(&events.UserStatusChanged{Username: "li_lei", Status: "active"}))
	fail(b, 4)
	require.Equal(t, "active", status(b), "unlocking starts the row again")
}

func TestReopeningKeepsMarkedPrices(t *testing.T) {
	b := known(t)
	mark := &events.PositionPriceMarked{AccountID: "acc-01", StockCode: "600000.SH", MaxPrice: ptr(events.Price(9000)), MinPrice: ptr(events.Price(8000))}
	b.Apply(event(mark))
	require.Equal(t, []book.Position{{StockCode: "600000.SH", MaxPrice: 9000, MinPrice: 8000}}, b.Positions("acc-01"), "marked before it is open")
	b.Apply(event(&events.PositionHeldDaysSet{AccountID: "acc-01", StockCode: "600000.SH", HeldDays: 7}))
	b.Apply(event(&events.PositionOpened{AccountID: "acc-01", StockCode: "600000.SH"}))
	require.Equal(t, []book.Position{{StockCode: "600000.SH", Open: true, MaxPrice: 9000, MinPrice: 8000}}, b.Positions("acc-01"))
	b.Apply(event(&events.PositionClosed{AccountID: "acc-01", StockCode: "600000.SH"}))
	require.Empty(t, b.Positions("acc-01"))
}

func TestCheckSession(t *testing.T) {
	saturday := event(&events.TradeRecorded{TradedAt: time.Date(2025, 1, 4, 10, 0, 0, 0, events.Zone)})
	for _, c := range []struct {
		policy     calendar.Policy
		flag, fail string
	}{
		{calendar.PolicyOff, "", ""},
		{calendar.PolicyFlag, "traded_at is outside the trading session", ""},
		{calendar.PolicyEnforce, "", "data.traded_at: must lie on a trading day, 09:15-15:30 Asia/Shanghai, got 2025-01-04T10:00:00+08:00"},
	} {
		flag, err := book.CheckSession(saturday, c.policy, calendar.DefaultWindow)
		require.Equal(t, c.flag, flag)
		if c.fail == "" {
			require.NoError(t, err)
		} else {
			require.EqualError(t, err, c.fail)
		}
	}
	friday := event(&events.TradeRecorded{TradedAt: time.Date(2025, 1, 3, 10, 0, 0, 0, events.Zone)})
	flag, err := book.CheckSession(friday, calendar.PolicyEnforce, calendar.DefaultWindow)
	require.NoError(t, err)
	require.Empty(t, flag)
	_, err = book.CheckSession(event(&events.PositionClosed{}), calendar.PolicyEnforce, calendar.DefaultWindow)
	require.NoError(t, err, "only trades have a session")
}
