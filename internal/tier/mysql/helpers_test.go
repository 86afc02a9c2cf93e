package mysql_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
)

const (
	waitLong = 30 * time.Second
	tick     = 5 * time.Millisecond
)

// hasty spares each commit its fsync, for tests that crash nothing.
var hasty = testserver.MariaDBArgs("--innodb-flush-log-at-trx-commit=0", "--innodb-flush-method=nosync", "--sync-frm=OFF", "--innodb-file-per-table=OFF")

func open(t testing.TB, s *testserver.Server) *mysql.Tier {
	t.Helper()
	tier, err := mysql.Open(t.Context(), mysql.Options{DSN: s.URL()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tier.Close()) })
	return tier
}

// raw is a connection beside the tier: a reader, or someone's hand.
func raw(t testing.TB, s *testserver.Server) handle {
	t.Helper()
	return rawDSN(t, s.URL())
}

// handle is someone's connection to a database.
type handle = *sql.DB

func rawDSN(t testing.TB, dsn string) handle {
	t.Helper()
	db, err := sql.Open("mysql", dsn+"?interpolateParams=true&multiStatements=true&charset=utf8mb4&collation=utf8mb4_bin")
	require.NoError(t, err)
	t.Cleanup(func() { db.Close() })
	return db
}

func exec(t testing.TB, db handle, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err, statement)
}

// column reads a result of one column.
func column(t testing.TB, db handle, query string, args ...any) []string {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query, args...)
	require.NoError(t, err, query)
	defer rows.Close()
	var values []string
	for rows.Next() {
		var v sql.NullString
		require.NoError(t, rows.Scan(&v))
		values = append(values, v.String)
	}
	require.NoError(t, rows.Err())
	return values
}

// wipe empties the tables as no one but a test does, without the cost of DDL
// where it can.
func wipe(t testing.TB, db handle) {
	t.Helper()
	for _, name := range column(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name REGEXP '^(tapedeck_(shadow|previous)|foreign)_'") {
		exec(t, db, "SET foreign_key_checks = 0; DROP TABLE `"+name+"`; SET foreign_key_checks = 1")
	}
	exec(t, db, `DELETE FROM user_role; DELETE FROM strategy_param; DELETE FROM account_strategy; DELETE FROM user; DELETE FROM strategy; DELETE FROM account;
		UPDATE tapedeck_checkpoint SET sequence = 0, chain = REPEAT('0', 64), hold = NULL, plan = NULL, owner = NULL`)
}

var zeroHour = time.Date(2025, 1, 2, 9, 30, 0, 0, events.Zone)

func tapeOf(data ...events.Data) []*events.Event {
	tape := make([]*events.Event, len(data))
	for i, d := range data {
		tape[i] = &events.Event{Sequence: uint64(i + 1), Time: zeroHour.Add(time.Duration(i) * 1_000_001 * time.Microsecond), Data: d}
	}
	return tape
}

func foldRows(t rapid.TB, tape []*events.Event) []book.Row {
	t.Helper()
	b := book.New(book.Keep{})
	for _, e := range tape {
		b.Apply(e)
	}
	var rows []book.Row
	require.NoError(t, b.Rows([]book.Kind{book.KindAccount, book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole},
		func(r book.Row) error { rows = append(rows, r); return nil }))
	return rows
}

func dumpRows(t rapid.TB, tier projector.Tier) (eventlog.Checkpoint, []book.Row) {
	t.Helper()
	var rows []book.Row
	at, err := tier.Dump(context.Background(), func(r book.Row) error { rows = append(rows, r); return nil })
	require.NoError(t, err)
	return at, rows
}

// requireFold holds a tier to be at a checkpoint and to equal the fold there.
func requireFold(t rapid.TB, tier projector.Tier, tape []*events.Event, at int) {
	t.Helper()
	got, rows := dumpRows(t, tier)
	require.Equal(t, projectortest.Checkpoint(at), got)
	require.Equal(t, foldRows(t, tape[:at]), rows)
}
