package testserver

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
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

func TestRedisOnAFullDisk(t *testing.T) {
	s := Redis(t, AOF("always"), Quota(8<<20))
	c := client(t, s)
	require.NoError(t, c.Set(t.Context(), "kept", "v", 0).Err())
	s.FillDisk()
	err := c.Set(t.Context(), "refused", strings.Repeat("x", 100_000), 0).Err()
	require.Error(t, err)
	s.FreeDisk()
	s.Restart() // with appendfsync always Redis ends itself when it cannot write
	require.Equal(t, "v", c.Get(t.Context(), "kept").Val())
	require.NoError(t, c.Set(t.Context(), "after", "v", 0).Err())
}

func TestFillingADiskWithoutLimitIsRefused(t *testing.T) {
	s := Redis(t)
	s.t = fakeT{t}
	defer func() { s.t = t }()
	require.PanicsWithValue(t, fatal("fill the disk of redis-server: it is not limited: start the server with a Quota"), s.FillDisk)
}

// TestEveryServerPauses: its port stays open, and nothing answers.
func TestEveryServerPauses(t *testing.T) {
	for name, begin := range map[string]func() (*Server, func() error){
		"mariadb": func() (*Server, func() error) {
			s := MariaDB(t)
			db := mariaDBClient(t, s)
			return s, func() error { return db.PingContext(t.Context()) }
		},
		"clickhouse": func() (*Server, func() error) {
			s := ClickHouse(t)
			c := clickHouseClient(t, s.URL())
			return s, func() error { return c.Ping(t.Context()) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, ping := begin()
			require.NoError(t, ping())
			s.Pause()
			answered := make(chan error, 1)
			go func() { answered <- ping() }()
			select {
			case err := <-answered:
				t.Fatalf("a paused server answered (%v)", err)
			case <-time.After(100 * time.Millisecond):
			}
			s.Resume()
			require.NoError(t, <-answered)
			s.Pause()
			s.Stop() // lets it go on first
			require.Error(t, ping())
		})
	}
}

// TestFolderAndPortsStay: a server started later finds what one left.
func TestFolderAndPortsStay(t *testing.T) {
	for name, begin := range map[string]func(options ...Option) *Server{
		"redis":      func(o ...Option) *Server { return Redis(t, o[0], o[1], AOF("everysec")) },
		"mariadb":    func(o ...Option) *Server { return MariaDB(t, o[0], o[1]) },
		"clickhouse": func(o ...Option) *Server { return ClickHouse(t, o[0], o[1]) },
	} {
		t.Run(name, func(t *testing.T) {
			folder := filepath.Join(t.TempDir(), "new", name)
			ports := freePorts(t, map[string]int{"redis": 1, "mariadb": 1, "clickhouse": 2}[name])
			mark := func(s *Server, expected int) {
				switch name {
				case "redis":
					require.EqualValues(t, expected, client(t, s).RPush(t.Context(), "list", "v").Val())
				case "mariadb":
					db := mariaDBClient(t, s)
					exec1(t, db, "CREATE TABLE IF NOT EXISTS mark (n INT)")
					exec1(t, db, "INSERT INTO mark VALUES (1)")
					var count int
					require.NoError(t, db.QueryRowContext(t.Context(), "SELECT count(*) FROM mark").Scan(&count))
					require.Equal(t, expected, count)
				case "clickhouse":
					c := clickHouseClient(t, s.URL())
					require.NoError(t, c.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS mark (n Int64) ENGINE = MergeTree ORDER BY n"))
					require.NoError(t, c.Exec(t.Context(), "INSERT INTO mark VALUES (1)"))
					require.EqualValues(t, expected, rows(t, c, "SELECT count() FROM mark"))
				}
			}
			first := begin(Folder(folder), Ports(ports...))
			mark(first, 1)
			first.Stop()
			second := begin(Folder(folder), Ports(ports...))
			mark(second, 2)
			require.Equal(t, first.URL(), second.URL())
		})
	}
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
