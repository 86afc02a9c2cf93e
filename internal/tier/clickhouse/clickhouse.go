// Package clickhouse is the cool tier: every trade and every daily kline, in
// ClickHouse.
package clickhouse

import (
	"context"
	"errors"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Options says which ClickHouse to use and how.
type Options struct {
	// DSN is clickhouse://user:password@host:port/database, or http(s)://… for
	// ClickHouse's HTTP door. The database is created when it is missing.
	DSN string
	// TakeOver allows to put tables named trade and daily_kline aside that
	// Tapedeck did not make.
	TakeOver bool
}

// Tier is the live tier in one database.
type Tier struct {
	conn driver.Conn
}

var _ projector.Steered = (*Tier)(nil)

var errNotYet = errors.New("clickhouse: being built")

// Open connects.
func Open(context.Context, Options) (*Tier, error) { return nil, errNotYet }

// Name implements projector.Tier.
func (t *Tier) Name() string { return "clickhouse" }

// Kinds implements projector.Tier.
func (t *Tier) Kinds() []book.Kind { return []book.Kind{book.KindTrade, book.KindKline} }

// Close implements projector.Tier.
func (t *Tier) Close() error { return t.conn.Close() }

// Checkpoint implements projector.Tier.
func (t *Tier) Checkpoint(context.Context) (eventlog.Checkpoint, error) {
	return eventlog.Checkpoint{}, errNotYet
}

// Apply implements projector.Tier.
func (t *Tier) Apply(context.Context, projector.Batch) error { return errNotYet }

// Dump implements projector.Tier.
func (t *Tier) Dump(context.Context, func(book.Row) error) (eventlog.Checkpoint, error) {
	return eventlog.Checkpoint{}, errNotYet
}

// Shadow implements projector.Live.
func (t *Tier) Shadow(context.Context, string) (projector.Shadow, error) { return nil, errNotYet }

// Hold implements projector.Steered.
func (t *Tier) Hold(context.Context) (projector.Hold, error) { return projector.Hold{}, errNotYet }

// SetHold implements projector.Steered.
func (t *Tier) SetHold(context.Context, projector.Hold) error { return errNotYet }

// Previous implements projector.Steered.
func (t *Tier) Previous(context.Context) (projector.Shadow, error) { return nil, errNotYet }

// Repair implements projector.Steered.
func (t *Tier) Repair(context.Context, eventlog.Checkpoint, []projector.Change) error {
	return errNotYet
}
