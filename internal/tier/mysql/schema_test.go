package mysql_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
)

// database makes an empty database and returns a DSN of it, and a hand in it.
func database(t testing.TB, s *testserver.Server, name string) (dsn string, db handle) {
	t.Helper()
	exec(t, raw(t, s), "DROP DATABASE IF EXISTS "+name+"; CREATE DATABASE "+name)
	dsn = strings.Replace(s.URL(), "/tapedeck", "/"+name, 1)
	return dsn, rawDSN(t, dsn)
}

func openDSN(t testing.TB, o mysql.Options) *mysql.Tier {
	t.Helper()
	tier, err := mysql.Open(t.Context(), o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tier.Close()) })
	return tier
}

// layout is how the server shows all tables, and what the predefined ones hold.
func layout(t testing.TB, db handle) map[string]string {
	t.Helper()
	shown := make(map[string]string)
	for _, name := range column(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name <> 'tapedeck_schema'") {
		var table, statement string
		require.NoError(t, db.QueryRowContext(t.Context(), "SHOW CREATE TABLE `"+name+"`").Scan(&table, &statement))
		shown[name] = regexp.MustCompile(` AUTO_INCREMENT=\d+`).ReplaceAllString(statement, "")
	}
	for name, query := range map[string]string{
		"roles":       "SELECT CONCAT_WS('|', role_code, role_name, description) FROM role ORDER BY role_code",
		"permissions": "SELECT CONCAT_WS('|', permission_code, permission_name, resource, action, description) FROM permission ORDER BY permission_code",
		"granted": "SELECT CONCAT(r.role_code, ' ', p.permission_code) FROM role_permission x JOIN role r ON r.id = x.role_id " +
			"JOIN permission p ON p.id = x.permission_id ORDER BY 1",
		"checkpoint": "SELECT CONCAT_WS('|', id, sequence, chain, hold, plan, owner) FROM tapedeck_checkpoint",
	} {
		shown[name] = strings.Join(column(t, db, query), "\n")
	}
	return shown
}

// TestInitSQL holds the schema that people read against the one that is made.
func TestInitSQL(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	made, db := database(t, server, "made")
	_, err := openDSN(t, mysql.Options{DSN: made}).Checkpoint(t.Context())
	require.NoError(t, err)
	written, byHand := database(t, server, "written")
	text, err := os.ReadFile("../../../deploy/mysql/init.sql")
	require.NoError(t, err)
	exec(t, byHand, string(text))
	want := layout(t, db)
	require.Len(t, want, 10+4)
	require.Contains(t, want["granted"], "viewer trade:read")
	require.Contains(t, want["granted"], "admin user:write")
	require.NotContains(t, want["granted"], "trader strategy:write")
	require.Equal(t, want, layout(t, byHand))

	tier := openDSN(t, mysql.Options{DSN: written})
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(small(), 0, 25)), "a database made by hand is gone on with")
	requireFold(t, tier, small(), 25)
}

// TestKilledMigration stops after every single statement of the history, as a
// kill -9 would, and opens again.
func TestKilledMigration(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	statements := migrationStatements(t)
	require.Greater(t, len(statements), 15)
	var want map[string]string
	for done := range len(statements) + 1 {
		dsn, db := database(t, server, "killed")
		// One connection: the statements hand on user variables.
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		if done%2 == 1 { // goose's own table comes first, its first row after it
			_, err := conn.ExecContext(t.Context(), "CREATE TABLE tapedeck_schema (id SERIAL, version_id BIGINT NOT NULL, is_applied BOOLEAN NOT NULL, tstamp DATETIME NULL DEFAULT CURRENT_TIMESTAMP, PRIMARY KEY (id))")
			require.NoError(t, err)
		}
		for _, statement := range statements[:done] {
			_, err := conn.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
		require.NoError(t, conn.Close())
		tier := openDSN(t, mysql.Options{DSN: dsn})
		require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(small(), 0, 9)), "after %d statements", done)
		requireFold(t, tier, small(), 9)
		require.Equal(t, []string{"0", "1", "2"}, column(t, db, "SELECT version_id FROM tapedeck_schema ORDER BY id"))
		wipe(t, db)
		if want == nil {
			want = layout(t, db)
		}
		require.Equal(t, want, layout(t, db), "after %d statements", done)
	}
}

