package clickhouse_test

import (
	"flag"
	"fmt"
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

// checks sets how many histories the properties of a test draw, where the
// command line does not say it.
func checks(t testing.TB, n int) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if !given {
		before := flag.Lookup("rapid.checks").Value.String()
		require.NoError(t, flag.Lookup("rapid.checks").Value.Set(fmt.Sprint(n)))
		t.Cleanup(func() { require.NoError(t, flag.Lookup("rapid.checks").Value.Set(before)) })
	}
}
