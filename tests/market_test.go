package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

// market makes a valid flow of events of every type and keeps, by its own plain
// means and nothing of the product's, what the tiers must hold in the end. All
// numbers are whole: prices in mills, money in cents, dates as 20250303.
type market struct {
	random *rand.Rand
	made   int // events so far, each of which the log keeps
	day    int // index into marketDays
	// padding is how many bytes each saved set of parameters has more.
	padding int
	clock   time.Duration

	accounts   []*marketAccount
	strategies []*marketStrategy
	users      []*marketUser
	klines     map[string]map[int64]marketBar // stock → date → the bar that counts
	trades     marketSum
}

// marketSum is what is known of many trades.
type marketSum struct{ count, volume, amount int64 }

func (s *marketSum) add(volume, amount int64) {
	s.count, s.volume, s.amount = s.count+1, s.volume+volume, s.amount+amount
}

type marketAccount struct {
	id, status                               string
	initial, current, total, value           int64
	incDate                                  int64
	held, highest, lowest, bindings, balance map[string]int64
	risks                                    map[string]int64
	deals                                    marketSum
}

type marketStrategy struct {
	code, status string
	versions     []int64 // keys of each
	active       int     // version, from 1; 0 before the first
}

type marketUser struct {
	name, status string
	failed       int64
	roles        []string
}

type marketBar struct{ closing, volume, amount int64 }

// marketDays are trading days: months whose every weekday is one.
var marketDays = func() (days []time.Time) {
	zone := time.FixedZone("", 8*3600)
	for _, month := range []time.Month{time.March, time.July, time.September} {
		for day := time.Date(2025, month, 1, 0, 0, 0, 0, zone); day.Month() == month; day = day.AddDate(0, 0, 1) {
			if day.Weekday() != time.Saturday && day.Weekday() != time.Sunday {
				days = append(days, day)
			}
		}
	}
	return days
}()

const (
	marketOpens, marketCloses = 9*time.Hour + 30*time.Minute, 15 * time.Hour
	marketStocks              = 80
	marketHash                = "$2b$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
)

var marketTexts = []string{"问财选股", "回落止盈 🚀📉", `say "hi", a,b`, "*ST 万科", "plain", "O'Neil; <&>"}

func newMarket(random *rand.Rand) *market {
	return &market{random: random, clock: marketOpens, klines: map[string]map[int64]marketBar{}}
}

// marketMoves are the events by how often each comes. One that does not fit the
// state at the moment answers no type, and another is drawn.
var marketMoves = []struct {
	weight int
	make   func(*market) (kind string, data map[string]any)
}{
	{500, (*market).trade},
	{160, (*market).mark},
	{60, (*market).open},
	{40, (*market).setHeld},
	{50, (*market).close},
	{20, (*market).increment},
	{35, (*market).kline},
	{40, (*market).capital},
	{2, (*market).createAccount},
	{10, (*market).updateAccount},
	{6, (*market).accountStatus},
	{2, (*market).createStrategy},
	{8, (*market).updateStrategy},
	{6, (*market).strategyStatus},
	{8, (*market).bind},
	{8, (*market).changeBinding},
	{4, (*market).unbind},
	{8, (*market).saveParam},
	{6, (*market).activateParam},
	{2, (*market).register},
	{6, (*market).logIn},
	{12, (*market).failLogIn},
	{5, (*market).userStatus},
	{3, (*market).changePassword},
	{4, (*market).grant},
	{3, (*market).revoke},
}

var marketWeight = func() (sum int) {
	for _, move := range marketMoves {
		sum += move.weight
	}
	return sum
}()

// next is the next n events as ndjson.
func (m *market) next(n int) []byte {
	var body bytes.Buffer
	encoder := json.NewEncoder(&body) // ends each with a newline
	encoder.SetEscapeHTML(false)
	for range n {
		if m.clock += time.Duration(m.random.Int64N(int64(8 * time.Second))); m.clock > marketCloses {
			m.day, m.clock = (m.day+1)%len(marketDays), marketOpens
		}
		kind, data := m.draw()
		m.made++
		err := encoder.Encode(map[string]any{
			"specversion": "1.0", "id": "e-" + strconv.Itoa(m.made), "source": "test", "type": kind + ".v1",
			"time": m.time(), "data": data,
		})
		if err != nil {
			panic(err) // maps of strings and numbers
		}
	}
	return body.Bytes()
}

func (m *market) draw() (string, map[string]any) {
	for {
		at := m.random.IntN(marketWeight)
		for _, move := range marketMoves {
			if at -= move.weight; at < 0 {
				if kind, data := move.make(m); kind != "" {
					return kind, data
				}
				break
			}
		}
	}
}

