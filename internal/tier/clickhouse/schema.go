package clickhouse

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// The migrations, in the order of their numbers from 1. A migration is never
// changed once released; each of its statements may be repeated, for ClickHouse
// has no transactions: a kill in the middle is mended by running it again.
//
//go:embed migrations/*.sql
var migrationFiles embed.FS

// schemaVersion is what this code writes and the newest that it knows.
const schemaVersion = 3

// migrations returns the statements of each version.
func migrations() ([][]string, error) {
	names, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	all := make([][]string, len(names))
	for i, name := range names {
		text, err := fs.ReadFile(migrationFiles, name)
		if err != nil {
			return nil, err
		}
		for statement := range strings.SplitSeq(string(text), ";\n") {
			if statement = strings.TrimSpace(statement); statement != "" {
				all[i] = append(all[i], statement)
			}
		}
	}
	return all, nil
}

func errSchema(found int) error {
	return fmt.Errorf("the tier has schema %d, this program knows %d: use the newer program, or another database: %w", found, schemaVersion, projector.ErrRefused)
}

// layout is what is there under our names: engines by table.
type layout map[string]string

var (
	viewNames  = []string{"trade", "daily_kline"}
	tableNames = []string{"tapedeck_state", tradeTable, klineTable}
)

const (
	tradeTable  = "tapedeck_trade"
	klineTable  = "tapedeck_daily_kline"
	schemaTable = "tapedeck_schema"
)

func (l layout) missing(names []string) bool {
	for _, name := range names {
		if l[name] == "" {
			return true
		}
	}
	return false
}

// ensure makes the database, tables and views that are missing and migrates old
// ones. It wraps projector.ErrForeignData when something else bears the name of
// a view. Contents whose table someone dropped are gone: the tier is empty then.
func (s *store) ensure(ctx context.Context) error {
	err := s.ensureTables(ctx)
	if isCode(err, codeUnknownDatabase) {
		if err = s.createDatabase(ctx); err == nil {
			err = s.ensureTables(ctx)
		}
	}
	s.ready.Store(err == nil)
	return err
}

// ensureOnce is ensure for whoever need not notice what was dropped since.
func (s *store) ensureOnce(ctx context.Context) error {
	if s.ready.Load() {
		return nil
	}
	return s.ensure(ctx)
}

func (s *store) ensureTables(ctx context.Context) error {
	found, err := s.layout(ctx)
	if err != nil {
		return err
	}
	if err := s.makeRoom(ctx, found); err != nil {
		return err
	}
	if s.ready.Load() && !found.missing(tableNames) && !found.missing(viewNames) {
		return nil // whoever migrates them under us writes the schema into the state
	}
	version := 0
	if found[schemaTable] != "" {
		if version, err = s.version(ctx); err != nil {
			return err
		}
	}
	if version > schemaVersion {
		return errSchema(version)
	}
	lost := found[tableNames[0]] != "" && found.missing(tableNames)
	if found.missing(tableNames) || found.missing(viewNames) {
		version = 0
	}
	if version == schemaVersion {
		return nil
	}
	if err := s.migrate(ctx, version); err != nil {
		return err
	}
	now, err := s.read(ctx)
	if err != nil || now.Revision == 0 {
		return err
	}
	// The state tells older programs that run on of the schema.
	_, err = s.changeFrom(ctx, now, func(next *state) error {
		if lost {
			next.Live, next.Shadow, next.Previous = nil, nil, nil
		}
		return nil
	})
	return err
}

func (s *store) layout(ctx context.Context) (layout, error) {
	rows, err := s.conn.Query(ctx, "SELECT name, engine FROM system.tables WHERE database = currentDatabase()")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := layout{}
	for rows.Next() {
		var name, engine string
		if err := rows.Scan(&name, &engine); err != nil {
			return nil, err
		}
		found[name] = engine
	}
	return found, rows.Err()
}

func (s *store) version(ctx context.Context) (int, error) {
	var version uint32
	err := s.conn.QueryRow(ctx, "SELECT max(version) FROM "+schemaTable).Scan(&version)
	return int(version), err
}

// makeRoom puts aside what is not ours and bears the name of one of our views.
func (s *store) makeRoom(ctx context.Context, found layout) error {
	ours := found[schemaTable] != "" || found[tableNames[0]] != ""
	for _, name := range viewNames {
		engine := found[name]
		if engine == "" || engine == "View" && ours {
			continue
		}
		if !s.takeOver {
			return fmt.Errorf("there is a %s called %s that Tapedeck did not make; choose another database, or let it be renamed with --take-over: %w",
				engine, name, projector.ErrForeignData)
		}
		aside := fmt.Sprintf("%s_before_tapedeck_%d", name, time.Now().UnixMilli())
		if err := s.conn.Exec(ctx, fmt.Sprintf("RENAME TABLE %s TO %s", quoteName(name), quoteName(aside))); err != nil {
			return err
		}
	}
	return nil
}

// migrate brings the schema from a version to the newest.
func (s *store) migrate(ctx context.Context, version int) error {
	all, err := migrations()
	if err != nil {
		return err
	}
	err = s.conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS "+schemaTable+" (version UInt32, at DateTime64(3) DEFAULT now64(3)) ENGINE = MergeTree ORDER BY version")
	if err != nil {
		return err
	}
	for ; version < len(all); version++ {
		for _, statement := range all[version] {
			if err := s.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migrate to schema %d: %w", version+1, err)
			}
		}
		if err := s.insert(ctx, "INSERT INTO "+schemaTable+" (version)", []uint32{uint32(version) + 1}); err != nil {
			return err
		}
	}
	return nil
}

func quoteName(name string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`").Replace(name) + "`"
}

func quoteText(text string) string {
	return "'" + strings.NewReplacer("\\", "\\\\", "'", "\\'").Replace(text) + "'"
}
