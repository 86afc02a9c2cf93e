// Command ingest takes events over HTTP and NATS and appends them to the log.
package main

import (
	"os"

	"github.com/seed-744e3d1b/tapedeck/internal/ingest"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

func main() {
	var cli ingest.CLI
	command := settings.Parse(&cli, "ingest", ingest.Description, os.Args[1:])
	os.Exit(cli.Main(settings.Attrs(command)))
}
