package testserver

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"
)

func clickHouseClient(t *testing.T, url string) driver.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(url)
	require.NoError(t, err)
	connection, err := clickhouse.Open(options)
	require.NoError(t, err)
	t.Cleanup(func() { connection.Close() })
	return connection
}

func rows(t *testing.T, c driver.Conn, query string) uint64 {
	t.Helper()
	var count uint64
	require.NoError(t, c.QueryRow(t.Context(), query).Scan(&count))
	return count
}

func TestClickHouseKeepsInsertsThroughKills(t *testing.T) {
	s := ClickHouse(t)
	native, http := clickHouseClient(t, s.URL()), clickHouseClient(t, s.HTTPURL())
	require.NoError(t, native.Exec(t.Context(), "CREATE TABLE kept (n Int64) ENGINE = MergeTree ORDER BY n"))
	for n := range 3 {
		require.NoError(t, native.Exec(t.Context(), "INSERT INTO kept VALUES (?)", n))
		s.Kill()
		require.Error(t, native.Ping(t.Context()))
		s.Restart()
	}
	s.Stop()
	require.Error(t, http.Ping(t.Context()))
	s.Restart()
	require.Equal(t, uint64(3), rows(t, native, "SELECT count() FROM kept"))
	require.Equal(t, uint64(3), rows(t, http, "SELECT count() FROM tapedeck.kept"))
}

func TestClickHouseUser(t *testing.T) {
	s := ClickHouse(t, ClickHouseUser("writer", "a<&>b"))
	login := func(password string) error {
		c, err := clickhouse.Open(&clickhouse.Options{
			Addr: []string{s.Addr()},
			Auth: clickhouse.Auth{Database: "tapedeck", Username: "writer", Password: password},
		})
		require.NoError(t, err)
		defer c.Close()
		return c.Exec(t.Context(), "CREATE TABLE mine (n Int64) ENGINE = MergeTree ORDER BY n")
	}
	var told *clickhouse.Exception
	require.True(t, errors.As(login("wrong"), &told))
	require.EqualValues(t, 516, told.Code, told) // authentication failed
	require.NoError(t, login("a<&>b"))
}

// TestClickHouseOutlivesItsClients: libchdb as such is ended by a client that
// resets its connection; a server must not be.
func TestClickHouseOutlivesItsClients(t *testing.T) {
	s := ClickHouse(t)
	for _, port := range s.ports {
		for range 20 {
			connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address(port))
			require.NoError(t, err)
			_, err = connection.Write([]byte("GET / HTTP/1.0\r\n\r\n"))
			require.NoError(t, err)
			require.NoError(t, connection.(*net.TCPConn).SetLinger(0)) // close by a reset
			require.NoError(t, connection.Close())
		}
	}
	require.NoError(t, clickHouseClient(t, s.URL()).Ping(t.Context()))
	select {
	case <-s.exited:
		t.Fatal("the engine ended")
	case <-time.After(300 * time.Millisecond): // a handler may still be at it
	}
	require.NoError(t, clickHouseClient(t, s.URL()).Ping(t.Context()))
}

func TestAnotherClickHouseOnThePortIsNotOurs(t *testing.T) {
	a, b := ClickHouse(t), ClickHouse(t)
	own := b.ports
	b.ports = []int{own[0], a.ports[1]}
	require.ErrorContains(t, clickHouseReady(t.Context(), b), "another server answers")
	b.ports = []int{a.ports[0], own[1]}
	require.ErrorContains(t, clickHouseReady(t.Context(), b), "another server answers")
}

func TestClickHouseOnAFullDisk(t *testing.T) {
	s := ClickHouse(t, Quota(64<<20))
	c := clickHouseClient(t, s.URL())
	require.NoError(t, c.Exec(t.Context(), "CREATE TABLE kept (n Int64, v String) ENGINE = MergeTree ORDER BY n"))
	insert := "INSERT INTO kept SELECT number, randomString(100) FROM numbers(1000)"
	require.NoError(t, c.Exec(t.Context(), insert))
	s.FillDisk()
	var told *clickhouse.Exception
	require.True(t, errors.As(c.Exec(t.Context(), insert), &told))
	require.EqualValues(t, 243, told.Code, told) // not enough space
	require.Equal(t, uint64(1000), rows(t, c, "SELECT count() FROM kept"))
	s.FreeDisk()
	require.NoError(t, c.Exec(t.Context(), insert))
	s.Restart()
	require.Equal(t, uint64(2000), rows(t, c, "SELECT count() FROM kept"))
}
