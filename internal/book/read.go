package book

import (
	"cmp"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// AccountIDs lists every account id that anything is known of, created or not,
// sorted.
func (b *Book) AccountIDs() []string {
	ids := sortedKeys(b.accounts, strings.Compare)
	return slices.DeleteFunc(ids, func(id string) bool {
		a := b.accounts[id]
		return a.row.ID == "" && a.incDate == 0 && len(a.positions)+len(a.deals)+len(a.assets) == 0
	})
}

// Accounts lists the created accounts, sorted by id.
func (b *Book) Accounts() []Account {
	list := make([]Account, 0, len(b.accounts))
	for _, id := range sortedKeys(b.accounts, strings.Compare) {
		if a := b.accounts[id]; a.row.ID != "" {
			list = append(list, a.row)
		}
	}
	return list
}

// Positions lists what is known of an account's stocks, sorted by code.
func (b *Book) Positions(accountID string) []Position {
	a := b.accounts[accountID]
	if a == nil {
		return nil
	}
	list := make([]Position, 0, len(a.positions))
	for _, stock := range sortedKeys(a.positions, strings.Compare) {
		p := a.positions[stock]
		position := Position{StockCode: stock, Open: p.open, MaxPrice: p.max, MinPrice: p.min}
		if p.open {
			position.HeldDays = a.incs - p.base
		}
		list = append(list, position)
	}
	return list
}

// IncDate is the date of the account's last days_incremented; 0 before the
// first.
func (b *Book) IncDate(accountID string) events.Date {
	if a := b.accounts[accountID]; a != nil {
		return a.incDate
	}
	return 0
}

// Trades lists the trades by sequence. It needs Keep.History. The slice and
// what it points to are the Book's own: do not change them.
func (b *Book) Trades() []Trade {
	bySequence := func(x, y Trade) int { return cmp.Compare(x.Sequence, y.Sequence) }
	if slices.IsSortedFunc(b.trades, bySequence) {
		return b.trades
	}
	return slices.SortedStableFunc(slices.Values(b.trades), bySequence)
}

// Deals lists an account's deals by ordinal. It needs Keep.History. The slice
// is the Book's own: do not change it.
func (b *Book) Deals(accountID string) []Deal {
	if a := b.accounts[accountID]; a != nil {
		return a.deals
	}
	return nil
}

// Assets lists an account's total assets by date. It needs Keep.History.
func (b *Book) Assets(accountID string) []Asset {
	a := b.accounts[accountID]
	if a == nil {
		return nil
	}
	list := make([]Asset, 0, len(a.assets))
	for _, date := range sortedKeys(a.assets, cmp.Compare) {
		list = append(list, Asset{AccountID: accountID, Date: date, Total: a.assets[date]})
	}
	return list
}

// Strategies lists the strategies, sorted by code.
func (b *Book) Strategies() []Strategy {
	list := make([]Strategy, 0, len(b.strategies))
	for _, code := range sortedKeys(b.strategies, strings.Compare) {
		if s := b.strategies[code]; s.row.Code != "" {
			list = append(list, s.row)
		}
	}
	return list
}

// Bindings lists the bindings in the order of their rows' keys.
func (b *Book) Bindings() []Binding {
	var list []Binding
	for _, id := range sortedKeys(b.accounts, asFolders) {
		a := b.accounts[id]
		for _, code := range sortedKeys(a.bindings, strings.Compare) {
			list = append(list, a.bindings[code])
		}
	}
	return list
}

// Params lists all parameter versions, sorted by code, then version.
func (b *Book) Params() []Param {
	var list []Param
	for _, code := range sortedKeys(b.strategies, asFolders) {
		s := b.strategies[code]
		for _, version := range sortedKeys(s.params, cmp.Compare) {
			p := s.params[version]
			p.Active = version == s.active
			list = append(list, p)
		}
	}
	return list
}

// Users lists the users, sorted by name.
func (b *Book) Users() []User {
	list := make([]User, 0, len(b.users))
	for _, name := range sortedKeys(b.users, strings.Compare) {
		if u := b.users[name]; u.row.Username != "" {
			list = append(list, u.row)
		}
	}
	return list
}

// UserRoles lists the users' roles, sorted by name, then role.
func (b *Book) UserRoles() []UserRole {
	var list []UserRole
	for _, name := range sortedKeys(b.users, asFolders) {
		for _, role := range b.users[name].roles {
			list = append(list, UserRole{Username: name, Role: role})
		}
	}
	return list
}

// Stocks lists the codes that have klines, sorted. It needs Keep.History.
func (b *Book) Stocks() []string { return sortedKeys(b.klines, asFolders) }

// Klines lists a stock's bars by date. It needs Keep.History.
func (b *Book) Klines(stockCode string) []Kline {
	bars := b.klines[stockCode]
	list := make([]Kline, 0, len(bars))
	for _, date := range sortedKeys(bars, cmp.Compare) {
		list = append(list, Kline{StockCode: stockCode, Bar: bars[date]})
	}
	return list
}
