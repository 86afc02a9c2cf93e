// Command replay plays the log into tiers and files, up to any moment, and
// proves what they hold.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/seed-744e3d1b/tapedeck/internal/replay"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var cli replay.CLI
	command := settings.Parse(&cli, "replay", replay.Description, os.Args[1:])
	env := &replay.Env{Context: ctx, CLI: &cli, Out: os.Stdout, Err: os.Stderr}
	err := command.Run(env)
	// What was found is printed already; why a command ended otherwise is not.
	// Wrapped, it says more; the library joins it with its own.
	if err != nil && err.Error() != replay.ErrDifferences.Error() {
		fmt.Fprintln(os.Stderr, "replay:", err)
	}
	os.Exit(replay.ExitCode(err))
}
