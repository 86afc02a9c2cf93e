package silverquant

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// Recorded is what the log holds of an account's CSV files. Rows are known by
// what they say: the same row has another id for each way onto the log.
type Recorded struct {
	// Deals counts equal rows of deal_hist.csv.
	Deals map[DealKey]int `json:"deals"`
	// Assets are the total assets by date, and Balances counts how often each
	// was recorded.
	Assets   map[events.Date]events.Money `json:"assets"`
	Balances map[string]int               `json:"balances"`
}

// NewRecorded is what an empty log holds.
func NewRecorded() Recorded {
	return Recorded{Deals: make(map[DealKey]int), Assets: make(map[events.Date]events.Money), Balances: make(map[string]int)}
}

// Add takes in an event of the account, in the log's order.
func (r Recorded) Add(e *events.Event) {
	switch d := e.Data.(type) {
	case *events.TradeRecorded:
		r.Deals[KeyOf(d)]++
	case *events.CapitalUpdated:
		date := book.CapitalDate(e, d)
		r.Assets[date] = d.TotalAssets
		r.Balances[balanceKey(date, d.TotalAssets)]++
	}
}

// Lacks returns a function that is asked about the trades of a deal_hist.csv,
// in its order, and tells which the log lacks: the nth row of the same content
// when the log holds fewer than n. It may be asked while r does not change.
func (r Recorded) Lacks() func(*events.TradeRecorded) bool {
	seen := make(map[DealKey]int)
	return func(d *events.TradeRecorded) bool {
		key := KeyOf(d)
		seen[key]++
		return seen[key] > r.Deals[key]
	}
}

// Times is how often a balance was recorded.
func (r Recorded) Times(date events.Date, total events.Money) int {
	return r.Balances[balanceKey(date, total)]
}

func balanceKey(date events.Date, total events.Money) string {
	return date.String() + " " + total.String()
}

// DealKey stands for a row of deal_hist.csv: equal rows have equal keys.
type DealKey [16]byte

// KeyOf is the key of the row that a trade is in the file.
func KeyOf(d *events.TradeRecorded) DealKey {
	sum := sha256.Sum256([]byte(book.DealOf(d, 0).Row().Value))
	return DealKey(sum[:16])
}

// MarshalText implements encoding.TextMarshaler.
func (k DealKey) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, k[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *DealKey) UnmarshalText(text []byte) error {
	raw, err := hex.DecodeString(string(text))
	if err == nil && len(raw) != len(k) {
		err = errors.New("must be 32 hexadecimal digits")
	}
	if err == nil {
		*k = DealKey(raw)
	}
	return err
}
