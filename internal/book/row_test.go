package book_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// Rows are what all tiers are compared by: their text is frozen here.
func TestRowText(t *testing.T) {
	at := time.Date(2025, 1, 2, 10, 14, 12, 500_000_000, events.Zone)
	var got []book.Row
	b := book.New(book.Keep{History: true})
	for i, d := range []events.Data{
		&events.AccountCreated{AccountID: "acc-01", AccountName: "账户 <1>", Broker: "QMT", InitialCapital: 100_000_000},
		&events.CapitalUpdated{AccountID: "acc-01", CurrentCapital: ptr(events.Money(60)), TotalAssets: 100},
		&events.StrategyCreated{StrategyName: "策略一", StrategyCode: "one", StrategyType: "wencai", Version: "1.0.0", Status: "testing"},
		&events.StrategyBound{AccountID: "acc-01", StrategyCode: "one", AllocatedCapital: 50, RiskLimit: 500, Status: "active"},
		&events.ParamSaved{StrategyCode: "one", Params: []byte(`{"b":1.50,"a":["\u4e2d","<中>",1E400]}`), Remark: "第1版", Version: 1},
		&events.ParamSaved{StrategyCode: "one", Params: []byte(`{}`), Version: 2},
		&events.UserRegistered{Username: "li_lei", Email: "li@example.com", PasswordHash: "$2b$", RealName: "李", Roles: []string{"viewer", "admin"}},
		&events.PositionOpened{AccountID: "acc-01", StockCode: "600000.SH", HeldDays: 3},
		&events.PositionPriceMarked{AccountID: "acc-01", StockCode: "600000.SH", MaxPrice: ptr(events.Price(8300)), MinPrice: ptr(events.Price(1))},
		&events.PositionDaysIncremented{AccountID: "acc-01", Date: 20250102},
		&events.TradeRecorded{AccountID: "acc-01", StockCode: "600000.SH", StockName: "浦发银行", OrderType: events.BuyOrder, PriceType: events.LimitPrice, Price: 8300, Volume: 100, Amount: 83000, Remark: "a,\"b\"\n🚀", TradedAt: at},
		&events.TradeRecorded{AccountID: "acc-01", StockCode: "600000.SH", StockName: "浦发银行", OrderType: events.BuyTrade, PriceType: events.LimitPrice, Price: 8300, Volume: 100, Amount: 83000, StrategyName: "策略一", TradedAt: at, OrderID: "7"},
		&events.KlineRecorded{StockCode: "600000.SH", Bars: []events.Bar{{Date: 20250102, Open: 2, High: 3, Low: 1, Close: 2, Volume: 9, Amount: 8}}},
	} {
		b.Apply(&events.Event{Time: at, Data: d, Sequence: uint64(i) + 1})
	}
	b.Apply(&events.Event{Time: at.Add(time.Hour), Data: &events.UserLoggedIn{Username: "li_lei"}})
	require.NoError(t, b.Rows(book.AllKinds(), func(r book.Row) error { got = append(got, r); return nil }))

	const created = `"created_at":"2025-01-02T10:14:12.5+08:00"`
	require.Equal(t, []book.Row{
		{Kind: book.KindHeldDays, Key: "acc-01/600000.SH", Value: "4"},
		{Kind: book.KindMaxPrice, Key: "acc-01/600000.SH", Value: "8.300"},
		{Kind: book.KindMinPrice, Key: "acc-01/600000.SH", Value: "0.001"},
		{Kind: book.KindIncDate, Key: "acc-01", Value: "2025-01-02"},
		{Kind: book.KindAccount, Key: "acc-01", Value: `{"account_id":"acc-01","account_name":"账户 <1>","broker":"QMT","status":"active","initial_capital":"1000000.00","current_capital":"0.60","total_assets":"1.00","position_value":"0.00",` + created + `,"updated_at":"2025-01-02T10:14:12.5+08:00"}`},
		{Kind: book.KindAsset, Key: "acc-01/2025-01-02", Value: "1.00"},
		{Kind: book.KindStrategy, Key: "one", Value: `{"strategy_code":"one","strategy_name":"策略一","strategy_type":"wencai","version":"1.0.0","description":"","status":"testing",` + created + `,"updated_at":"2025-01-02T10:14:12.5+08:00"}`},
		{Kind: book.KindBinding, Key: "acc-01/one", Value: `{"account_id":"acc-01","strategy_code":"one","allocated_capital":"0.50","risk_limit":"5.00","status":"active",` + created + `,"updated_at":"2025-01-02T10:14:12.5+08:00"}`},
		{Kind: book.KindParam, Key: "one/0000000001", Value: `{"strategy_code":"one","version":1,"active":false,"params":{"b":1.50,"a":["\u4e2d","<中>",1E400]},"remark":"第1版",` + created + `}`},
		{Kind: book.KindParam, Key: "one/0000000002", Value: `{"strategy_code":"one","version":2,"active":true,"params":{},"remark":"",` + created + `}`},
		{Kind: book.KindUser, Key: "li_lei", Value: `{"username":"li_lei","email":"li@example.com","password_hash":"$2b$","real_name":"李","status":"active","failed_logins":0,"last_login_at":"2025-01-02T11:14:12.5+08:00",` + created + `,"updated_at":"2025-01-02T11:14:12.5+08:00"}`},
		{Kind: book.KindUserRole, Key: "li_lei/admin", Value: ""},
		{Kind: book.KindUserRole, Key: "li_lei/viewer", Value: ""},
		{Kind: book.KindTrade, Key: "00000000000000000011", Value: `{"account_id":"acc-01","stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_order","price_type":"limit","price":"8.300","volume":100,"amount":"830.00","strategy_name":"","remark":"a,\"b\"\n🚀","traded_at":"2025-01-02T10:14:12.5+08:00","order_id":""}`},
		{Kind: book.KindTrade, Key: "00000000000000000012", Value: `{"account_id":"acc-01","stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price_type":"limit","price":"8.300","volume":100,"amount":"830.00","strategy_name":"策略一","remark":"","traded_at":"2025-01-02T10:14:12.5+08:00","order_id":"7"}`},
		{Kind: book.KindDeal, Key: "acc-01/0000000001", Value: `{"date":"2025-01-02","time":"10:14:12","stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_order","price_type":"limit","remark":"a,\"b\"\n🚀","price":"8.300","volume":100}`},
		{Kind: book.KindDeal, Key: "acc-01/0000000002", Value: `{"date":"2025-01-02","time":"10:14:12","stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price_type":"","remark":"","price":"8.300","volume":100}`},
		{Kind: book.KindKline, Key: "600000.SH/2025-01-02", Value: `{"open":"0.002","high":"0.003","low":"0.001","close":"0.002","volume":9,"amount":"0.08"}`},
	}, got)
	require.Equal(t, got, rowsOf(t, restored(t, book.Keep{History: true}, got)))
}