func (m *market) time() string {
	return marketDays[m.day].Add(m.clock.Truncate(time.Microsecond)).Format(time.RFC3339Nano)
}

func (m *market) date() int64 { return dateNumber(marketDays[m.day]) }

func dateNumber(day time.Time) int64 {
	return int64(day.Year()*10000 + int(day.Month())*100 + day.Day())
}

func dateText(n int64) string { return fmt.Sprintf("%d-%02d-%02d", n/10000, n/100%100, n%100) }

func mills(n int64) string { return fmt.Sprintf("%d.%03d", n/1000, n%1000) }

func cents(n int64) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

func pick[T any](m *market, list []T) (one T) {
	if len(list) == 0 {
		return one
	}
	return list[m.random.IntN(len(list))]
}

func (m *market) stock() string { return fmt.Sprintf("600%03d.SH", m.random.IntN(marketStocks)) }

func (m *market) price() int64 { return 1000 + m.random.Int64N(99_000) }

func (m *market) trade() (string, map[string]any) {
	a := pick(m, m.accounts)
	if a == nil {
		return "", nil
	}
	price, volume := m.price(), 1+m.random.Int64N(10_000)
	amount := (price*volume + 5) / 10
	a.deals.add(volume, amount)
	m.trades.add(volume, amount)
	data := map[string]any{
		"account_id": a.id, "stock_code": m.stock(), "stock_name": pick(m, marketTexts), "price": mills(price), "volume": volume,
		"order_type": pick(m, []string{"buy_order", "sell_order", "buy_trade", "sell_trade", "cancel"}),
		"traded_at":  m.time(), "remark": pick(m, marketTexts), "order_id": strconv.Itoa(m.made),
	}
	if m.random.IntN(2) == 0 {
		data["amount"] = cents(amount)
	}
	return "trade.recorded", data
}

func (m *market) mark() (string, map[string]any) {
	a, stock := pick(m, m.accounts), m.stock()
	if a == nil {
		return "", nil
	}
	data := map[string]any{"account_id": a.id, "stock_code": stock}
	which, highest, lowest := m.random.IntN(3), m.price(), m.price()
	if which != 1 {
		a.highest[stock], data["max_price"] = max(highest, lowest), mills(max(highest, lowest))
	}
	if which != 0 {
		a.lowest[stock], data["min_price"] = min(highest, lowest), mills(min(highest, lowest))
	}
	return "position.price_marked", data
}

func (m *market) open() (string, map[string]any) {
	a, stock := pick(m, m.accounts), m.stock()
	if a == nil {
		return "", nil
	}
	a.held[stock] = 0
	return "position.opened", map[string]any{"account_id": a.id, "stock_code": stock}
}

func (m *market) setHeld() (string, map[string]any) {
	a, stock, days := pick(m, m.accounts), m.stock(), m.random.Int64N(60)
	if a == nil {
		return "", nil
	}
	a.held[stock] = days
	return "position.held_days_set", map[string]any{"account_id": a.id, "stock_code": stock, "held_days": days}
}

func (m *market) close() (string, map[string]any) {
	a, stock := pick(m, m.accounts), m.stock()
	if a == nil {
		return "", nil
	}
	delete(a.held, stock)
	delete(a.highest, stock)
	delete(a.lowest, stock)
	return "position.closed", map[string]any{"account_id": a.id, "stock_code": stock}
}

func (m *market) increment() (string, map[string]any) {
	a := pick(m, m.accounts)
	if a == nil || m.date() <= a.incDate {
		return "", nil
	}
	a.incDate = m.date()
	for stock := range a.held {
		a.held[stock]++
	}
	return "position.days_incremented", map[string]any{"account_id": a.id, "date": dateText(a.incDate)}
}

// kline brings up to 20 days of a stock; many of them again, corrected.
func (m *market) kline() (string, map[string]any) {
	stock, first := m.stock(), m.random.IntN(len(marketDays))
	days := marketDays[first:min(len(marketDays), first+1+m.random.IntN(20))]
	if m.klines[stock] == nil {
		m.klines[stock] = map[int64]marketBar{}
	}
	var bars []map[string]any
	for _, day := range days {
		p := []int64{m.price(), m.price(), m.price(), m.price()}
		slices.Sort(p)
		bar := marketBar{closing: p[2], volume: m.random.Int64N(1_000_000), amount: m.random.Int64N(1_000_000_000)}
		m.klines[stock][dateNumber(day)] = bar
		bars = append(bars, map[string]any{
			"date": dateText(dateNumber(day)), "open": mills(p[1]), "high": mills(p[3]), "low": mills(p[0]), "close": mills(p[2]),
			"volume": bar.volume, "amount": cents(bar.amount),
		})
	}
	return "kline.recorded", map[string]any{"stock_code": stock, "bars": bars}
}
