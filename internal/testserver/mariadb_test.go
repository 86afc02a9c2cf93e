package testserver

import (
	"database/sql"
	"errors"
	"testing"

	"github.com/go-sql-driver/mysql"
	"github.com/stretchr/testify/require"
)

func mariaDBClient(t *testing.T, s *Server) *sql.DB {
	t.Helper()
	config, err := mysql.ParseDSN(s.URL())
	require.NoError(t, err)
	config.Logger = &mysql.NopLogger{}
	connector, err := mysql.NewConnector(config)
	require.NoError(t, err)
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func exec1(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), statement, args...)
	require.NoError(t, err)
}

func TestMariaDBKeepsCommitsThroughKills(t *testing.T) {
	s := MariaDB(t)
	db := mariaDBClient(t, s)
	exec1(t, db, "CREATE TABLE kept (n INT PRIMARY KEY) ENGINE=InnoDB")
	for n := range 3 {
		exec1(t, db, "INSERT INTO kept VALUES (?)", n)
		s.Kill()
		require.Error(t, db.PingContext(t.Context()))
		s.Restart()
	}
	s.Stop()
	s.Restart()
	var count int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM kept").Scan(&count))
	require.Equal(t, 3, count)
}

func TestMariaDBArgumentsWin(t *testing.T) {
	db := mariaDBClient(t, MariaDB(t, MariaDBArgs("--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=32M")))
	var flush, pool int
	require.NoError(t, db.QueryRowContext(t.Context(),
		"SELECT @@innodb_flush_log_at_trx_commit, @@innodb_buffer_pool_size").Scan(&flush, &pool))
	require.Equal(t, []int{0, 32 << 20}, []int{flush, pool})
}

func TestAnotherMariaDBOnThePortIsNotOurs(t *testing.T) {
	a, b := MariaDB(t), MariaDB(t)
	b.ports = a.ports
	require.ErrorContains(t, mariaDBReady(t.Context(), b), "another server answers")
}

func TestMariaDBOnAFullDisk(t *testing.T) {
	s := MariaDB(t, Quota(96<<20))
	db := mariaDBClient(t, s)
	exec1(t, db, "CREATE TABLE kept (n INT PRIMARY KEY AUTO_INCREMENT, v VARCHAR(1000)) ENGINE=InnoDB")
	insert := func() error {
		_, err := db.ExecContext(t.Context(), "INSERT INTO kept (v) SELECT REPEAT('a', 1000) FROM seq_1_to_500")
		return err
	}
	require.NoError(t, insert())
	acknowledged := 500
	s.FillDisk()
	var err error
	for range 100 { // the table has some room left in its file
		if err = insert(); err != nil {
			break
		}
		acknowledged += 500
	}
	var told *mysql.MySQLError
	require.True(t, errors.As(err, &told), "the server tells it: %v", err)
	require.EqualValues(t, 1114, told.Number, told) // the table is full
	s.FreeDisk()
	require.NoError(t, insert())
	s.Restart()
	var kept int
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM kept").Scan(&kept))
	require.Equal(t, acknowledged+500, kept)
}
