// Package projector keeps one tier up to date: read → batch → apply and
// checkpoint in one atomic step. It declares Tier, the one abstraction that
// carries the system; projectortest is the suite that every Tier must pass.
package projector

import (
	"context"
	"errors"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Errors that a Tier reports by wrapping.
var (
	// ErrConflict: the tier's checkpoint is not Batch.From; nothing was
	// applied. Another projector, a rebuild or a crash moved it.
	ErrConflict = errors.New("another writer moved the checkpoint")
	// ErrForeignData: the tier holds data but no checkpoint of ours.
	ErrForeignData = errors.New("tier holds data that Tapedeck did not write")
	// ErrRefused: the tier was written by a newer schema, or a setting does
	// not fit. Retrying does not help.
	ErrRefused = errors.New("refused")
	// ErrHeld: a Hold keeps the tier from going where the batch leads; nothing
	// was applied.
	ErrHeld = errors.New("the tier is held")
	// ErrNoPrevious: nothing was promoted over yet, or it was discarded.
	ErrNoPrevious = errors.New("the tier keeps no previous contents")
)

// Batch is a run of consecutive log events for one atomic step.
type Batch struct {
	// From is the checkpoint that the tier must hold; To the one it gets.
	From, To eventlog.Checkpoint
	// Events are those of (From.Sequence, To.Sequence] that pass the reader's
	// filter, in log order. It may be empty: then only the checkpoint moves.
	Events []*events.Event
	// Parking is what the reader believes that the tier leaves out, as
	// Hold.Parking: the tier refuses a batch that believes otherwise.
	Parking string
}

// Tier is one materialized view of the log. Methods may be called from one
// goroutine at a time; two Tiers over the same store may run at once.
type Tier interface {
	// Name is "redis", "mysql", "clickhouse" or "file".
	Name() string
	// Kinds lists the kinds of rows that the tier holds.
	Kinds() []book.Kind
	// Checkpoint says how far the tier is; the zero Checkpoint when it is
	// empty. It wraps ErrForeignData when there is data but no checkpoint.
	Checkpoint(ctx context.Context) (eventlog.Checkpoint, error)
	// Apply changes the contents and moves the checkpoint from b.From to b.To
	// in one atomic step: after a crash at any instant, either both or
	// neither. It wraps ErrConflict when the checkpoint is not b.From. Any
	// other error leaves it unknown whether the step was taken: ask
	// Checkpoint before going on.
	Apply(ctx context.Context, b Batch) error
	// Dump yields the contents as canonical rows, ordered by kind as Kinds
	// lists them, then by key bytewise: all as of one instant, and as of the
	// checkpoint that it returns, also while a projector goes on.
	Dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error)
	// Close releases connections; it writes nothing.
	Close() error
}

// Shadow is a tier being built beside the live one.
type Shadow interface {
	Tier
	// Promote swaps the shadow into the live tier's place in one atomic step,
	// checkpoint included, under the given hold (the zero Hold for none).
	// Readers see the old contents or the new, nothing between. A projector on
	// the live tier meets ErrConflict and goes on from the new checkpoint. What
	// was live is kept as the previous contents; what was previous is dropped.
	Promote(ctx context.Context, hold Hold) error
	// Hold is the hold that lies on these contents: only previous ones have one.
	Hold(ctx context.Context) (Hold, error)
	// Discard removes the shadow. Discarding a promoted shadow does nothing.
	Discard(ctx context.Context) error
}

// Live is a tier that readers use, and that replay can steer while its projector
// runs: every tier but the one in memory.
type Live interface {
	Tier
	// Shadow opens the tier of the same kind that is being built beside this
	// one under the given plan: with what it holds already when an earlier run
	// began it under the same plan, else empty. What another plan left there is
	// dropped. A plan is a text that says what the shadow shall become.
	Shadow(ctx context.Context, plan string) (Shadow, error)
	// Hold is the hold that lies on the tier; the zero Hold when none does.
	Hold(ctx context.Context) (Hold, error)
	// SetHold puts a hold on the tier in place of the one that Hold told; the
	// zero Hold releases it. It wraps ErrConflict when another lies there by
	// now, and when the tier is past hold.Until already. From its return on, no
	// Apply passes the hold, not even one that began before.
	SetHold(ctx context.Context, was, hold Hold) error
	// Previous is what the last Promote replaced. It can be dumped, promoted
	// (live and previous change places), or discarded; it wraps ErrNoPrevious
	// when there is none.
	Previous(ctx context.Context) (Shadow, error)
	// Repair makes the changes in one atomic step and leaves the checkpoint as
	// it is. It wraps ErrConflict when the checkpoint is not at.
	Repair(ctx context.Context, at eventlog.Checkpoint, changes []Change) error
}

// Change is what one row shall be; a nil Value removes it.
type Change struct {
	Kind  book.Kind
	Key   string
	Value *string
}