// migrationStatements are those of all migrations, in order.
func migrationStatements(t testing.TB) []string {
	t.Helper()
	files, err := os.ReadDir("migrations")
	require.NoError(t, err)
	var statements []string
	for _, file := range files {
		text, err := os.ReadFile("migrations/" + file.Name())
		require.NoError(t, err)
		_, up, found := strings.Cut(string(text), "-- +goose Up\n")
		require.True(t, found)
		for statement := range strings.SplitSeq(regexp.MustCompile(`(?m)^--.*$`).ReplaceAllString(up, ""), ";\n") {
			if strings.TrimSpace(statement) != "" {
				statements = append(statements, statement)
			}
		}
	}
	return statements
}

func TestProjectorsStartAtOnce(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	for round := range 3 {
		dsn, db := database(t, server, "many")
		errs := make([]error, 6)
		var wait sync.WaitGroup
		for i := range errs {
			tier := openDSN(t, mysql.Options{DSN: dsn})
			wait.Go(func() { _, errs[i] = tier.Checkpoint(t.Context()) })
		}
		wait.Wait()
		for _, err := range errs {
			require.NoError(t, err, "round %d", round)
		}
		require.Equal(t, []string{"0", "1", "2"}, column(t, db, "SELECT version_id FROM tapedeck_schema ORDER BY id"))
	}
}

// TestNewerSchema: a program that does not know the tables keeps off them, also
// when it was running as they changed.
func TestNewerSchema(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, ctx, tape := open(t, server), t.Context(), small()
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 9)))
	exec(t, raw(t, server), "INSERT INTO tapedeck_schema (version_id, is_applied) VALUES (99, 1)")
	for name, late := range map[string]*mysql.Tier{"running": tier, "starting": open(t, server)} {
		_, err := late.Checkpoint(ctx)
		require.ErrorIs(t, err, projector.ErrRefused, name)
		require.ErrorContains(t, err, "schema 99, this program knows up to 2")
		require.ErrorIs(t, late.Apply(ctx, projectortest.Batch(tape, 9, 25)), projector.ErrRefused)
		_, err = late.Shadow(ctx, "plan")
		require.ErrorIs(t, err, projector.ErrRefused)
		_, err = late.Dump(ctx, nil)
		require.ErrorIs(t, err, projector.ErrRefused)
	}
	exec(t, raw(t, server), "DELETE FROM tapedeck_schema WHERE version_id = 99")
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 9, 25)))
	requireFold(t, tier, tape, 25)
}

// TestFrozenSchema opens what a projector of schema 1 left behind, as
// mariadb-dump wrote it.
func TestFrozenSchema(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	dsn, db := database(t, server, "frozen")
	text, err := os.ReadFile("testdata/schema1.sql")
	require.NoError(t, err)
	exec(t, db, string(text))
	require.Equal(t, []string{"0", "1"}, column(t, db, "SELECT version_id FROM tapedeck_schema ORDER BY id"))
	tier, tape := openDSN(t, mysql.Options{DSN: dsn}), small()
	requireFold(t, tier, tape, 15)
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, 15, 25)))
	requireFold(t, tier, tape, 25)
	require.Equal(t, []string{"0", "1", "2"}, column(t, db, "SELECT version_id FROM tapedeck_schema ORDER BY id"))
	shadow, err := tier.Shadow(t.Context(), "plan")
	require.NoError(t, err)
	require.NoError(t, shadow.Promote(t.Context(), projector.Hold{Reason: "held"}))

	fresh, other := database(t, server, "fresh")
	_, err = openDSN(t, mysql.Options{DSN: fresh}).Checkpoint(t.Context())
	require.NoError(t, err)
	exec(t, db, "DROP TABLE tapedeck_previous_user_role, tapedeck_previous_strategy_param, tapedeck_previous_account_strategy, tapedeck_previous_user, tapedeck_previous_strategy, tapedeck_previous_account, tapedeck_previous_checkpoint")
	wipe(t, db)
	require.Equal(t, layout(t, other), layout(t, db), "migrated and promoted is as made anew")
}

