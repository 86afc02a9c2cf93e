package mysql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// shadow is a Tier in tables beside the live ones: being built, or previous.
// owner, a random text in the checkpoint's row, keeps two rebuilds at once from
// mixing: the one begun later wins.
type shadow struct {
	Tier
	live *Tier
}

var _ projector.Shadow = (*shadow)(nil)

func (t *Tier) beside(names naming, owner string) *shadow {
	return &shadow{Tier{db: t.db, ddl: t.ddl, names: names, database: t.database, schema: t.schema, ready: true, owner: owner}, t}
}

// Shadow implements projector.Live. It is refused, as a projector would be,
// where the live place holds foreign data.
func (t *Tier) Shadow(ctx context.Context, plan string) (projector.Shadow, error) {
	const op = "open shadow"
	if _, err := t.read(ctx); err != nil {
		return nil, wrap(op, err)
	}
	conn, unlock, err := t.lockSchema(ctx)
	if err != nil {
		return nil, wrap(op, err)
	}
	defer unlock()
	s := t.beside(shadowed, rand.Text())
	found, err := shadowed.readState(ctx, conn, "LOCK IN SHARE MODE")
	switch {
	case err == nil && found.plan == plan:
		_, err = conn.ExecContext(ctx, shadowed.sql("UPDATE {checkpoint} SET owner = ? WHERE id = 1"), s.owner)
	case err == nil || errors.Is(err, errGone):
		err = s.begin(ctx, conn, plan)
	}
	if err != nil {
		return nil, wrap(op, err)
	}
	return s, nil
}

// begin makes empty tables as the live ones are. The checkpoint's row comes
// last: a shadow without it was not finished and is dropped by the next one.
func (s *shadow) begin(ctx context.Context, conn *sql.Conn, plan string) error {
	if err := s.drop(ctx, conn); err != nil {
		return err
	}
	for _, base := range append(swapped[:len(swapped):len(swapped)], checkpointBase) {
		var name, statement string
		if err := conn.QueryRowContext(ctx, "SHOW CREATE TABLE "+quoted(live.table(base))).Scan(&name, &statement); err != nil {
			return err
		}
		if err := execDDL(ctx, conn, s.names.copyOf(base, statement)); err != nil {
			return err
		}
	}
	_, err := conn.ExecContext(ctx, s.names.sql("INSERT INTO {checkpoint} (id, sequence, chain, plan, owner) VALUES (1, 0, ?, ?, ?)"),
		eventlog.Chain{}.String(), plan, s.owner)
	return err
}

var (
	// Names of constraints are the database's, so that a copy needs others: the
	// server finds them, from the table's name, and changes them when that does.
	constraintName = regexp.MustCompile("CONSTRAINT `[^`]+` (FOREIGN KEY|CHECK)")
	references     = regexp.MustCompile("REFERENCES `([^`]+)`")
	nextID         = regexp.MustCompile(` AUTO_INCREMENT=\d+`)
)

// copyOf turns the statement that makes a live table into one that makes this
// naming's: its foreign keys lead to this naming's tables.
func (n naming) copyOf(base, statement string) string {
	statement = strings.Replace(statement, quoted(live.table(base)), quoted(n.table(base)), 1)
	statement = constraintName.ReplaceAllString(statement, "$1")
	statement = nextID.ReplaceAllString(statement, "")
	return references.ReplaceAllStringFunc(statement, func(found string) string {
		for _, base := range swapped {
			if found == "REFERENCES "+quoted(live.table(base)) {
				return "REFERENCES " + quoted(n.table(base))
			}
		}
		return found
	})
}

// Previous implements projector.Live.
func (t *Tier) Previous(ctx context.Context) (projector.Shadow, error) {
	const op = "open previous"
	if _, err := t.read(ctx); err != nil {
		return nil, wrap(op, err)
	}
	found, err := previous.readState(ctx, t.db, "LOCK IN SHARE MODE")
	if errors.Is(err, errGone) {
		return nil, wrap(op, projector.ErrNoPrevious)
	}
	if err != nil {
		return nil, wrap(op, err)
	}
	return t.beside(previous, found.owner), nil
}

// Close leaves the connections to the live tier.
func (s *shadow) Close() error { return nil }

// Hold implements projector.Shadow.
func (s *shadow) Hold(ctx context.Context) (projector.Hold, error) {
	if s.names.prefix != previous.prefix {
		return projector.Hold{}, nil
	}
	return s.Tier.Hold(ctx)
}

// Promote implements projector.Shadow: one RENAME for all tables. It waits for
// transactions that use them, and readers wait behind it: each try a second at
// most, thirty in all, then the error is transient.
func (s *shadow) Promote(ctx context.Context, hold projector.Hold) error {
	return wrap("promote", s.exclusively(ctx, func(conn *sql.Conn) error {
		if err := s.names.storeHold(ctx, conn, hold); err != nil {
			return err
		}
		if s.names.prefix == previous.prefix {
			return rename(ctx, conn, move{live, between}, move{previous, live}, move{between, previous})
		}
		if err := dropTables(ctx, conn, reversed(previous.all())...); err != nil {
			return err
		}
		return rename(ctx, conn, move{live, previous}, move{s.names, live})
	}))
}

// Discard implements projector.Shadow. It drops nothing of another rebuild's.
func (s *shadow) Discard(ctx context.Context) error {
	err := s.exclusively(ctx, func(conn *sql.Conn) error { return s.drop(ctx, conn) })
	if errors.Is(err, projector.ErrConflict) {
		return nil
	}
	return wrap("discard", err)
}

// drop drops the tables, the checkpoint's first: without it they are leftovers.
func (s *shadow) drop(ctx context.Context, conn *sql.Conn) error {
	return dropTables(ctx, conn, reversed(s.names.all())...)
}

// exclusively calls f while nobody else makes or renames tables and the shadow
// is known to be ours.
func (s *shadow) exclusively(ctx context.Context, f func(conn *sql.Conn) error) error {
	conn, unlock, err := s.lockSchema(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := s.check(s.names.readState(ctx, conn, "LOCK IN SHARE MODE")); err != nil {
		return err
	}
	return f(conn)
}

// move renames all tables of one naming.
type move struct{ from, to naming }

// rename makes all moves in one atomic statement.
func rename(ctx context.Context, conn *sql.Conn, moves ...move) error {
	var pairs []string
	for _, m := range moves {
		to := m.to.all()
		for i, from := range m.from.all() {
			pairs = append(pairs, fmt.Sprintf("%s TO %s", quoted(from), quoted(to[i])))
		}
	}
	return execDDL(ctx, conn, "RENAME TABLE "+strings.Join(pairs, ", "))
}
