// Command projector-clickhouse keeps ClickHouse equal to the log.
package main

import (
	"context"
	"os"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/clickhouse"
)

// batching: a part for each insert is dear, a reader within a second is wanted.
var batching = projector.Batching{Pace: 200 * time.Millisecond, Rows: 50_000}

type cli struct {
	projector.Command
	ClickHouseDSN string `name:"clickhouse-dsn" help:"ClickHouse to keep up to date, e.g. clickhouse://user:password@127.0.0.1:9000/tapedeck, or http(s)://…" required:"" env:"TAPEDECK_CLICKHOUSE_DSN"`
	Metrics       string `help:"Address of /metrics, /healthz and /readyz." default:"127.0.0.1:9103"`
}

func main() {
	var c cli
	settings.Parse(&c, "projector-clickhouse",
		"Keeps the cool tier, ClickHouse, equal to the log: trade and daily_kline. It makes and migrates its tables by itself, "+
			"resumes from the checkpoint that ClickHouse holds, and fills an emptied ClickHouse again.", os.Args[1:])
	os.Exit(c.Main("clickhouse", c.Metrics, batching, func(ctx context.Context) (projector.Live, error) {
		return clickhouse.Open(ctx, clickhouse.Options{DSN: c.ClickHouseDSN, TakeOver: c.TakeOver})
	}, os.Stderr))
}
