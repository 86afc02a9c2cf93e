package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// state is the checkpoint's row.
type state struct {
	at     eventlog.Checkpoint
	hold   string
	owner  string
	plan   string
	schema int64
}

// errGone is a missing checkpoint row or table: somebody dropped it.
var errGone = errors.New("the checkpoint is gone")

// readState reads the row, and locks it as lock says: "FOR UPDATE" lets one
// writer through, "LOCK IN SHARE MODE" waits for a writer to end.
func (n naming) readState(ctx context.Context, q querier, lock string) (state, error) {
	var s state
	var chain string
	err := q.QueryRowContext(ctx, n.sql("SELECT sequence, chain, COALESCE(hold, ''), COALESCE(owner, ''), COALESCE(plan, ''), "+
		"(SELECT MAX(version_id) FROM "+schemaTable+") FROM {checkpoint} WHERE id = 1 "+lock)).
		Scan(&s.at.Sequence, &chain, &s.hold, &s.owner, &s.plan, &s.schema)
	if errors.Is(err, sql.ErrNoRows) || number(err) == errNoTable {
		return s, fmt.Errorf("%s: %w", n.table(checkpointBase), errGone)
	}
	if err != nil {
		return s, err
	}
	if s.at.Chain, err = eventlog.ParseChain(chain); err != nil {
		return s, fmt.Errorf("%s is damaged: %w: %w", n.table(checkpointBase), err, projector.ErrRefused)
	}
	return s, nil
}

// check looks whether the state is one that this tier may go on from.
func (t *Tier) check(s state, err error) (state, error) {
	isLive := t.names.prefix == live.prefix
	switch {
	case errors.Is(err, errGone) && !isLive:
		return s, fmt.Errorf("the tables were promoted, discarded or replaced: %w", projector.ErrConflict)
	case errors.Is(err, errGone):
		t.ready = false // the next one looks what is missing
		return s, err
	case err != nil:
		return s, err
	case s.schema > t.schema:
		return s, errNewer(s.schema, t.schema)
	case !isLive && s.owner != t.owner:
		return s, fmt.Errorf("the tables belong to another rebuild by now: %w", projector.ErrConflict)
	}
	return s, nil
}

// read prepares the tables and reads the state; it waits for a transaction that
// has the checkpoint in hand, so that after an Apply of unknown outcome the
// answer is the last word.
func (t *Tier) read(ctx context.Context) (state, error) {
	const lock = "LOCK IN SHARE MODE"
	if err := t.prepare(ctx); err != nil {
		return state{}, err
	}
	s, err := t.check(t.names.readState(ctx, t.db, lock))
	if errors.Is(err, errGone) {
		if err := t.prepare(ctx); err != nil {
			return state{}, err
		}
		s, err = t.check(t.names.readState(ctx, t.db, lock))
	}
	return s, err
}

// write runs one transaction that has the checkpoint's row in hand: nobody else
// writes meanwhile, and nobody renames the tables. Its reads see all that was
// committed before.
func (t *Tier) write(ctx context.Context, f func(tx *sql.Tx, s state) error) error {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	tx, err := t.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing to roll back, without one the server does it
	s, err := t.check(t.names.readState(ctx, tx, "FOR UPDATE"))
	if err != nil {
		return err
	}
	if err := f(tx, s); err != nil {
		if number(err) == errNoTable {
			t.ready = false
		}
		return err
	}
	return tx.Commit()
}

// Checkpoint implements projector.Tier. It makes or migrates the tables when
// need be. A schema newer than this code knows, and a checkpoint that cannot be
// read, wrap projector.ErrRefused.
func (t *Tier) Checkpoint(ctx context.Context) (eventlog.Checkpoint, error) {
	s, err := t.read(ctx)
	if err != nil {
		return eventlog.Checkpoint{}, wrap("read checkpoint", err)
	}
	return s.at, nil
}

// Hold implements projector.Live.
func (t *Tier) Hold(ctx context.Context) (projector.Hold, error) {
	s, err := t.read(ctx)
	if err != nil {
		return projector.Hold{}, wrap("read hold", err)
	}
	return projector.ParseHold(s.hold)
}

// SetHold implements projector.Live.
func (t *Tier) SetHold(ctx context.Context, was, hold projector.Hold) error {
	return wrap("set hold", t.write(ctx, func(tx *sql.Tx, s state) error {
		if s.hold != was.Text() {
			return fmt.Errorf("another hold lies there by now: %w", projector.ErrConflict)
		}
		if !hold.IsZero() && s.at.Sequence > hold.Until {
			return fmt.Errorf("the tier is at %d already: %w", s.at.Sequence, projector.ErrConflict)
		}
		return t.names.storeHold(ctx, tx, hold)
	}))
}

func (n naming) storeHold(ctx context.Context, q querier, hold projector.Hold) error {
	_, err := q.ExecContext(ctx, n.sql("UPDATE {checkpoint} SET hold = NULLIF(?, '') WHERE id = 1"), hold.Text())
	return err
}

// Apply implements projector.Tier: one transaction for the whole batch. What
// the tables cannot go on from, such as a row that was changed into nonsense by
// hand, wraps projector.ErrRefused and nothing is applied.
func (t *Tier) Apply(ctx context.Context, b projector.Batch) error {
	op := fmt.Sprintf("apply %d–%d", b.From.Sequence+1, b.To.Sequence)
	return wrap(op, t.write(ctx, func(tx *sql.Tx, s state) error {
		if s.at != b.From {
			return fmt.Errorf("the tier is at %d: %w", s.at.Sequence, projector.ErrConflict)
		}
		hold, err := projector.ParseHold(s.hold)
		if err != nil {
			return err
		}
		// What lies on a shadow is the hold that it shall be promoted under.
		if t.names.prefix != shadowed.prefix {
			if err := hold.Admits(b, time.Now()); err != nil {
				return err
			}
		}
		if err := t.fold(ctx, tx, b.Events); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, t.names.sql("UPDATE {checkpoint} SET sequence = ?, chain = ? WHERE id = 1"), b.To.Sequence, b.To.Chain.String())
		return err
	}))
}
