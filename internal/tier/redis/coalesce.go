package redis

import (
	"strconv"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// changes is what a batch does to one account, each field's last value only.
type changes struct {
	// dates are the increments that can apply: each later than those before.
	// Which of them do is up to the date that the tier holds.
	dates  []events.Date
	stocks map[string]*stock
}

// stock is what a batch does to one stock of an account.
type stock struct {
	held     change
	days     int64
	seen     int // increments of the account before days was set
	max, min change
	maxPrice events.Price
	minPrice events.Price
}

// change is what happens to a field. One left alone may still be incremented.
type change uint8

const (
	leave change = iota
	set
	remove
)

func (c *changes) stock(code string) *stock {
	s := c.stocks[code]
	if s == nil {
		s = new(stock)
		c.stocks[code] = s
	}
	return s
}

// setDays replaces the held days, whatever was incremented before.
func (c *changes) setDays(code string, days int64) {
	s := c.stock(code)
	s.held, s.days, s.seen = set, days, len(c.dates)
}

func (c *changes) increment(date events.Date) {
	var last events.Date
	if n := len(c.dates); n > 0 {
		last = c.dates[n-1]
	}
	if date > last {
		c.dates = append(c.dates, date)
	}
}

// coalesce reduces events to what they change, by account.
func coalesce(list []*events.Event) map[string]*changes {
	accounts := make(map[string]*changes)
	of := func(id string) *changes {
		c := accounts[id]
		if c == nil {
			c = &changes{stocks: make(map[string]*stock)}
			accounts[id] = c
		}
		return c
	}
	for _, e := range list {
		switch d := e.Data.(type) {
		case *events.PositionOpened:
			of(d.AccountID).setDays(d.StockCode, d.HeldDays)
		case *events.PositionHeldDaysSet:
			of(d.AccountID).setDays(d.StockCode, d.HeldDays)
		case *events.PositionDaysIncremented:
			of(d.AccountID).increment(d.Date)
		case *events.PositionPriceMarked:
			s := of(d.AccountID).stock(d.StockCode)
			if d.MaxPrice != nil {
				s.max, s.maxPrice = set, *d.MaxPrice
			}
			if d.MinPrice != nil {
				s.min, s.minPrice = set, *d.MinPrice
			}
		case *events.PositionClosed:
			*of(d.AccountID).stock(d.StockCode) = stock{held: remove, max: remove, min: remove}
		}
	}
	return accounts
}

// program is the keys and arguments of apply.lua.
type program struct {
	keys []string
	args []any
}

// encode appends the number of accounts, the accounts, and what to do with their keys.
func (p *program) encode(prefix string, accounts map[string]*changes) {
	p.args = append(p.args, len(accounts))
	order := make([]*changes, 0, len(accounts))
	for id, c := range accounts {
		order = append(order, c)
		for _, data := range dataPrefixes {
			p.keys = append(p.keys, prefix+data+id)
		}
		p.args = append(p.args, id, len(c.dates))
		for _, date := range c.dates {
			p.args = append(p.args, date.String())
		}
	}
	for i, c := range order {
		p.encodeStocks(4*i+1, c)
	}
}

// encodeStocks appends what happens to the hashes of one account, whose keys
// begin at index key.
func (p *program) encodeStocks(key int, c *changes) {
	// Index 0, 1, 2 is held days, max, min; held days are kept apart by how many
	// increments came before them.
	increments := len(c.dates)
	days := make([][]any, increments+1)
	var prices, gone [3][]any
	for code, s := range c.stocks {
		switch s.held {
		case set:
			days[s.seen] = append(days[s.seen], code, strconv.FormatInt(s.days+int64(increments-s.seen), 10))
		case remove:
			gone[0] = append(gone[0], code)
		case leave:
		}
		for i, price := range [...]struct {
			change
			events.Price
		}{1: {s.max, s.maxPrice}, 2: {s.min, s.minPrice}} {
			switch price.change {
			case set:
				prices[i] = append(prices[i], code, price.String())
			case remove:
				gone[i] = append(gone[i], code)
			case leave:
			}
		}
	}
	for i := range gone {
		if n := len(gone[i]); n > 0 {
			p.args = append(p.args, "HDEL", key+i, n)
			p.args = append(p.args, gone[i]...)
		}
	}
	for seen, list := range days {
		p.hset(key, seen, list)
	}
	for i, list := range prices {
		p.hset(key+i, increments, list)
	}
}

func (p *program) hset(key, seen int, list []any) {
	if len(list) > 0 {
		p.args = append(p.args, "HSET", key, seen, len(list))
		p.args = append(p.args, list...)
	}
}
