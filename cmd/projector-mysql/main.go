// Command projector-mysql keeps MySQL or MariaDB equal to the log.
package main

import (
	"context"
	"os"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
)

type cli struct {
	projector.Command
	MysqlDSN string `name:"mysql-dsn" help:"MySQL or MariaDB to keep up to date, e.g. user:password@tcp(127.0.0.1:3306)/tapedeck or mysql://user:password@127.0.0.1:3306/tapedeck." required:"" env:"TAPEDECK_MYSQL_DSN"`
	Metrics  string `help:"Address of /metrics, /healthz and /readyz." default:"127.0.0.1:9102"`
}

func main() {
	var c cli
	settings.Parse(&c, "projector-mysql",
		"Keeps the warm tier, MySQL or MariaDB, equal to the log: account, strategy, account_strategy, strategy_param, user and user_role. "+
			"It makes and migrates its tables by itself, resumes from the checkpoint that the database holds, and fills an emptied database again.", os.Args[1:])
	os.Exit(c.Main("mysql", c.Metrics, projector.Batching{}, func(ctx context.Context) (projector.Live, error) {
		return mysql.Open(ctx, mysql.Options{DSN: c.MysqlDSN, TakeOver: c.TakeOver})
	}, os.Stderr))
}
