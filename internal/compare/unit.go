package compare

import (
	"context"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// unit is what is read at once.
type unit struct {
	// kind and owner say what it is: positions of an account, parameters of a
	// strategy; owner is "" for all.
	kind, owner string
	// trades tells that it is about trades, which are only ever added.
	trades bool
	read   func(ctx context.Context, tier query.Tier) (contents, error)
}

func (u *unit) name() string { return u.kind + "/" + u.owner }

func (u *unit) account() string {
	if u.kind == kindPositions {
		return u.owner
	}
	return ""
}

// The kinds of units; what is in them is told by book.Kind.
const (
	kindPositions  = "positions"
	kindAccounts   = "accounts"
	kindStrategies = "strategies"
	kindBindings   = "bindings"
	kindParams     = "params"
	kindTrades     = "trades"
)

// contents are what a unit holds, as of a moment between two sequences.
type contents struct {
	from, to uint64
	held     bool
	rows     map[string]row
	trades   []query.Trade
	// unreadable is why it cannot be read while the tier answers.
	unreadable error
}

// row is a row, and the account that it is about, if any.
type row struct {
	book.Row
	account string
}

func (c *contents) add(account string, r book.Row) {
	if c.rows == nil {
		c.rows = make(map[string]row)
	}
	c.rows[string(r.Kind)+"/"+r.Key] = row{r, account}
}

func as(at query.At) contents {
	return contents{from: at.Sequence, to: at.Sequence, held: at.Held || at.Parked}
}

// units are all that is compared of a tier.
func (c *Comparer) units(ctx context.Context, tier query.Tier) ([]unit, error) {
	var units []unit
	if _, ok := tier.(query.PositionReader); ok {
		accounts, err := c.log.AccountIDs()
		if err != nil {
			return nil, err
		}
		for _, id := range accounts {
			units = append(units, unit{kind: kindPositions, owner: id, read: positions(id)})
		}
	}
	if _, ok := tier.(query.RecordReader); ok {
		units = append(units, unit{kind: kindAccounts, read: accounts}, unit{kind: kindStrategies, read: strategies}, unit{kind: kindBindings, read: bindings})
		list, _, err := c.log.Strategies(ctx, "")
		if err != nil {
			return nil, err
		}
		for _, s := range list {
			units = append(units, unit{kind: kindParams, owner: s.Code, read: params(s.Code)})
		}
	}
	if _, ok := tier.(query.TradeReader); ok {
		if from := c.log.LastTrades(c.tradeDays, mostTrades); from != 0 {
			units = append(units, unit{kind: kindTrades, trades: true, read: trades(query.TradeFilter{From: from, Limit: mostTrades})})
		}
	}
	return units, nil
}

func positions(account string) func(context.Context, query.Tier) (contents, error) {
	return func(ctx context.Context, tier query.Tier) (contents, error) {
		found, at, err := tier.(query.PositionReader).Positions(ctx, account, "")
		c := as(at)
		for _, p := range found.List {
			if p.Open {
				c.add(account, book.HeldDaysRow(account, p.StockCode, p.HeldDays))
			}
			if p.MaxPrice != 0 {
				c.add(account, book.MaxPriceRow(account, p.StockCode, p.MaxPrice))
			}
			if p.MinPrice != 0 {
				c.add(account, book.MinPriceRow(account, p.StockCode, p.MinPrice))
			}
		}
		if found.IncDate != 0 {
			c.add(account, book.IncDateRow(account, found.IncDate))
		}
		return c, err
	}
}

func accounts(ctx context.Context, tier query.Tier) (contents, error) {
	list, at, err := tier.(query.RecordReader).Accounts(ctx, "")
	c := as(at)
	for _, a := range list {
		c.add(a.ID, a.Row())
	}
	return c, err
}

func strategies(ctx context.Context, tier query.Tier) (contents, error) {
	list, at, err := tier.(query.RecordReader).Strategies(ctx, "")
	c := as(at)
	for _, s := range list {
		c.add("", s.Row())
	}
	return c, err
}

func bindings(ctx context.Context, tier query.Tier) (contents, error) {
	list, at, err := tier.(query.RecordReader).Bindings(ctx, "", "")
	c := as(at)
	for _, b := range list {
		c.add(b.AccountID, b.Row())
	}
	return c, err
}

// params reads all versions of a strategy, and the contents of the active one.
func params(code string) func(context.Context, query.Tier) (contents, error) {
	return func(ctx context.Context, tier query.Tier) (contents, error) {
		reader := tier.(query.RecordReader)
		heads, first, err := reader.Params(ctx, code, query.Versions{})
		if err != nil {
			return contents{}, err
		}
		active, second, err := reader.Params(ctx, code, query.Versions{Active: true})
		c := contents{from: min(first.Sequence, second.Sequence), to: max(first.Sequence, second.Sequence), held: first.Held || second.Held}
		for _, p := range heads {
			c.add("", p.Row())
		}
		for _, p := range active {
			c.add("", p.Row())
		}
		return c, err
	}
}

func trades(f query.TradeFilter) func(context.Context, query.Tier) (contents, error) {
	return func(ctx context.Context, tier query.Tier) (contents, error) {
		list, at, err := tier.(query.TradeReader).Trades(ctx, f)
		c := as(at)
		c.trades = list
		return c, err
	}
}
