package book

import "github.com/seed-744e3d1b/tapedeck/events"

// AccountIDs lists every account id that anything is known of, sorted, created
// or not.
func (b *Book) AccountIDs() []string { panic("to be written") }

// Accounts lists the created accounts, sorted by id.
func (b *Book) Accounts() []Account { panic("to be written") }

// Positions lists what is known of an account's stocks, sorted by code.
func (b *Book) Positions(accountID string) []Position { panic("to be written") }

// IncDate is the date of the account's last days_incremented; 0 before the
// first.
func (b *Book) IncDate(accountID string) events.Date { panic("to be written") }

// Deals lists an account's deals by ordinal. It needs Keep.History. The slice
// is the Book's own: do not change it.
func (b *Book) Deals(accountID string) []Deal { panic("to be written") }

// Assets lists an account's total assets by date. It needs Keep.History.
func (b *Book) Assets(accountID string) []Asset { panic("to be written") }

// Strategies lists the strategies, sorted by code.
func (b *Book) Strategies() []Strategy { panic("to be written") }

// Bindings lists the bindings, sorted by account id, then code.
func (b *Book) Bindings() []Binding { panic("to be written") }

// Params lists all parameter versions, sorted by code, then version.
func (b *Book) Params() []Param { panic("to be written") }

// Users lists the users, sorted by name.
func (b *Book) Users() []User { panic("to be written") }

// UserRoles lists the users' roles, sorted by name, then role.
func (b *Book) UserRoles() []UserRole { panic("to be written") }

// Stocks lists the codes that have klines, sorted. It needs Keep.History.
func (b *Book) Stocks() []string { panic("to be written") }

// Klines lists a stock's bars by date. It needs Keep.History.
func (b *Book) Klines(stockCode string) []Kline { panic("to be written") }
