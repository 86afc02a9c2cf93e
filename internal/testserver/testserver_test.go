package testserver

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

func client(t *testing.T, s *Server) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(s.URL())
	require.NoError(t, err)
	options.MaxRetries = -1
	c := redis.NewClient(options)
	t.Cleanup(func() { c.Close() })
	return c
}

func TestKillAndRestartKeepPortAndData(t *testing.T) {
	s := Redis(t, AOF("always"))
	c := client(t, s)
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	url := s.URL()

	s.Kill()
	require.Error(t, c.Ping(t.Context()).Err())
	s.Kill() // once more does nothing

	s.Restart()
	require.Equal(t, url, s.URL())
	require.Equal(t, "v", c.Get(t.Context(), "k").Val())

	s.Stop()
	require.Error(t, c.Ping(t.Context()).Err())
}

func TestDefaultKeepsNothing(t *testing.T) {
	s := Redis(t)
	c := client(t, s)
	require.NoError(t, c.Set(t.Context(), "k", "v", 0).Err())
	s.Stop()
	s.Restart()
	require.Zero(t, c.DBSize(t.Context()).Val())
}

func TestPauseAndResume(t *testing.T) {
	s := Redis(t)
	c := client(t, s)
	require.NoError(t, c.Ping(t.Context()).Err())
	s.Pause()
	answered := make(chan error, 1)
	go func() { answered <- c.Ping(t.Context()).Err() }()
	select {
	case err := <-answered:
		t.Fatalf("a paused server answered (%v)", err)
	case <-time.After(100 * time.Millisecond):
	}
	s.Resume()
	require.NoError(t, <-answered)

	s.Pause()
	s.Kill() // ends a paused one, too
	s.Restart()
	require.NoError(t, c.Ping(t.Context()).Err())
}

func TestArgumentsAndPassword(t *testing.T) {
	s := Redis(t, RedisArgs("--requirepass", "secret"))
	c := client(t, s)
	require.True(t, redis.IsAuthError(c.Ping(t.Context()).Err()))
}

// fakeT records a fatal failure in the place of a test.
type fakeT struct{ testing.TB }

type fatal string

func (fakeT) Fatalf(format string, args ...any) { panic(fatal(fmt.Sprintf(format, args...))) }

func TestMissingServerFailsWithTheCommand(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	require.PanicsWithValue(t, fatal("redis-server is not installed; install it with: sudo apt-get install -y redis-server"),
		func() { Redis(fakeT{t}) })
}

func TestServerThatDoesNotStartShowsItsLog(t *testing.T) {
	defer func() {
		message, ok := recover().(fatal)
		require.True(t, ok)
		require.Contains(t, string(message), "no-such-directive")
	}()
	Redis(fakeT{t}, RedisArgs("--no-such-directive", "1"))
}

func TestAnotherServerOnThePortIsNotOurs(t *testing.T) {
	a, b := Redis(t), Redis(t)
	b.ports = a.ports
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	require.ErrorContains(t, redisReady(ctx, b), "another server answers")
	require.False(t, errors.Is(ctx.Err(), context.DeadlineExceeded))
}
