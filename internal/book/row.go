package book

// Kind is a relation of canonical rows. Each tier holds some of the kinds.
type Kind string

// The kinds. Key and value formats are given beside each; values are canonical
// text, so rows compare as bytes.
const (
	// KindHeldDays: "<account>/<stock>" → decimal days. A row is an open position.
	KindHeldDays Kind = "held_days"
	// KindMaxPrice and KindMinPrice: "<account>/<stock>" → Price.String().
	KindMaxPrice Kind = "max_price"
	KindMinPrice Kind = "min_price"
	// KindIncDate: "<account>" → Date.String().
	KindIncDate Kind = "inc_date"

	// KindAccount: "<account>" → JSON object of AccountState, KindAsset:
	// "<account>/<date>" → total assets, Money.String().
	KindAccount Kind = "account"
	KindAsset   Kind = "asset"
	// KindStrategy: "<code>", KindBinding: "<account>/<code>", KindParam:
	// "<code>/<version, 10 digits>" → JSON objects.
	KindStrategy Kind = "strategy"
	KindBinding  Kind = "binding"
	KindParam    Kind = "param"
	// KindUser: "<username>" → JSON object; KindUserRole: "<username>/<role>" → "".
	KindUser     Kind = "user"
	KindUserRole Kind = "user_role"

	// KindTrade: "<sequence, 20 digits>" → JSON object of the whole trade.
	KindTrade Kind = "trade"
	// KindDeal: "<account>/<ordinal, 10 digits, from 1>" → the trade as a
	// deal_hist.csv row holds it.
	KindDeal Kind = "deal"
	// KindKline: "<stock>/<date>" → JSON object of the bar.
	KindKline Kind = "kline"
)

// Row is one canonical row of a tier's contents.
type Row struct {
	Kind  Kind
	Key   string
	Value string
}
