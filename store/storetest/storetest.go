// Package storetest is the contract of store.Store as tests: whatever stands
// behind a Store, it must pass them.
package storetest

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/store"
)

// Now is the clock that the Store under test must have, with a session policy
// that takes trades of any time.
type Now func() time.Time

// Harness makes Stores over one and the same data, which may hold other things.
type Harness struct {
	// Open makes a Store with the given clock.
	Open func(t *testing.T, now Now) store.Store
}

// Run holds Stores against the contract. It takes accounts, strategies and
// stocks with names of its own.
func Run(t *testing.T, h Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, *suite)
	}{
		{"held days", heldDays},
		{"increment once a day", increments},
		{"prices", prices},
		{"batch of new positions", batchNewHeld},
		{"trades", tradesListed},
		{"aggregates", aggregates},
		{"klines", klines},
		{"accounts", accounts},
		{"parameters", params},
		{"bindings", bindings},
		{"what is not named", unnamed},
		{"two stores", twoStores},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &suite{Harness: h, account: "t" + digits(t, 10), day: time.Date(2025, 3, 3, 10, 0, 0, 0, events.Zone)}
			s.Store = h.Open(t, func() time.Time { return s.day })
			t.Cleanup(func() { require.NoError(t, s.Close()) })
			test.run(t, s)
		})
	}
}

type suite struct {
	Harness
	store.Store
	account string
	// day is what the clock says.
	day time.Time
}

func digits(t *testing.T, n int) string {
	t.Helper()
	most := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
	number, err := rand.Int(rand.Reader, most)
	require.NoError(t, err)
	return fmt.Sprintf("%0*d", n, number)
}

const (
	stockA, stockB = "600000.SH", "000001.SZ"
	hour           = time.Hour
)

func (s *suite) held(t *testing.T, stock string) any {
	t.Helper()
	days, open, err := s.GetHeldDays(t.Context(), s.account, stock)
	require.NoError(t, err)
	if !open {
		require.Zero(t, days)
		return nil
	}
	return days
}

// marks are the highest and lowest price of stockA, "" for none.
func (s *suite) marks(t *testing.T) [2]string {
	t.Helper()
	var texts [2]string
	highest, marked, err := s.GetMaxPrice(t.Context(), s.account, stockA)
	require.NoError(t, err)
	if marked {
		texts[0] = highest.String()
	}
	lowest, marked, err := s.GetMinPrice(t.Context(), s.account, stockA)
	require.NoError(t, err)
	if marked {
		texts[1] = lowest.String()
	}
	return texts
}

func heldDays(t *testing.T, s *suite) {
	require.Nil(t, s.held(t, stockA), "an account that nothing is known of")
	s.createAccount(t)
	require.NoError(t, s.UpdateHeldDays(t.Context(), s.account, stockA, 5))
	require.EqualValues(t, 5, s.held(t, stockA))
	require.EqualValues(t, 5, s.held(t, "SH600000"), "the other form of the code")
	require.NoError(t, s.UpdateHeldDays(t.Context(), s.account, "SZ000001", 0))
	require.EqualValues(t, 0, s.held(t, stockB))
	require.NoError(t, s.UpdateMaxPrice(t.Context(), s.account, stockA, 10_850))
	require.NoError(t, s.DeleteHeldDays(t.Context(), s.account, stockA))
	require.Nil(t, s.held(t, stockA))
	require.Equal(t, [2]string{}, s.marks(t), "prices go with the position")
	require.EqualValues(t, 0, s.held(t, stockB))
	require.Error(t, s.UpdateHeldDays(t.Context(), s.account, stockA, -1))
	require.Error(t, s.UpdateHeldDays(t.Context(), s.account, "600000", 1))
	require.Nil(t, s.held(t, stockA), "what was refused left no trace")
}

func increments(t *testing.T, s *suite) {
	s.createAccount(t)
	require.NoError(t, s.UpdateHeldDays(t.Context(), s.account, stockA, 5))
	require.NoError(t, s.UpdateHeldDays(t.Context(), s.account, stockB, 0))
	for day := range 3 {
		for again := range 2 {
			applied, err := s.AllHeldInc(t.Context(), s.account)
			require.NoError(t, err)
			require.Equal(t, again == 0, applied)
			require.EqualValues(t, 6+day, s.held(t, stockA))
			require.EqualValues(t, 1+day, s.held(t, stockB))
		}
		s.day = s.day.AddDate(0, 0, 1)
	}
}

