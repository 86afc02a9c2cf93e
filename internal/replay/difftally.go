package replay

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"text/tabwriter"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// tally counts what a book without history keeps no rows of.
type tally struct {
	trades map[tradeKey]tradeCount
	events map[eventKey]eventMark
}

type tradeKey struct{ account, stock string }

type eventKey struct {
	account string
	typ     events.Type
}

// eventMark is how many events there are, and a sum over their sequences that
// tells two sets of equal size apart.
type eventMark struct {
	count int64
	mark  uint64
}

// mix spreads a sequence over 64 bits (the finalizer of splitmix64).
func mix(sequence uint64) uint64 {
	z := sequence * 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// tradeCount sums up the records of one stock in one account. Orders and
// cancellations are counted; only executions move shares and cash.
type tradeCount struct {
	orders, cancels, executions int64
	bought, sold                int64 // shares
	paid, received              int64 // fen
}

func newTally() tally {
	return tally{make(map[tradeKey]tradeCount), make(map[eventKey]eventMark)}
}

func (t tally) clone() tally { return tally{maps.Clone(t.trades), maps.Clone(t.events)} }

func (t tally) add(e *events.Event) error {
	key := eventKey{book.AccountOf(e.Data), e.Type()}
	seen := t.events[key]
	t.events[key] = eventMark{seen.count + 1, seen.mark + mix(e.Sequence)}
	d, ok := e.Data.(*events.TradeRecorded)
	if !ok {
		return nil
	}
	stock := tradeKey{d.AccountID, d.StockCode}
	c := t.trades[stock]
	fits := true
	sum := func(to *int64, n int64) {
		fits = fits && *to <= math.MaxInt64-n // both are ≥ 0
		*to += n
	}
	switch d.OrderType {
	case events.BuyOrder, events.SellOrder:
		c.orders++
	case events.Cancel:
		c.cancels++
	case events.BuyTrade:
		c.executions++
		sum(&c.bought, d.Volume)
		sum(&c.paid, int64(d.Amount))
	case events.SellTrade:
		c.executions++
		sum(&c.sold, d.Volume)
		sum(&c.received, int64(d.Amount))
	}
	if !fits {
		return fmt.Errorf("event %d: the sum of the trades of %s in account %s is too large to be told", e.Sequence, d.StockCode, d.AccountID)
	}
	t.trades[stock] = c
	return nil
}

// tradeSum is a difference of trades. Shares and cash come from executions
// alone; CashFlow is Received minus Paid, without fees, which no event holds.
type tradeSum struct {
	AccountID  string `json:"account_id"`
	StockCode  string `json:"stock_code,omitempty"`
	Orders     int64  `json:"orders"`
	Cancels    int64  `json:"cancels"`
	Executions int64  `json:"executions"`
	Bought     int64  `json:"bought_volume"`
	Sold       int64  `json:"sold_volume"`
	NetVolume  int64  `json:"net_volume"`
	Paid       string `json:"paid"`
	Received   string `json:"received"`
	CashFlow   string `json:"cash_flow"`
}

// tradesBetween is b's trades minus a's by account, or by account and stock;
// without those that are equal.
func tradesBetween(a, b tally, in scope, byStock bool) ([]tradeSum, error) {
	sums := make(map[tradeKey]tradeCount)
	merge := func(from map[tradeKey]tradeCount, sign int64) error {
		for key, c := range from {
			if !in.account(key.account) {
				continue
			}
			if !byStock {
				key.stock = ""
			}
			s := sums[key]
			fits := true
			for _, f := range []struct {
				to *int64
				n  int64
			}{
				{&s.orders, c.orders}, {&s.cancels, c.cancels}, {&s.executions, c.executions},
				{&s.bought, c.bought}, {&s.sold, c.sold}, {&s.paid, c.paid}, {&s.received, c.received},
			} {
				next := *f.to + sign*f.n
				fits = fits && (next > *f.to) == (sign*f.n > 0)
				*f.to = next
			}
			if !fits {
				return fmt.Errorf("the sum of the trades in account %s is too large to be told", key.account)
			}
			sums[key] = s
		}
		return nil
	}
	if err := merge(b.trades, 1); err != nil {
		return nil, err
	}
	if err := merge(a.trades, -1); err != nil {
		return nil, err
	}
	list := []tradeSum{}
	for key, c := range sums {
		if c == (tradeCount{}) {
			continue
		}
		list = append(list, tradeSum{
			AccountID: key.account, StockCode: key.stock,
			Orders: c.orders, Cancels: c.cancels, Executions: c.executions,
			Bought: c.bought, Sold: c.sold, NetVolume: c.bought - c.sold,
			Paid: events.Money(c.paid).String(), Received: events.Money(c.received).String(), CashFlow: events.Money(c.received - c.paid).String(),
		})
	}
	slices.SortFunc(list, func(x, y tradeSum) int {
		return cmp.Or(cmp.Compare(x.AccountID, y.AccountID), cmp.Compare(x.StockCode, y.StockCode))
	})
	return list, nil
}

// eventCount is how many more events of a type there are; 0 when as many, but
// others.
type eventCount struct {
	Type  events.Type `json:"type"`
	Count int64       `json:"count"`
}

// eventsBetween is b's events minus a's by type, without those that are equal.
func eventsBetween(a, b tally, in scope) []eventCount {
	marks := make(map[events.Type]eventMark)
	for key, m := range b.events {
		if in.account(key.account) {
			sum := marks[key.typ]
			marks[key.typ] = eventMark{sum.count + m.count, sum.mark + m.mark}
		}
	}
	for key, m := range a.events {
		if in.account(key.account) {
			sum := marks[key.typ]
			marks[key.typ] = eventMark{sum.count - m.count, sum.mark - m.mark}
		}
	}
	list := []eventCount{}
	for typ, m := range marks {
		if m != (eventMark{}) {
			list = append(list, eventCount{typ, m.count})
		}
	}
	slices.SortFunc(list, func(x, y eventCount) int { return cmp.Compare(x.Type, y.Type) })
	return list
}

// grown tells whether events whose rows are not compared differ in number.
func grown(counts []eventCount) bool {
	return slices.ContainsFunc(counts, func(c eventCount) bool {
		return c.Type == events.TypeTradeRecorded || c.Type == events.TypeCapitalUpdated || c.Type == events.TypeKlineRecorded
	})
}

func writeTrades(w io.Writer, trades []tradeSum, title string) {
	if len(trades) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "ACCOUNT\tSTOCK\tORDERS\tCANCELS\tEXECUTIONS\tBOUGHT\tSOLD\tNET SHARES\tPAID\tRECEIVED\tCASH FLOW\t")
	for _, t := range trades {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%s\t%s\t\n",
			t.AccountID, cmp.Or(t.StockCode, "all"), t.Orders, t.Cancels, t.Executions, t.Bought, t.Sold, t.NetVolume, t.Paid, t.Received, t.CashFlow)
	}
	table.Flush()
}

func writeEvents(w io.Writer, counts []eventCount, title string) {
	if len(counts) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s\n", title)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	for _, c := range counts {
		if c.Count == 0 {
			fmt.Fprintf(table, "%s\t0 (as many, but others)\n", c.Type)
			continue
		}
		fmt.Fprintf(table, "%s\t%+d\n", c.Type, c.Count)
	}
	table.Flush()
}
