// Command servers starts a private Redis, MariaDB and ClickHouse whose data
// stay in a folder, for `make run-full`: it runs the given command with their
// addresses in the environment and stops them when it ends. Without a command
// it keeps them running until it is told to stop. It is for trying Tapedeck
// out on one machine; nothing here has a password.
package main

import (
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

type cli struct {
	Dir            string   `help:"Folder of the servers' data and logs." default:"./data/servers" type:"path"`
	RedisPort      int      `help:"Port of Redis on 127.0.0.1." default:"16379"`
	MysqlPort      int      `help:"Port of MariaDB on 127.0.0.1." default:"13306"`
	ClickhousePort int      `help:"Port of ClickHouse on 127.0.0.1, native." default:"19000"`
	HTTPPort       int      `name:"clickhouse-http-port" help:"Port of ClickHouse on 127.0.0.1, HTTP." default:"18123"`
	Command        []string `arg:"" optional:"" passthrough:"" help:"What to run beside the servers."`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Name("servers"), kong.Description("Starts private database servers and runs a command beside them."))
	// A terminal sends Ctrl-C to the command, too: it ends first, then we do.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt, syscall.SIGTERM)
	o := &owner{}
	code := c.run(o, interrupts)
	o.end()
	os.Exit(code)
}