func prices(t *testing.T, s *suite) {
	s.createAccount(t)
	require.Equal(t, [2]string{}, s.marks(t))
	require.NoError(t, s.UpdateMaxPrice(t.Context(), s.account, stockA, 10_850))
	require.Equal(t, [2]string{"10.850", ""}, s.marks(t))
	require.NoError(t, s.UpdateMinPrice(t.Context(), s.account, stockA, 9_501))
	require.NoError(t, s.UpdateMaxPrice(t.Context(), s.account, stockA, 11_000))
	require.Equal(t, [2]string{"11.000", "9.501"}, s.marks(t))
	require.Error(t, s.UpdateMaxPrice(t.Context(), s.account, stockA, 0))
	require.Equal(t, [2]string{"11.000", "9.501"}, s.marks(t))
}

func batchNewHeld(t *testing.T, s *suite) {
	s.createAccount(t)
	require.NoError(t, s.BatchNewHeld(t.Context(), s.account, nil))
	require.NoError(t, s.UpdateHeldDays(t.Context(), s.account, stockA, 7))
	require.NoError(t, s.BatchNewHeld(t.Context(), s.account, []string{stockA, stockB, "830799.BJ"}))
	for _, stock := range []string{stockA, stockB, "830799.BJ"} {
		require.EqualValues(t, 0, s.held(t, stock), "an open one begins anew")
	}
	require.Error(t, s.BatchNewHeld(t.Context(), s.account, []string{"600001.SH", "no stock"}))
	require.Nil(t, s.held(t, "600001.SH"), "all or none")
}

// record records an execution on a day of 2025 at an hour.
func (s *suite) record(t *testing.T, stock string, order events.OrderType, month time.Month, day int, clock time.Duration, price events.Price, volume int64, strategy string) events.TradeRecorded {
	t.Helper()
	trade := events.TradeRecorded{
		AccountID: s.account, StockCode: stock, StockName: "浦发银行", OrderType: order, Price: price, Volume: volume,
		StrategyName: strategy, Remark: `止盈, "一"`, TradedAt: time.Date(2025, month, day, 0, 0, 0, 0, events.Zone).Add(clock), OrderID: "o-1",
	}
	require.NoError(t, s.RecordTrade(t.Context(), trade))
	trade.Amount = events.Money((int64(price)*volume + 5) / 10)
	return trade
}

func tradesListed(t *testing.T, s *suite) {
	list := func(q store.TradeQuery) []store.Trade {
		t.Helper()
		q.AccountID = s.account
		found, err := s.QueryTrades(t.Context(), q)
		require.NoError(t, err)
		return found
	}
	require.Empty(t, list(store.TradeQuery{}), "an account that nothing is known of")
	s.createAccount(t)
	made := []events.TradeRecorded{
		s.record(t, stockA, events.BuyOrder, time.March, 3, 10*hour, 10_000, 100, "甲"),
		s.record(t, stockA, events.BuyTrade, time.March, 3, 10*hour+time.Second, 10_001, 100, "甲"),
		s.record(t, stockB, events.BuyTrade, time.March, 5, 10*hour, 20_125, 300, "乙"),
		s.record(t, stockA, events.SellTrade, time.July, 7, 14*hour, 11_000, 100, "甲"),
		// Recorded later, but older: an import, say.
		s.record(t, stockA, events.Cancel, time.March, 4, 11*hour, 9_000, 200, ""),
	}
	newest := []events.TradeRecorded{made[3], made[2], made[4], made[1], made[0]}
	same := func(want []events.TradeRecorded, got []store.Trade) {
		t.Helper()
		require.Len(t, got, len(want))
		for i, g := range got {
			w := want[i]
			if g.Whole {
				require.NotZero(t, g.Sequence)
			} else {
				w.StrategyName, w.OrderID, w.PriceType = "", "", ""
				g.PriceType = ""
			}
			require.Equal(t, events.FormatTime(w.TradedAt), events.FormatTime(g.TradedAt))
			w.TradedAt, g.TradedAt = time.Time{}, time.Time{}
			require.Equal(t, w, g.TradeRecorded)
		}
	}
	same(newest, list(store.TradeQuery{}))
	same(newest[:2], list(store.TradeQuery{Limit: 2}))
	same([]events.TradeRecorded{made[3], made[4], made[1], made[0]}, list(store.TradeQuery{StockCode: "SH600000"}))
	same([]events.TradeRecorded{made[2], made[4]}, list(store.TradeQuery{From: 20250304, To: 20250305}))
	same(newest[:1], list(store.TradeQuery{From: 20250306}))
	same([]events.TradeRecorded{made[3], made[1], made[0]}, list(store.TradeQuery{StrategyName: "甲"}))
	require.Empty(t, list(store.TradeQuery{StockCode: "600009.SH"}))
	_, err := s.QueryTrades(t.Context(), store.TradeQuery{AccountID: s.account, Limit: 100_001})
	require.Error(t, err)
	require.Error(t, s.RecordTrade(t.Context(), events.TradeRecorded{AccountID: s.account, StockCode: stockA, OrderType: "gift", Price: 1, Volume: 1}))
}

