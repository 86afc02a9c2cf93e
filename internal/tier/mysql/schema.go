package mysql

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/pressly/goose/v3"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// prepare brings the live tables to the schema that this program knows, once.
// It decides about tables without a checkpoint, and makes those anew that
// somebody dropped.
func (t *Tier) prepare(ctx context.Context) error {
	if t.ready {
		return nil
	}
	// Mostly there is nothing to do, and no need to wait for those who do.
	l, err := t.look(ctx, t.db)
	if err == nil && !l.complete(t.schema) {
		err = t.prepareAlone(ctx)
	}
	if err != nil {
		return fmt.Errorf("prepare the tables: %w", err)
	}
	t.ready = true
	return nil
}

func (t *Tier) prepareAlone(ctx context.Context) error {
	conn, unlock, err := t.lockSchema(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	return t.migrate(ctx, conn)
}

// migrations are the embedded ones, to be run on connections of their own.
func (t *Tier) migrations() (*goose.Provider, error) {
	files, err := fs.Sub(migrationFiles, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectMySQL, t.ddl, files,
		goose.WithTableName(schemaTable), goose.WithDisableGlobalRegistry(true))
}

// newestMigration is the number of the last one: they are numbered from 1.
func newestMigration() int64 {
	files, err := migrationFiles.ReadDir("migrations")
	if err != nil {
		panic(fmt.Sprintf("mysql: embedded migrations: %v", err)) // they are part of the program
	}
	return int64(len(files))
}

// lockSchema takes the lock that serializes all that makes, renames and drops
// tables, on a connection of its own. It ends with the connection, so a kill
// leaves none behind.
func (t *Tier) lockSchema(ctx context.Context) (*sql.Conn, func(), error) {
	conn, err := t.ddl.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	// Lock names are the server's, not the database's, and at most 64 long.
	name := fmt.Sprintf("tapedeck-%x", sha256.Sum256([]byte(t.database)))[:48]
	var got sql.NullInt64
	if err := conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, 10)", name).Scan(&got); err != nil {
		conn.Close()
		return nil, nil, err
	}
	if got.Int64 != 1 {
		conn.Close()
		return nil, nil, errors.New("another process is making or renaming tables")
	}
	return conn, func() {
		// Also when ctx has ended: the connection goes back to the pool.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), ioTimeout)
		defer cancel()
		if _, err := conn.ExecContext(ctx, "DO RELEASE_LOCK(?)", name); err != nil {
			discard(conn)
		}
		conn.Close()
	}, nil
}

