// Package memory is the tier that lives in memory: a book with a checkpoint.
// It is what every other tier is compared with, and the way to look at the log
// as of any moment.
package memory

import (
	"context"
	"fmt"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Tier is a book with a checkpoint. It is not safe for concurrent use.
type Tier struct {
	kinds []book.Kind
	book  *book.Book
	at    eventlog.Checkpoint
}

var _ projector.Tier = (*Tier)(nil)

// New is an empty tier that dumps the given kinds. Trades, deals, assets and
// klines are kept only when one of the kinds asks for them.
func New(kinds []book.Kind) *Tier {
	keep := book.Keep{}
	for _, kind := range kinds {
		switch kind {
		case book.KindTrade, book.KindDeal, book.KindAsset, book.KindKline:
			keep.History = true
		}
	}
	return &Tier{kinds: kinds, book: book.New(keep)}
}

// At is a tier without kinds whose contents are a book as of a checkpoint.
func At(b *book.Book, at eventlog.Checkpoint) *Tier { return &Tier{book: b, at: at} }

// Name implements projector.Tier.
func (t *Tier) Name() string { return "memory" }

// Kinds implements projector.Tier.
func (t *Tier) Kinds() []book.Kind { return t.kinds }

// Checkpoint implements projector.Tier; it never fails.
func (t *Tier) Checkpoint(context.Context) (eventlog.Checkpoint, error) { return t.at, nil }

// Apply implements projector.Tier.
func (t *Tier) Apply(_ context.Context, b projector.Batch) error {
	if b.From != t.at {
		return fmt.Errorf("memory: checkpoint is %d, batch starts after %d: %w", t.at.Sequence, b.From.Sequence, projector.ErrConflict)
	}
	for _, e := range b.Events {
		t.book.Apply(e)
	}
	t.at = b.To
	return nil
}

// Dump implements projector.Tier.
func (t *Tier) Dump(_ context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	return t.at, t.book.Rows(t.kinds, yield)
}

// Close implements projector.Tier.
func (t *Tier) Close() error { return nil }

// Book is the state at the checkpoint, for reading.
func (t *Tier) Book() *book.Book { return t.book }
