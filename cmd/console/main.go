// Command console serves the read API.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-744e3d1b/tapedeck/internal/console"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c console.Command
	settings.Parse(&c, "console",
		"Answers reads of positions, accounts, strategies, parameters, trades and klines over HTTP: from the tier that is fastest for each, "+
			"and from the next one within a second when that is down. /openapi.json describes all of it.", os.Args[1:])
	os.Exit(c.Main(ctx, os.Stderr))
}
