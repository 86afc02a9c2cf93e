package testserver

import (
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// conversation is a raw connection to a Redis: what a client library would
// hide, such as a reset, is seen.
type conversation struct{ net.Conn }

func converse(t *testing.T, addr string) conversation {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { connection.Close() })
	require.NoError(t, connection.SetDeadline(time.Now().Add(20*time.Second)))
	return conversation{connection}
}

func (c conversation) ping() error {
	if _, err := io.WriteString(c, "PING\r\n"); err != nil {
		return err
	}
	answer := make([]byte, len("+PONG\r\n"))
	_, err := io.ReadFull(c, answer)
	return err
}

func TestProxyPassesAndNamesTheServer(t *testing.T) {
	redis := Redis(t)
	p := Proxy(t, redis)
	require.Equal(t, "redis://"+p.Addr()+"/0", p.URL())
	require.NotEqual(t, redis.Addr(), p.Addr())
	require.NoError(t, converse(t, p.Addr()).ping())
	redis.Restart()
	require.NoError(t, converse(t, p.Addr()).ping())
}

func TestProxyLatency(t *testing.T) {
	p := Proxy(t, Redis(t))
	c := converse(t, p.Addr())
	require.NoError(t, c.ping())
	for _, delay := range []time.Duration{50 * time.Millisecond, 150 * time.Millisecond} {
		p.Latency(delay, 0)
		begun := time.Now()
		require.NoError(t, c.ping())
		require.GreaterOrEqual(t, time.Since(begun), delay)
	}
	p.Latency(time.Hour, 0)
	p.Heal()
	require.NoError(t, c.ping())
}

func TestProxyReset(t *testing.T) {
	p := Proxy(t, Redis(t))
	open := converse(t, p.Addr())
	require.NoError(t, open.ping())
	p.Reset()
	require.ErrorIs(t, open.ping(), io.EOF)
	require.ErrorIs(t, converse(t, p.Addr()).ping(), syscall.ECONNRESET)
	p.Heal()
	require.NoError(t, converse(t, p.Addr()).ping())
}

func TestProxyCut(t *testing.T) {
	p := Proxy(t, Redis(t))
	open := converse(t, p.Addr())
	require.NoError(t, open.ping())
	addr := p.Addr()
	p.Cut()
	p.Cut() // once more does nothing
	require.Error(t, open.ping())
	_, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	p.Heal()
	require.Equal(t, addr, p.Addr())
	require.NoError(t, converse(t, addr).ping())
}

func TestProxySlowClose(t *testing.T) {
	server := Redis(t)
	p := Proxy(t, server)
	c := converse(t, p.Addr())
	require.NoError(t, c.ping())
	const delay = 300 * time.Millisecond
	p.SlowClose(delay)
	begun := time.Now()
	server.Kill()
	_, err := c.Read(make([]byte, 1))
	require.True(t, errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET), "%v", err)
	require.GreaterOrEqual(t, time.Since(begun), delay)
}

func TestProxyKnowsEveryEngine(t *testing.T) {
	require.NoError(t, clickHouseClient(t, Proxy(t, ClickHouse(t)).URL()).Ping(t.Context()))
	server := MariaDB(t)
	p := Proxy(t, server)
	through := *server
	through.engine.url = func(string) string { return p.URL() }
	require.NoError(t, mariaDBClient(t, &through).PingContext(t.Context()))
}
