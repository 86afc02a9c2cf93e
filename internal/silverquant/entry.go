package silverquant

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// dailySource is the source of klines: they belong to no account, so two
// accounts' imports of one folder give the same events.
const dailySource = "import/daily"

var uuidShape = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)

// Entry is a row as an event whose id depends on nothing but the row's content
// and how many rows with the same content come before it. So whoever turns a
// row into an event, and however often, it is one event on the log.
type Entry struct {
	event   events.Event
	content []string
	digest  string
}

// DealEntry is a row of deal_hist.csv. The error is that of a time of day that
// is none; a row that was read has a good one.
func DealEntry(account string, d book.Deal) (Entry, error) {
	at, err := time.ParseInLocation(time.DateOnly+" "+time.TimeOnly, d.Date.String()+" "+d.Time, events.Zone)
	if err != nil {
		return Entry{}, err
	}
	return accountEntry(account, at, &events.TradeRecorded{
		AccountID: account, StockCode: d.StockCode, StockName: d.StockName, OrderType: d.OrderType, PriceType: d.PriceType,
		Price: d.Price, Volume: d.Volume, Remark: d.Remark, TradedAt: at,
	}, d.Date.String(), d.Time, d.StockCode, d.StockName, string(d.OrderType), string(d.PriceType), d.Remark,
		d.Price.String(), strconv.FormatInt(d.Volume, 10)), nil
}

// AssetEntry is a row of assets.csv: the balance at the day's close.
func AssetEntry(account string, a Asset) Entry {
	return accountEntry(account, a.Date.Time().Add(15*time.Hour),
		&events.CapitalUpdated{AccountID: account, TotalAssets: a.Total, Date: a.Date}, a.Date.String(), a.Total.String())
}

// AccountEntry creates the account with the first row of its assets.csv as
// capital. An empty broker is GM for an id that is a UUID and QMT for any other.
func AccountEntry(account, broker string, first Asset) Entry {
	usual := "QMT"
	if uuidShape.MatchString(account) {
		usual = "GM"
	}
	broker = cmp.Or(broker, usual)
	at := first.Date.Time()
	return accountEntry(account, at,
		&events.AccountCreated{AccountID: account, AccountName: account, Broker: broker, InitialCapital: first.Total},
		broker, first.Total.String(), events.FormatTime(at))
}

// accountEntry is an entry of an account's own folder.
func accountEntry(account string, at time.Time, data events.Data, content ...string) Entry {
	return newEntry("import/"+account, at, data, account, content...)
}

// newEntry makes an entry of the content of a row; its form must never change.
func newEntry(source string, at time.Time, data events.Data, owner string, content ...string) Entry {
	return Entry{
		event:   events.Event{Source: source, Time: at, Data: data},
		content: content,
		digest:  digest(append([]string{string(data.Type()), owner}, content...)...),
	}
}

// Digest is the same for rows of the same content.
func (e Entry) Digest() string { return e.digest }

// Nth is the event of the nth row, from 1, with this content. It is not
// validated yet. The events of one Entry share their data.
func (e Entry) Nth(n int) *events.Event {
	event := e.event
	event.ID = "imp-" + digest(e.digest, strconv.Itoa(n))
	return &event
}

// digest is 160 bits of a hash. Fields are length-prefixed, so no two contents
// run together.
func digest(fields ...string) string {
	h := sha256.New()
	for _, f := range fields {
		fmt.Fprintf(h, "%d:%s", len(f), f)
	}
	return hex.EncodeToString(h.Sum(nil)[:20])
}