func aggregates(t *testing.T, s *suite) {
	s.createAccount(t)
	s.record(t, stockA, events.BuyTrade, time.March, 3, 10*hour, 10_000, 100, "甲")
	s.record(t, stockA, events.BuyTrade, time.March, 4, 10*hour, 12_000, 100, "甲")
	s.record(t, stockA, events.SellOrder, time.March, 5, 10*hour, 99_000, 100, "甲") // an order is no execution
	s.record(t, stockA, events.SellTrade, time.March, 5, 11*hour, 13_000, 150, "甲") // 100 × 3 + 50 × 1 = 350
	s.record(t, stockB, events.BuyTrade, time.March, 5, 10*hour, 20_005, 300, "甲")
	s.record(t, stockB, events.SellTrade, time.July, 7, 10*hour, 20_000, 300, "甲") // −0.005 × 300 = −1.50
	s.record(t, stockA, events.SellTrade, time.July, 8, 10*hour, 11_000, 100, "甲") // 50 × −1 = −50; 50 unmatched
	s.record(t, stockA, events.BuyTrade, time.July, 9, 10*hour, 1_000, 1_000, "甲") // after the unmatched: is not theirs
	s.record(t, stockA, events.SellTrade, time.July, 10, 10*hour, 1_000, 100, "甲") // no profit, no loss
	aggregate := func(by store.Grouping, q store.TradeQuery) []string {
		t.Helper()
		q.AccountID = s.account
		lines, err := s.AggregateTrades(t.Context(), store.AggregateQuery{TradeQuery: q, By: by})
		require.NoError(t, err)
		var texts []string
		for _, l := range lines {
			rate := "–"
			if l.WinRate != nil {
				rate = l.WinRate.String()
			}
			texts = append(texts, fmt.Sprintf("%s: %d = %d + %d, %s, %s, %d unmatched, %d:%d %s", l.Key, l.Count, l.Buys, l.Sells, l.Amount, l.Profit, l.Unmatched, l.Wins, l.Losses, rate))
		}
		return texts
	}
	require.Equal(t, []string{
		"2025-03: 4 = 3 + 1, 10151.50, 350.00, 0 unmatched, 1:0 100.00",
		"2025-07: 4 = 1 + 3, 8200.00, -51.50, 50 unmatched, 0:2 0.00",
	}, aggregate(store.ByMonth, store.TradeQuery{}))
	require.Equal(t, []string{"2025: 8 = 4 + 4, 18351.50, 298.50, 50 unmatched, 1:2 33.33"}, aggregate(store.ByYear, store.TradeQuery{}))
	require.Equal(t, []string{
		"000001.SZ: 2 = 1 + 1, 12001.50, -1.50, 0 unmatched, 0:1 0.00",
		"600000.SH: 6 = 3 + 3, 6350.00, 300.00, 50 unmatched, 1:1 50.00",
	}, aggregate(store.ByStock, store.TradeQuery{}))
	require.Equal(t, []string{
		"2025-03-05: 2 = 1 + 1, 7951.50, 350.00, 0 unmatched, 1:0 100.00",
	}, aggregate(store.ByDay, store.TradeQuery{From: 20250305, To: 20250331}), "purchases of before count")
	require.Equal(t, []string{"2025-07-10: 1 = 0 + 1, 100.00, 0.00, 0 unmatched, 0:0 –"}, aggregate(store.ByDay, store.TradeQuery{From: 20250710, StockCode: stockA}))
	require.Len(t, aggregate(store.ByStock, store.TradeQuery{StrategyName: "甲"}), 2)
	require.Empty(t, aggregate(store.ByStock, store.TradeQuery{StrategyName: "乙"}))
	_, err := s.AggregateTrades(t.Context(), store.AggregateQuery{By: "week"})
	require.Error(t, err)
}

