// Command projector-redis keeps Redis equal to the log.
package main

import (
	"context"
	"os"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

type cli struct {
	projector.Command
	RedisURL string `help:"Redis to keep up to date, e.g. redis://127.0.0.1:6379/0." required:"" env:"TAPEDECK_REDIS_URL"`
	Metrics  string `help:"Address of /metrics, /healthz and /readyz." default:"127.0.0.1:9101"`
}

func main() {
	var c cli
	settings.Parse(&c, "projector-redis",
		"Keeps the hot tier, Redis, equal to the log: held_days, max_prices, min_prices and _inc_date of every account. "+
			"It resumes from the checkpoint that Redis holds, and fills an emptied Redis again by itself.", os.Args[1:])
	os.Exit(c.Main("redis", c.Metrics, projector.Batching{}, func(ctx context.Context) (projector.Live, error) {
		return redis.Open(ctx, redis.Options{URL: c.RedisURL, TakeOver: c.TakeOver})
	}, os.Stderr))
}
