package mysql

import (
	"context"
	"errors"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

type naming struct{}

var live naming

// Checkpoint implements projector.Tier.
func (t *Tier) Checkpoint(context.Context) (eventlog.Checkpoint, error) {
	return eventlog.Checkpoint{}, errors.ErrUnsupported
}

// Apply implements projector.Tier.
func (t *Tier) Apply(context.Context, projector.Batch) error { return errors.ErrUnsupported }

// Dump implements projector.Tier.
func (t *Tier) Dump(context.Context, func(book.Row) error) (eventlog.Checkpoint, error) {
	return eventlog.Checkpoint{}, errors.ErrUnsupported
}

// Shadow implements projector.Live.
func (t *Tier) Shadow(context.Context, string) (projector.Shadow, error) {
	return nil, errors.ErrUnsupported
}

// Hold implements projector.Steered.
func (t *Tier) Hold(context.Context) (projector.Hold, error) {
	return projector.Hold{}, errors.ErrUnsupported
}

// SetHold implements projector.Steered.
func (t *Tier) SetHold(context.Context, projector.Hold) error { return errors.ErrUnsupported }

// Previous implements projector.Steered.
func (t *Tier) Previous(context.Context) (projector.Shadow, error) {
	return nil, errors.ErrUnsupported
}

// Repair implements projector.Steered.
func (t *Tier) Repair(context.Context, eventlog.Checkpoint, []projector.Change) error {
	return errors.ErrUnsupported
}
