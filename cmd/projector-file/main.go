// Command projector-file keeps a strategy-ready folder equal to the log.
package main

import (
	"context"
	"os"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/file"
)

// batching: each batch syncs the files that it touches, and a reader within a
// second is wanted.
var batching = projector.Batching{Pace: 100 * time.Millisecond}

type cli struct {
	projector.Command
	Dir      string `help:"Folder to keep up to date." default:"./data/files" env:"TAPEDECK_DIR,TAPEDECK_FILE_DIR"`
	Encoding string `help:"Encoding of deal_hist.csv, utf-8 or gbk (what Python on Chinese Windows reads); by default what the folder has, utf-8 in a new one." enum:",utf-8,gbk" default:""`
	Metrics  string `help:"Address of /metrics, /healthz and /readyz." default:"127.0.0.1:9104"`
}

func main() {
	var c cli
	settings.Parse(&c, "projector-file",
		"Keeps a folder equal to the log, in the strategies' own file formats: positions.json, max_price.json, "+
			"min_price.json, deal_hist.csv and assets.csv per account, klines in _daily. A strategy pointed at it goes on "+
			"as if nothing had changed.", os.Args[1:])
	os.Exit(c.Main("file", c.Metrics, batching, func(context.Context) (projector.Live, error) {
		return file.Open(c.Dir, file.Options{TakeOver: c.TakeOver, Encoding: silverquant.Encoding(c.Encoding)})
	}, os.Stderr))
}