// TestLostTables: whatever is dropped, the tier comes back, from the first
// event, and its hold stays as long as the checkpoint's table does.
func TestLostTables(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tape, ctx := small(), t.Context()
	hold := projector.Hold{Until: 25, Reason: "held"}
	for name, c := range map[string]struct {
		statement string
		held      bool
	}{
		"the database":     {"DROP DATABASE lost", false},
		"all tables":       {"DROP TABLE role_permission, user_role, strategy_param, account_strategy, user, strategy, account, permission, role, tapedeck_checkpoint, tapedeck_schema", false},
		"all but the list": {"DROP TABLE role_permission, user_role, strategy_param, account_strategy, user, strategy, account, permission, role, tapedeck_checkpoint", false},
		"one":              {"DROP TABLE user_role", true},
		"a parent":         {"SET foreign_key_checks = 0; DROP TABLE account, role; SET foreign_key_checks = 1", true},
		"the row, empty":   {"DELETE FROM user_role; DELETE FROM strategy_param; DELETE FROM account_strategy; DELETE FROM user; DELETE FROM strategy; DELETE FROM account; DELETE FROM tapedeck_checkpoint", false},
	} {
		t.Run(name, func(t *testing.T) {
			dsn, db := database(t, server, "lost")
			tier := openDSN(t, mysql.Options{DSN: dsn})
			require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 15)))
			require.NoError(t, projectortest.PutHold(ctx, tier, hold))
			exec(t, db, c.statement)

			// The projector at work finds out by itself, opened anew as the
			// runner does after any error.
			require.Error(t, tier.Apply(ctx, projectortest.Batch(tape, 15, 21)))
			tier = openDSN(t, mysql.Options{DSN: dsn})
			at, err := tier.Checkpoint(ctx)
			require.NoError(t, err)
			require.Equal(t, eventlog.Checkpoint{}, at)
			got, err := tier.Hold(ctx)
			require.NoError(t, err)
			require.Equal(t, c.held, got == hold)
			requireFold(t, tier, tape, 0)
			require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 21)))
			requireFold(t, tier, tape, 21)
		})
	}
}

func TestForeignTables(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	dsn, db := database(t, server, "theirs")
	tape, ctx := small(), t.Context()
	exec(t, db, `CREATE TABLE account (id INT AUTO_INCREMENT PRIMARY KEY, account_id VARCHAR(50));
		CREATE TABLE account_strategy (id INT PRIMARY KEY, account_id INT, FOREIGN KEY (account_id) REFERENCES account (id));
		CREATE TABLE unrelated (id INT PRIMARY KEY); INSERT INTO account (account_id) VALUES ('theirs')`)
	tier := openDSN(t, mysql.Options{DSN: dsn})
	_, err := tier.Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrForeignData)
	require.ErrorContains(t, err, "--take-over")
	require.ErrorIs(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 9)), projector.ErrForeignData)
	_, err = tier.Shadow(ctx, "plan")
	require.ErrorIs(t, err, projector.ErrForeignData)
	require.Equal(t, []string{"account", "account_strategy", "unrelated"}, column(t, db, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 1"), "nothing was touched")

	taking := openDSN(t, mysql.Options{DSN: dsn, TakeOver: true})
	require.NoError(t, taking.Apply(ctx, projectortest.Batch(tape, 0, 9)))
	requireFold(t, tier, tape, 9)
	require.Equal(t, []string{"theirs"}, column(t, db, "SELECT account_id FROM foreign_account"))

	exec(t, db, "DROP TABLE tapedeck_checkpoint")
	_, err = openDSN(t, mysql.Options{DSN: dsn, TakeOver: true}).Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrRefused, "what was put aside before is not dropped")
	require.ErrorContains(t, err, "foreign_account")
}

// TestForeignRows: rows, but no checkpoint row.
func TestForeignRows(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tape, ctx := small(), t.Context()
	require.NoError(t, open(t, server).Apply(ctx, projectortest.Batch(tape, 0, 9)))
	exec(t, raw(t, server), "DELETE FROM tapedeck_checkpoint")
	_, err := open(t, server).Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrForeignData)
	taking := openDSN(t, mysql.Options{DSN: server.URL(), TakeOver: true})
	requireFold(t, taking, tape, 0)
	require.NoError(t, taking.Apply(ctx, projectortest.Batch(tape, 0, 25)))
	requireFold(t, taking, tape, 25)
}

