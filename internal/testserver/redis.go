package testserver

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
)

// RedisOption changes how a private Redis is started.
type RedisOption interface{ redis(*redisConfig) }

type redisOption func(*redisConfig)

func (o redisOption) redis(c *redisConfig) { o(c) }

type redisConfig struct {
	settings

	appendFsync string
	extra       []string
}

// AOF turns the append-only file on with the given appendfsync policy:
// "always", "everysec" or "no". Without it Redis keeps nothing on disk.
func AOF(appendFsync string) RedisOption {
	return redisOption(func(c *redisConfig) { c.appendFsync = appendFsync })
}

// RedisArgs passes further arguments to redis-server, such as
// "--requirepass", "secret".
func RedisArgs(args ...string) RedisOption {
	return redisOption(func(c *redisConfig) { c.extra = append(c.extra, args...) })
}

// Redis starts a private Redis server on one port.
func Redis(t T, options ...RedisOption) *Server {
	t.Helper()
	logging.Disable() // dials until the server is ready are no news
	var config redisConfig
	for _, option := range options {
		option.redis(&config)
	}
	return start(t, config.settings, engine{
		name:  "redis-server",
		find:  binary("redis-server", "sudo apt-get install -y redis-server"),
		ports: 1,
		args:  config.args,
		url:   func(addr string) string { return "redis://" + addr + "/0" },
		ready: redisReady,
	})
}

func (c redisConfig) args(s *Server) []string {
	args := []string{
		"--port", strconv.Itoa(s.ports[0]), "--bind", "127.0.0.1",
		"--dir", s.data, "--save", "", "--databases", "64",
	}
	if c.appendFsync == "" {
		args = append(args, "--appendonly", "no")
	} else {
		args = append(args, "--appendonly", "yes", "--appendfsync", c.appendFsync)
	}
	return append(args, c.extra...)
}

// redisReady waits for the answer of a server that is done with loading, and
// that is ours: another may have taken the port. One that wants a password can
// only be believed.
func redisReady(ctx context.Context, s *Server) error {
	client := redis.NewClient(&redis.Options{Addr: s.Addr(), MaxRetries: -1, DialerRetries: 1, PoolSize: 1})
	defer client.Close()
	info, err := client.Info(ctx, "server").Result()
	if redis.IsAuthError(err) {
		return nil
	}
	if err == nil && !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.process.Process.Pid)) {
		err = fmt.Errorf("another server answers on %s", s.Addr())
	}
	if err == nil {
		err = client.Ping(ctx).Err() // INFO is answered while loading, too
	}
	return err
}