// klines reads what is on the tape: bars come from publishers of their own.
func klines(t *testing.T, s *suite) {
	absent := "430" + digits(t, 3) + ".BJ"
	bars, err := s.GetKline(t.Context(), absent, store.KlineRange{Last: 60})
	require.NoError(t, err)
	require.Empty(t, bars)
	all, err := s.GetKline(t.Context(), KlineStock, store.KlineRange{})
	require.NoError(t, err)
	require.Equal(t, KlineBars(), all)
	for _, c := range []struct {
		r    store.KlineRange
		want []events.Bar
	}{
		{store.KlineRange{Last: 3}, all[len(all)-3:]},
		{store.KlineRange{Last: 10_000}, all},
		{store.KlineRange{From: all[5].Date}, all[5:]},
		{store.KlineRange{To: all[5].Date}, all[:6]},
		{store.KlineRange{From: all[5].Date, To: all[9].Date}, all[5:10]},
		{store.KlineRange{To: all[9].Date, Last: 2}, all[8:10]},
		{store.KlineRange{From: all[9].Date, To: all[9].Date}, all[9:10]},
		{store.KlineRange{From: all[9].Date, To: all[9].Date, Last: 2}, all[8:10]},
	} {
		bars, err := s.GetKline(t.Context(), KlineStock, c.r)
		require.NoError(t, err)
		require.Equal(t, c.want, bars, "%+v", c.r)
		batch, err := s.BatchGetKline(t.Context(), []string{KlineStock, absent}, c.r)
		require.NoError(t, err)
		require.Equal(t, map[string][]events.Bar{KlineStock: c.want, absent: {}}, batch, "%+v", c.r)
	}
	_, err = s.GetKline(t.Context(), "no stock", store.KlineRange{})
	require.Error(t, err)
	_, err = s.BatchGetKline(t.Context(), slices.Repeat([]string{KlineStock}, 101), store.KlineRange{})
	require.Error(t, err)
}

// unnamed asks for what no name can be of: nothing like it is read instead.
func unnamed(t *testing.T, s *suite) {
	for _, name := range []string{"", ".", ".."} {
		for i, read := range []func() error{
			func() error { _, err := s.GetAccount(t.Context(), name); return err },
			func() error { _, _, err := s.GetHeldDays(t.Context(), name, stockA); return err },
			func() error { _, _, err := s.GetMaxPrice(t.Context(), s.account, name); return err },
			func() error { _, err := s.GetKline(t.Context(), name, store.KlineRange{Last: 1}); return err },
			func() error { _, err := s.GetStrategyParams(t.Context(), name, 0); return err },
			func() error { _, err := s.CompareStrategyParams(t.Context(), name, 1, 2); return err },
			func() error { _, err := s.ListAccountStrategies(t.Context(), name); return err },
			func() error { _, err := s.ListStrategyAccounts(t.Context(), name); return err },
		} {
			require.Error(t, read(), "%d of %q", i, name)
		}
	}
}

// KlineStock is the stock whose bars must be on the tape before Run: those of
// KlineBars, by KlineEvents.
const KlineStock = "601988.SH"

// KlineBars are the bars that must be read of KlineStock.
func KlineBars() []events.Bar {
	var bars []events.Bar
	for day := time.Date(2025, 3, 3, 0, 0, 0, 0, events.Zone); len(bars) < 40; day = day.AddDate(0, 0, 1) {
		if weekday := day.Weekday(); weekday == time.Saturday || weekday == time.Sunday {
			continue
		}
		n := int64(len(bars))
		bars = append(bars, events.Bar{
			Date: events.DateOf(day), Open: events.Price(10_001 + n), High: events.Price(10_100 + n), Low: events.Price(9_900 + n), Close: events.Price(10_050 + n),
			Volume: 1000 * (n + 1), Amount: events.Money(1_000_001 * (n + 1)),
		})
	}
	return bars
}