// discard keeps a connection from going back to the pool.
func discard(conn *sql.Conn) {
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

// look is what lies in the database.
type look struct {
	tables  map[string]bool
	version int64
	missing []string // of ours, live
	present []string // of ours, live, without the checkpoint's
	started bool     // the checkpoint's row is there
}

// complete tells that there is nothing to do for a program that knows a schema.
func (l look) complete(schema int64) bool {
	return l.version == schema && len(l.missing) == 0 && l.started
}

func (t *Tier) look(ctx context.Context, q querier) (look, error) {
	l := look{tables: make(map[string]bool)}
	names, err := column(ctx, q, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
	if err != nil {
		return l, err
	}
	for _, name := range names {
		l.tables[name] = true
	}
	for _, name := range slices.Concat(swapped, predefined) {
		if l.tables[name] {
			l.present = append(l.present, name)
		} else {
			l.missing = append(l.missing, name)
		}
	}
	if l.tables[schemaTable] {
		if err := q.QueryRowContext(ctx, "SELECT COALESCE(MAX(version_id), -1) FROM "+schemaTable).Scan(&l.version); err != nil {
			return l, err
		}
	}
	if l.tables[checkpointTable] {
		err = q.QueryRowContext(ctx, "SELECT COUNT(*) > 0 FROM "+checkpointTable).Scan(&l.started)
	}
	return l, err
}

func (t *Tier) migrate(ctx context.Context, conn *sql.Conn) error {
	l, err := t.look(ctx, conn)
	if err != nil {
		return err
	}
	if !l.tables[checkpointTable] && len(l.present) > 0 {
		if err := t.putAside(ctx, conn, l); err != nil {
			return err
		}
	}
	if l.version > t.schema {
		return errNewer(l.version, t.schema)
	}
	switch lost := len(l.missing) > 0; {
	case !l.tables[checkpointTable] || l.version < 0:
		// Nothing was made yet, or all of it is gone, or a kill came between
		// the migrations' own table and its first row.
		err = dropTables(ctx, conn, schemaTable)
	case lost && l.version == t.schema:
		err = t.clear(ctx, conn, l)
	case l.version == t.schema:
		return t.completeCheckpoint(ctx, conn)
	}
	if err != nil {
		return err
	}
	// The contents beside the live ones can be built again; that spares every
	// migration from looking after three of each table.
	if err := dropTables(ctx, conn, append(reversed(shadowed.all()), reversed(previous.all())...)...); err != nil {
		return err
	}
	provider, err := t.migrations()
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return err
	}
	if l.version > 0 && len(l.missing) > 0 {
		return t.migrate(ctx, conn) // of an older schema and with holes: now the holes
	}
	return t.completeCheckpoint(ctx, conn)
}

// clear drops what is left of a tier that lost tables: it starts from the first
// event again. The hold stays. A kill on the way leaves tables missing still.
func (t *Tier) clear(ctx context.Context, conn *sql.Conn, l look) error {
	_, err := conn.ExecContext(ctx, "UPDATE "+checkpointTable+" SET sequence = 0, chain = ?", eventlog.Chain{}.String())
	if err != nil {
		return err
	}
	drop := slices.Concat(reversed(shadowed.all()), reversed(previous.all()), []string{"role_permission", "user_role", "strategy_param", "account_strategy"},
		l.present, []string{schemaTable})
	return dropTables(ctx, conn, drop...)
}

// completeCheckpoint decides about tables of ours without the checkpoint's row.
func (t *Tier) completeCheckpoint(ctx context.Context, conn *sql.Conn) error {
	var rows, contents int
	if err := conn.QueryRowContext(ctx, live.sql("SELECT COUNT(*) FROM {checkpoint}")).Scan(&rows); err != nil || rows > 0 {
		return err
	}
	if err := conn.QueryRowContext(ctx, live.sql("SELECT EXISTS(SELECT 1 FROM {account}) + EXISTS(SELECT 1 FROM {strategy}) + EXISTS(SELECT 1 FROM {user})")).Scan(&contents); err != nil {
		return err
	}
	if contents > 0 {
		if !t.takeOver {
			return fmt.Errorf("the tables hold rows, but %s holds none; choose another database, or let Tapedeck delete the rows with --take-over: %w",
				checkpointTable, projector.ErrForeignData)
		}
		for _, name := range reversed(swapped) {
			if _, err := conn.ExecContext(ctx, "DELETE FROM "+quoted(name)); err != nil {
				return err
			}
		}
	}
	_, err := conn.ExecContext(ctx, live.sql("INSERT IGNORE INTO {checkpoint} (id, sequence, chain) VALUES (1, 0, ?)"), eventlog.Chain{}.String())
	return err
}

// putAside renames tables that have our names and no checkpoint of ours.
func (t *Tier) putAside(ctx context.Context, conn *sql.Conn, l look) error {
	if !t.takeOver {
		return fmt.Errorf("there is a table %s, but no %s; choose another database, or let Tapedeck rename such tables to %s… with --take-over: %w",
			l.present[0], checkpointTable, foreignPrefix, projector.ErrForeignData)
	}
	pairs := make([]string, 0, len(l.present))
	for _, name := range l.present {
		if l.tables[foreignPrefix+name] {
			return fmt.Errorf("table %s cannot be put aside: there is a table %s already: %w", name, foreignPrefix+name, projector.ErrRefused)
		}
		pairs = append(pairs, quoted(name)+" TO "+quoted(foreignPrefix+name))
	}
	return execDDL(ctx, conn, "RENAME TABLE "+strings.Join(pairs, ", "))
}

func errNewer(found, known int64) error {
	return fmt.Errorf("the tables have schema %d, this program knows up to %d: use the newer program: %w", found, known, projector.ErrRefused)
}

// dropTables drops those that are there, in the order given: children first.
func dropTables(ctx context.Context, conn *sql.Conn, names ...string) error {
	for _, name := range names {
		if err := execDDL(ctx, conn, "DROP TABLE IF EXISTS "+quoted(name)); err != nil {
			return err
		}
	}
	return nil
}

const (
	// ddlPatience is how long a statement that needs tables for itself is tried.
	// Each try waits a second at most (see Open), for readers queue behind it.
	ddlPatience = 30 * time.Second
	ddlPause    = 100 * time.Millisecond
)

// execDDL runs a statement that needs tables for itself.
func execDDL(ctx context.Context, conn *sql.Conn, statement string) error {
	for began := time.Now(); ; {
		_, err := conn.ExecContext(ctx, statement)
		switch number(err) {
		case errLockWait, errDeadlock:
		default:
			return err
		}
		if time.Since(began) > ddlPatience {
			return fmt.Errorf("somebody's transaction keeps the tables for longer than %s: %w", ddlPatience, err)
		}
		select {
		case <-time.After(ddlPause):
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		}
	}
}

func reversed(names []string) []string {
	names = slices.Clone(names)
	slices.Reverse(names)
	return names
}

// querier is a connection or a transaction.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// column reads a result of one column of text.
func column(ctx context.Context, q querier, query string, args ...any) ([]string, error) {
	var values []string
	err := each(ctx, q, query, args, func(r record) error {
		values = append(values, r[0].String)
		return nil
	})
	return values, err
}
