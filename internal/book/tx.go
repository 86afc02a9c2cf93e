package book

import (
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Tx applies events that may have to be taken back together, as an atomic
// request needs. Check each event against the Book itself, apply it through
// the Tx; dropping a Tx without Rollback keeps what it applied.
//
// Until Rollback or the drop, nothing else may apply to the Book. A Book with
// History refuses to begin one: it panics.
type Tx struct {
	book *Book
	undo []func()
}

// Begin starts a Tx; it costs nothing until Apply.
func (b *Book) Begin() *Tx {
	if b.keep.History {
		panic("book: a Book with History takes nothing back")
	}
	return &Tx{book: b}
}

// Apply is Book.Apply, remembered.
func (tx *Tx) Apply(e *events.Event) {
	tx.undo = append(tx.undo, tx.book.preimage(e))
	tx.book.Apply(e)
}

// Rollback leaves the Book as it was at Begin.
func (tx *Tx) Rollback() {
	for i := len(tx.undo) - 1; i >= 0; i-- {
		tx.undo[i]()
	}
	tx.undo = nil
}

// preimage remembers what e may change, and returns the way back. Entries are
// copied by value: the fold never changes a role slice or a parameter text in
// place.
func (b *Book) preimage(e *events.Event) (undo func()) {
	switch d := e.Data.(type) {
	case *events.PositionOpened:
		return b.positionImage(d.AccountID, d.StockCode)
	case *events.PositionHeldDaysSet:
		return b.positionImage(d.AccountID, d.StockCode)
	case *events.PositionPriceMarked:
		return b.positionImage(d.AccountID, d.StockCode)
	case *events.PositionClosed:
		return b.positionImage(d.AccountID, d.StockCode)
	case *events.PositionDaysIncremented:
		return b.accountImage(d.AccountID)
	case *events.AccountCreated:
		return b.accountImage(d.AccountID)
	case *events.AccountUpdated:
		return b.accountImage(d.AccountID)
	case *events.CapitalUpdated:
		return b.accountImage(d.AccountID)
	case *events.AccountStatusChanged:
		return b.accountImage(d.AccountID)
	case *events.StrategyBound:
		return b.bindingImage(d.AccountID, d.StrategyCode)
	case *events.BindingChanged:
		return b.bindingImage(d.AccountID, d.StrategyCode)
	case *events.StrategyUnbound:
		return b.bindingImage(d.AccountID, d.StrategyCode)
	case *events.StrategyCreated:
		return both(mapImage(b.names, d.StrategyName), b.strategyImage(d.StrategyCode, 0))
	case *events.StrategyUpdated:
		return b.strategyImage(d.StrategyCode, 0)
	case *events.StrategyStatusChanged:
		return b.strategyImage(d.StrategyCode, 0)
	case *events.ParamSaved:
		return b.strategyImage(d.StrategyCode, d.Version)
	case *events.ParamActivated:
		return b.strategyImage(d.StrategyCode, d.Version)
	case *events.UserRegistered:
		return both(mapImage(b.emails, strings.ToLower(d.Email)), b.userImage(d.Username))
	case *events.UserLoggedIn:
		return b.userImage(d.Username)
	case *events.UserLoginFailed:
		return b.userImage(d.Username)
	case *events.UserStatusChanged:
		return b.userImage(d.Username)
	case *events.UserPasswordChanged:
		return b.userImage(d.Username)
	case *events.RoleGranted:
		return b.userImage(d.Username)
	case *events.RoleRevoked:
		return b.userImage(d.Username)
	}
	return func() {}
}

func both(first, second func()) func() {
	return func() { first(); second() }
}

// mapImage brings one entry of a map back.
func mapImage[K comparable, V any](m map[K]V, key K) func() {
	old, had := m[key]
	return func() {
		if had {
			m[key] = old
		} else {
			delete(m, key)
		}
	}
}

func (b *Book) accountImage(id string) func() {
	a := b.accounts[id]
	if a == nil {
		return func() { delete(b.accounts, id) }
	}
	head := a.accountHead
	return func() { a.accountHead = head }
}

func (b *Book) positionImage(id, stock string) func() {
	a := b.accounts[id]
	if a == nil {
		return func() { delete(b.accounts, id) }
	}
	return both(b.accountImage(id), mapImage(a.positions, stock))
}

func (b *Book) bindingImage(id, code string) func() {
	a := b.accounts[id]
	if a == nil {
		return func() { delete(b.accounts, id) }
	}
	if a.bindings == nil {
		return both(b.accountImage(id), func() { a.bindings = nil })
	}
	return both(b.accountImage(id), mapImage(a.bindings, code))
}

func (b *Book) strategyImage(code string, version int64) func() {
	s := b.strategies[code]
	if s == nil {
		return func() { delete(b.strategies, code) }
	}
	head := s.strategyHead
	back := func() { s.strategyHead = head }
	if s.params == nil {
		return both(back, func() { s.params = nil })
	}
	return both(back, mapImage(s.params, version))
}

func (b *Book) userImage(name string) func() {
	u := b.users[name]
	if u == nil {
		return func() { delete(b.users, name) }
	}
	old := *u
	return func() { *u = old }
}