func TestRestoreRefusesWhatRowsNeverWrites(t *testing.T) {
	for _, r := range []book.Row{
		{Kind: "nonsense", Key: "a", Value: ""},
		{Kind: book.KindHeldDays, Key: "no-slash", Value: "1"},
		{Kind: book.KindHeldDays, Key: "acc-01/600000.SH", Value: "many"},
		{Kind: book.KindMaxPrice, Key: "acc-01/600000.SH", Value: "x"},
		{Kind: book.KindIncDate, Key: "acc-01", Value: "yesterday"},
		{Kind: book.KindAccount, Key: "acc-01", Value: "{"},
		{Kind: book.KindAsset, Key: "acc-01/2025-01-02", Value: ""},
		{Kind: book.KindAsset, Key: "acc-01/never", Value: "1.00"},
		{Kind: book.KindStrategy, Key: "one", Value: `{"created_at":"then"}`},
		{Kind: book.KindParam, Key: "one/0000000001", Value: `[]`},
		{Kind: book.KindUserRole, Key: "li_lei", Value: ""},
		{Kind: book.KindTrade, Key: "first", Value: "{}"},
		{Kind: book.KindDeal, Key: "acc-01/0000000002", Value: "{}"},
		{Kind: book.KindKline, Key: "600000.SH/2025-01-02", Value: `{"open":true}`},
	} {
		require.Error(t, book.New(book.Keep{History: true}).Restore(r), "%v", r)
	}
	require.Error(t, book.New(book.Keep{}).Rows([]book.Kind{"nonsense"}, nil))
}
