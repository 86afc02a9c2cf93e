package book

import (
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Kind is a relation of canonical rows. Each tier holds some of the kinds.
type Kind string

// The kinds. Key and value formats are given beside each; values are canonical
// text, so rows compare as bytes. JSON objects are compact, without escapes
// that JSON does not demand, their fields in the order of the struct that is
// named, decimals and dates as canonical strings, times by events.FormatTime.
const (
	// KindHeldDays: "<account>/<stock>" → decimal days. A row is an open position.
	KindHeldDays Kind = "held_days"
	// KindMaxPrice and KindMinPrice: "<account>/<stock>" → Price.String().
	KindMaxPrice Kind = "max_price"
	KindMinPrice Kind = "min_price"
	// KindIncDate: "<account>" → Date.String().
	KindIncDate Kind = "inc_date"

	// KindAccount: "<account>" → JSON object of Account: account_id,
	// account_name, broker, status, initial_capital, current_capital,
	// total_assets, position_value, created_at, updated_at.
	KindAccount Kind = "account"
	// KindAsset: "<account>/<date>" → total assets, Money.String().
	KindAsset Kind = "asset"
	// KindStrategy: "<code>" → JSON object of Strategy: strategy_code,
	// strategy_name, strategy_type, version, description, status, created_at,
	// updated_at.
	KindStrategy Kind = "strategy"
	// KindBinding: "<account>/<code>" → JSON object of Binding: account_id,
	// strategy_code, allocated_capital, risk_limit, status, created_at,
	// updated_at.
	KindBinding Kind = "binding"
	// KindParam: "<code>/<version, 10 digits>" → JSON object of Param:
	// strategy_code, version, active, params, remark, created_at.
	KindParam Kind = "param"
	// KindUser: "<username>" → JSON object of User: username, email,
	// password_hash, real_name, status, failed_logins, last_login_at (absent
	// before the first), created_at, updated_at.
	KindUser Kind = "user"
	// KindUserRole: "<username>/<role>" → "".
	KindUserRole Kind = "user_role"

	// KindTrade: "<sequence, 20 digits>" → JSON object of
	// events.TradeRecorded: account_id, stock_code, stock_name, order_type,
	// price_type, price, volume, amount, strategy_name, remark, traded_at,
	// order_id; all of them always there.
	KindTrade Kind = "trade"
	// KindDeal: "<account>/<ordinal, 10 digits, from 1>" → JSON object of
	// Deal: date, time, stock_code, stock_name, order_type, price_type,
	// remark, price, volume.
	KindDeal Kind = "deal"
	// KindKline: "<stock>/<date>" → JSON object of the bar: open, high, low,
	// close, volume, amount.
	KindKline Kind = "kline"
)

// Row is one canonical row of a tier's contents.
type Row struct {
	Kind  Kind
	Key   string
	Value string
}

// HeldDaysRow is the row of an open position.
func HeldDaysRow(accountID, stockCode string, days int64) Row {
	return Row{KindHeldDays, accountID + "/" + stockCode, strconv.FormatInt(days, 10)}
}

// MaxPriceRow is the row of a marked highest price.
func MaxPriceRow(accountID, stockCode string, price events.Price) Row {
	return Row{KindMaxPrice, accountID + "/" + stockCode, price.String()}
}

// MinPriceRow is the row of a marked lowest price.
func MinPriceRow(accountID, stockCode string, price events.Price) Row {
	return Row{KindMinPrice, accountID + "/" + stockCode, price.String()}
}

// IncDateRow is the row of an account's last days_incremented.
func IncDateRow(accountID string, date events.Date) Row {
	return Row{KindIncDate, accountID, date.String()}
}

// Row is the canonical row.
func (a Account) Row() Row { return Row{KindAccount, a.ID, encode(a)} }

// Row is the canonical row.
func (a Asset) Row() Row {
	return Row{KindAsset, a.AccountID + "/" + a.Date.String(), a.Total.String()}
}

// Row is the canonical row.
func (s Strategy) Row() Row { return Row{KindStrategy, s.Code, encode(s)} }

// Row is the canonical row.
func (b Binding) Row() Row {
	return Row{KindBinding, b.AccountID + "/" + b.StrategyCode, encode(b)}
}

// Row is the canonical row.
func (p Param) Row() Row {
	return Row{KindParam, fmt.Sprintf("%s/%010d", p.StrategyCode, p.Version), encode(p)}
}

// Row is the canonical row.
func (u User) Row() Row { return Row{KindUser, u.Username, encode(u)} }

// Row is the canonical row.
func (r UserRole) Row() Row { return Row{KindUserRole, r.Username + "/" + r.Role, ""} }

// Row is the canonical row.
func (t Trade) Row() Row {
	return Row{KindTrade, t.key(), encode(tradeValue(*t.TradeRecorded))}
}

func (t Trade) key() string { return fmt.Sprintf("%020d", t.Sequence) }

// Row is the canonical row.
func (d Deal) Row() Row {
	return Row{KindDeal, fmt.Sprintf("%s/%010d", d.AccountID, d.Ordinal), encode(d)}
}

// Row is the canonical row.
func (k Kline) Row() Row {
	return Row{KindKline, k.StockCode + "/" + k.Date.String(), encode(barValue(k.Bar))}
}

// tradeValue gives events.TradeRecorded the row's encoding, whatever its wire
// format is. The conversion stops compiling when a field is added there.
type tradeValue struct {
	AccountID    string           `json:"account_id"`
	StockCode    string           `json:"stock_code"`
	StockName    string           `json:"stock_name"`
	OrderType    events.OrderType `json:"order_type"`
	PriceType    events.PriceType `json:"price_type"`
	Price        events.Price     `json:"price"`
	Volume       int64            `json:"volume"`
	Amount       events.Money     `json:"amount"`
	StrategyName string           `json:"strategy_name"`
	Remark       string           `json:"remark"`
	TradedAt     time.Time        `json:"traded_at"`
	OrderID      string           `json:"order_id"`
}

// barValue does the same for events.Bar; the date is in the key.
type barValue struct {
	Date   events.Date  `json:"-"`
	Open   events.Price `json:"open"`
	High   events.Price `json:"high"`
	Low    events.Price `json:"low"`
	Close  events.Price `json:"close"`
	Volume int64        `json:"volume"`
	Amount events.Money `json:"amount"`
}

// encode writes a row's value. What it is given was decoded from JSON once, so
// a failure is a programming error.
func encode(v any) string {
	text, err := json.Marshal(v, rowFormat)
	if err != nil {
		panic(fmt.Sprintf("book: encode row: %v", err))
	}
	return string(text)
}