// KlineEvents bring KlineBars: out of order, and with one bar that a later event
// corrects.
func KlineEvents() []events.Data {
	bars := KlineBars()
	wrong := bars[12]
	wrong.Close, wrong.Volume = wrong.Low, 1
	first := append(slices.Clone(bars[10:30]), bars[35:]...)
	first[2] = wrong
	return []events.Data{
		&events.KlineRecorded{StockCode: KlineStock, Bars: first},
		&events.KlineRecorded{StockCode: KlineStock, Bars: append(slices.Clone(bars[30:35]), bars[:10]...)},
		&events.KlineRecorded{StockCode: KlineStock, Bars: bars[12:13]},
	}
}

func (s *suite) createAccount(t *testing.T) {
	t.Helper()
	require.NoError(t, s.CreateAccount(t.Context(), events.AccountCreated{AccountID: s.account, AccountName: "生产账户", Broker: "QMT", InitialCapital: 10_000_000}))
}

func accounts(t *testing.T, s *suite) {
	_, err := s.GetAccount(t.Context(), s.account)
	require.ErrorIs(t, err, store.ErrNotFound)
	s.createAccount(t)
	a, err := s.GetAccount(t.Context(), s.account)
	require.NoError(t, err)
	require.WithinDuration(t, s.day, a.CreatedAt, 0)
	a.CreatedAt, a.UpdatedAt = time.Time{}, time.Time{}
	want := store.Account{ID: s.account, Name: "生产账户", Broker: "QMT", Status: "active", InitialCapital: 10_000_000, CurrentCapital: 10_000_000, TotalAssets: 10_000_000}
	require.Equal(t, want, a)

	require.Error(t, s.CreateAccount(t.Context(), events.AccountCreated{AccountID: s.account, AccountName: "again", Broker: "GM", InitialCapital: 1}), "ids are unique")
	require.Error(t, s.UpdateAccountCapital(t.Context(), s.account, 5_000_000, 11_000_000, 5_000_000), "the sum is wrong")
	require.NoError(t, s.UpdateAccountCapital(t.Context(), s.account, 5_000_001, 11_000_002, 6_000_001))
	a, err = s.GetAccount(t.Context(), s.account)
	require.NoError(t, err)
	a.CreatedAt, a.UpdatedAt = time.Time{}, time.Time{}
	want.CurrentCapital, want.TotalAssets, want.PositionValue = 5_000_001, 11_000_002, 6_000_001
	require.Equal(t, want, a)

	lists := func(status string) bool {
		list, err := s.ListAccounts(t.Context(), status)
		require.NoError(t, err)
		require.True(t, slices.IsSortedFunc(list, func(a, b store.Account) int { return strings.Compare(a.ID, b.ID) }))
		return slices.ContainsFunc(list, func(a store.Account) bool { return a.ID == s.account })
	}
	require.True(t, lists(""))
	require.True(t, lists("active"))
	require.False(t, lists("suspended"))
	_, err = s.ListAccounts(t.Context(), "lost")
	require.Error(t, err)
}

func (s *suite) createStrategy(t *testing.T) events.StrategyCreated {
	t.Helper()
	created := events.StrategyCreated{StrategyName: "问财选股/" + s.account, StrategyCode: "c_" + s.account, StrategyType: "wencai", Version: "1.0.0"}
	require.NoError(t, s.CreateStrategy(t.Context(), created))
	return created
}

