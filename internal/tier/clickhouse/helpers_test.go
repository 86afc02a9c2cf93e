package clickhouse_test

import (
	"testing"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"
)

// raw is a client beside the tier: a reader, or someone's hand.
func raw(t testing.TB, dsn string) driver.Conn {
	t.Helper()
	options, err := chgo.ParseDSN(dsn)
	require.NoError(t, err)
	conn, err := chgo.Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	return conn
}
