package testserver

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"sync"
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

// TestProxyFaultsMeet adds and ends faults while connections come and go. The
// library ends the process when a connection has other toxics than its proxy.
func TestProxyFaultsMeet(t *testing.T) {
	p := Proxy(t, Redis(t))
	addr := p.Addr()
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for ctx.Err() == nil {
				connection, err := net.DialTimeout("tcp", addr, time.Second)
				if err != nil {
					continue // cut
				}
				_ = connection.SetDeadline(time.Now().Add(20 * time.Millisecond))
				c := conversation{connection}
				for c.ping() == nil && rand.IntN(4) > 0 {
				}
				connection.Close()
			}
		})
	}
	for range 400 {
		if rand.IntN(3) == 0 {
			p.Heal()
		}
		switch rand.IntN(8) {
		case 0:
			p.Cut()
		case 1:
			p.Reset()
		case 2, 3, 4:
			p.Latency(time.Duration(rand.IntN(20))*time.Millisecond, 2*time.Millisecond)
		default:
			p.SlowClose(time.Duration(rand.IntN(40)) * time.Millisecond)
		}
		<-time.After(time.Duration(rand.IntN(5)) * time.Millisecond)
	}
	p.Heal()
	stop()
	clients.Wait()
	require.NoError(t, converse(t, p.Addr()).ping())
}
