package book

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// dealTime is Deal.Time's layout.
const dealTime = "15:04:05"

// Restore is the inverse of Rows: it puts one row in place, in a Book that had
// no such row. Kinds may come in any order; deals of an account must come in
// the order of their ordinals. Feeding a Book all rows of another of the same
// Keep makes it equal, and the fold goes on as if it had never stopped. After
// an error the Book is to be thrown away. Rows that the Keep excludes are
// passed over.
func (b *Book) Restore(r Row) error {
	if err := b.restore(r); err != nil {
		return fmt.Errorf("book: restore %s %q: %w", r.Kind, r.Key, err)
	}
	return nil
}

func (b *Book) restore(r Row) error {
	switch r.Kind {
	case KindHeldDays, KindMaxPrice, KindMinPrice:
		return b.restorePosition(r)
	case KindIncDate:
		date, err := events.ParseDate(r.Value)
		b.account(r.Key).incDate = date
		return err
	case KindAccount:
		row, err := decode[Account](r)
		b.account(r.Key).row = row
		return err
	case KindStrategy:
		row, err := decode[Strategy](r)
		b.strategyEntry(r.Key).row = row
		b.names[row.Name] = row.Code
		return err
	case KindBinding:
		row, err := decode[Binding](r)
		b.account(row.AccountID).putBinding(row)
		return err
	case KindParam:
		row, err := decode[Param](r)
		s := b.strategyEntry(row.StrategyCode)
		s.putParam(row)
		if row.Active {
			s.active = row.Version
		}
		return err
	case KindUser:
		row, err := decode[User](r)
		b.userEntry(r.Key).row = row
		b.emails[strings.ToLower(row.Email)] = row.Username
		return err
	case KindUserRole:
		name, role, err := split(r.Key)
		b.userEntry(name).grant(role)
		return err
	case KindTrade, KindDeal, KindAsset, KindKline:
		if b.keep.History {
			return b.restoreHistory(r)
		}
		return nil
	}
	return fmt.Errorf("no such kind of row")
}

func (b *Book) restorePosition(r Row) error {
	id, stock, err := split(r.Key)
	if err != nil {
		return err
	}
	a := b.account(id)
	if r.Kind == KindHeldDays {
		days, err := strconv.ParseInt(r.Value, 10, 64)
		a.setHeld(stock, days)
		return err
	}
	price, err := events.ParsePrice(r.Value)
	if r.Kind == KindMaxPrice {
		a.mark(stock, &price, nil)
	} else {
		a.mark(stock, nil, &price)
	}
	return err
}

func (b *Book) restoreHistory(r Row) error {
	if r.Kind == KindTrade {
		sequence, err := strconv.ParseUint(r.Key, 10, 64)
		if err != nil {
			return err
		}
		value, err := decode[tradeValue](r)
		trade := events.TradeRecorded(value)
		b.trades = append(b.trades, Trade{Sequence: sequence, TradeRecorded: &trade})
		return err
	}
	owner, part, err := split(r.Key)
	if err != nil {
		return err
	}
	if r.Kind == KindDeal {
		return b.restoreDeal(r, owner, part)
	}
	date, err := events.ParseDate(part)
	if err != nil {
		return err
	}
	if r.Kind == KindKline {
		value, err := decode[barValue](r)
		value.Date = date
		b.recordKlines(&events.KlineRecorded{StockCode: owner, Bars: []events.Bar{events.Bar(value)}})
		return err
	}
	total, err := events.ParseMoney(r.Value)
	b.account(owner).setAsset(date, total)
	return err
}

func (b *Book) restoreDeal(r Row, id, ordinal string) error {
	a := b.account(id)
	n, err := strconv.ParseInt(ordinal, 10, 64)
	if want := int64(len(a.deals)) + 1; err != nil || n != want {
		return fmt.Errorf("ordinal %d expected", want)
	}
	deal, err := decode[Deal](r)
	deal.AccountID, deal.Ordinal = id, n
	a.deals = append(a.deals, deal)
	return err
}

// strategyEntry is the entry of a code, made when missing.
func (b *Book) strategyEntry(code string) *strategy {
	s := b.strategies[code]
	if s == nil {
		s = &strategy{}
		b.strategies[code] = s
	}
	return s
}

// userEntry is the entry of a name, made when missing.
func (b *Book) userEntry(name string) *user {
	u := b.users[name]
	if u == nil {
		u = &user{}
		b.users[name] = u
	}
	return u
}

func decode[T any](r Row) (T, error) {
	var v T
	err := json.Unmarshal([]byte(r.Value), &v, rowFormat)
	return v, err
}

func split(key string) (first, second string, err error) {
	first, second, ok := strings.Cut(key, "/")
	if !ok {
		return "", "", fmt.Errorf("key without '/'")
	}
	return first, second, nil
}