func params(t *testing.T, s *suite) {
	code := "c_" + s.account
	_, err := s.GetStrategyParams(t.Context(), code, 0)
	require.ErrorIs(t, err, store.ErrNotFound, "no such strategy")
	created := s.createStrategy(t)
	require.Error(t, s.CreateStrategy(t.Context(), created), "names and codes are unique")
	_, err = s.GetStrategyParams(t.Context(), code, 0)
	require.ErrorIs(t, err, store.ErrNotFound, "no version yet")

	versions := []jsontext.Value{
		jsontext.Value(`{"slot_count":10,"rate":0.10,"名":"中","gone":null,"deep":{"b":[1,2],"a":1E400}}`),
		jsontext.Value(`{"slot_count":12,"rate":0.1,"名":"中","deep":{"b":[1,2],"a":1E400},"new":true}`),
		jsontext.Value(`{}`),
	}
	for i, params := range versions {
		version, err := s.SaveStrategyParams(t.Context(), code, params, fmt.Sprintf("第 %d 版", i+1))
		require.NoError(t, err)
		require.EqualValues(t, i+1, version)
		active, err := s.GetStrategyParams(t.Context(), created.StrategyName, 0)
		require.NoError(t, err, "by name")
		require.EqualValues(t, i+1, active.Version)
		require.True(t, active.Active)
		require.Equal(t, fmt.Sprintf("第 %d 版", i+1), active.Remark)
		require.Equal(t, code, active.StrategyCode)
	}
	first, err := s.GetStrategyParams(t.Context(), code, 1)
	require.NoError(t, err)
	require.False(t, first.Active)
	require.Equal(t, map[string]jsontext.Value{
		"slot_count": jsontext.Value("10"), "rate": jsontext.Value("0.10"), "名": jsontext.Value(`"中"`), "gone": jsontext.Value("null"), "deep": jsontext.Value(`{"b":[1,2],"a":1E400}`),
	}, first.Values, "every number as it was written")
	_, err = s.GetStrategyParams(t.Context(), code, 4)
	require.ErrorIs(t, err, store.ErrNotFound)

	difference, err := s.CompareStrategyParams(t.Context(), code, 1, 2)
	require.NoError(t, err)
	require.Equal(t, store.Comparison{
		Added:   map[string]jsontext.Value{"new": jsontext.Value("true")},
		Removed: map[string]jsontext.Value{"gone": jsontext.Value("null")},
		Changed: map[string]store.Change{
			"slot_count": {A: jsontext.Value("10"), B: jsontext.Value("12")},
			"rate":       {A: jsontext.Value("0.10"), B: jsontext.Value("0.1")},
		},
	}, difference)
	_, err = s.CompareStrategyParams(t.Context(), code, 1, 9)
	require.ErrorIs(t, err, store.ErrNotFound)
}

func bindings(t *testing.T, s *suite) {
	_, err := s.ListAccountStrategies(t.Context(), s.account)
	require.ErrorIs(t, err, store.ErrNotFound)
	s.createAccount(t)
	created := s.createStrategy(t)
	_, err = s.ListStrategyAccounts(t.Context(), "c_none_"+s.account)
	require.ErrorIs(t, err, store.ErrNotFound)
	list, err := s.ListAccountStrategies(t.Context(), s.account)
	require.NoError(t, err)
	require.Empty(t, list)

	require.NoError(t, s.BindStrategy(t.Context(), events.StrategyBound{AccountID: s.account, StrategyCode: created.StrategyCode, AllocatedCapital: 5_000_000, RiskLimit: 2_050}))
	want := []store.Binding{{AccountID: s.account, StrategyCode: created.StrategyCode, AllocatedCapital: 5_000_000, RiskLimit: 2_050, Status: "active"}}
	for _, read := range []func() ([]store.Binding, error){
		func() ([]store.Binding, error) { return s.ListAccountStrategies(t.Context(), s.account) },
		func() ([]store.Binding, error) { return s.ListStrategyAccounts(t.Context(), created.StrategyCode) },
		func() ([]store.Binding, error) { return s.ListStrategyAccounts(t.Context(), created.StrategyName) },
	} {
		list, err := read()
		require.NoError(t, err)
		for i := range list {
			list[i].CreatedAt, list[i].UpdatedAt = time.Time{}, time.Time{}
		}
		require.Equal(t, want, list)
	}
	require.Error(t, s.BindStrategy(t.Context(), events.StrategyBound{AccountID: s.account, StrategyCode: "c_none", AllocatedCapital: 1}))
	require.NoError(t, s.UnbindStrategy(t.Context(), s.account, created.StrategyCode))
	list, err = s.ListAccountStrategies(t.Context(), s.account)
	require.NoError(t, err)
	require.Empty(t, list)
}

// twoStores are two processes on one account: each sees its own writes, and
// soon the other's.
func twoStores(t *testing.T, s *suite) {
	s.createAccount(t)
	require.NoError(t, s.HealthCheck(t.Context()))
	other := s.Open(t, func() time.Time { return s.day })
	defer other.Close()
	for days := range int64(20) {
		writer, reader := s.Store, other
		if days%2 == 1 {
			writer, reader = reader, writer
		}
		require.NoError(t, writer.UpdateHeldDays(t.Context(), s.account, stockA, days))
		got, open, err := writer.GetHeldDays(t.Context(), s.account, stockA)
		require.NoError(t, err)
		require.True(t, open)
		require.Equal(t, days, got, "a store reads what it wrote")
		require.Eventually(t, func() bool {
			got, _, err := reader.GetHeldDays(t.Context(), s.account, stockA)
			return err == nil && got == days
		}, 10*time.Second, time.Millisecond)
	}
}
