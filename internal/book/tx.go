package book

import "github.com/seed-744e3d1b/tapedeck/events"

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