// TestConstraints breaks each by plain SQL, as any other program could.
func TestConstraints(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, db := open(t, server), raw(t, server)
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(small(), 0, 15)))
	account := func(column, value string) string {
		columns := map[string]string{"account_id": "'new-01'", "account_name": "'n'", "broker": "'QMT'", "status": "'active'", "initial_capital": "1", "current_capital": "1", "total_assets": "1", "position_value": "0", "created_at": "NOW()", "updated_at": "NOW()"}
		columns[column] = value
		return insert("account", columns)
	}
	user := func(column, value string) string {
		columns := map[string]string{"username": "'new'", "email": "'new@example.com'", "email_key": "'new@example.com'", "password_hash": "'x'", "real_name": "''", "status": "'active'", "failed_logins": "0", "created_at": "NOW()", "updated_at": "NOW()"}
		columns[column] = value
		return insert("user", columns)
	}
	for _, statement := range []string{
		account("account_id", "'acc-01'"), account("broker", "'XTP'"), account("status", "'locked'"), account("initial_capital", "0"),
		account("current_capital", "-0.01"), account("total_assets", "-1"), account("position_value", "-1"), account("account_name", "NULL"),
		user("username", "'Han'"), user("email", "'Han@example.com'"), user("email_key", "'han@example.com'"), user("status", "'suspended'"), user("failed_logins", "-1"),
		"UPDATE strategy SET strategy_name = 'Remote'", "UPDATE strategy SET strategy_code = 'remote'", "UPDATE strategy SET strategy_type = 'x'", "UPDATE strategy SET status = 'paused'",
		"UPDATE account_strategy SET allocated_capital = 0", "UPDATE account_strategy SET risk_limit = 100.01", "UPDATE account_strategy SET risk_limit = -0.01",
		"UPDATE account_strategy SET status = 'x'", "UPDATE account_strategy SET account_id = 77", "UPDATE account_strategy SET strategy_id = 77",
		"INSERT INTO account_strategy (account_id, strategy_id, allocated_capital, risk_limit, status, created_at, updated_at) SELECT account_id, strategy_id, 1, 1, 'active', NOW(), NOW() FROM account_strategy",
		"UPDATE strategy_param SET strategy_id = 77", "UPDATE strategy_param SET version = 0", "UPDATE strategy_param SET param_type = 'x'", "UPDATE strategy_param SET param_key = 'x'",
		"INSERT INTO user_role (user_id, role_id) SELECT user_id, role_id FROM user_role", "UPDATE user_role SET user_id = 77", "UPDATE user_role SET role_id = 77",
		"DELETE FROM account", "DELETE FROM strategy", "DELETE FROM user", "DELETE FROM role", "DELETE FROM permission",
		"INSERT INTO role (role_code, role_name, description) VALUES ('admin', 'x', '')", "INSERT INTO permission (permission_code, permission_name, resource, action, description) VALUES ('x', 'x', 'account', 'read', '')",
		"UPDATE role_permission SET role_id = 77", "UPDATE role_permission SET permission_id = 77", "INSERT INTO role_permission (role_id, permission_id) SELECT role_id, permission_id FROM role_permission",
		"INSERT INTO tapedeck_checkpoint (id, sequence, chain) VALUES (2, 0, '')", "INSERT INTO tapedeck_checkpoint (id, sequence, chain) VALUES (1, 0, '')",
	} {
		_, err := db.ExecContext(t.Context(), "SET sql_mode = 'STRICT_ALL_TABLES'; "+statement)
		require.Error(t, err, statement)
	}
	// Beside those, the same statements are fine.
	for _, statement := range []string{account("account_id", "'ACC-01'"), user("username", "'HAN'"), "UPDATE account_strategy SET risk_limit = 100"} {
		exec(t, db, statement)
	}
}

func insert(table string, columns map[string]string) string {
	var names, values []string
	for name, value := range columns {
		names, values = append(names, name), append(values, value)
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", table, strings.Join(names, ", "), strings.Join(values, ", "))
}
