// Package replay plays the log into whichever tier or file snapshot one
// chooses, up to whichever moment, and proves what the tiers hold. Each
// command is one file here; all of them go through projector.Player.
package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/backup"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

// CLI is the command line of replay.
type CLI struct {
	settings.Common
	NatsURL    string `help:"NATS that holds the log." default:"nats://127.0.0.1:4222" env:"TAPEDECK_NATS_URL"`
	IngestURL  string `help:"ingest's HTTP address, for import, phase and reconcile." default:"http://127.0.0.1:8080" env:"TAPEDECK_INGEST_URL"`
	ConsoleURL string `help:"The console's HTTP address, for --mode and phase." default:"http://127.0.0.1:8090" env:"TAPEDECK_CONSOLE_URL"`
	tierFlags
	JSON    bool          `name:"json" help:"Print one JSON object instead of text."`
	Timeout time.Duration `help:"How long to wait for an answer of the log or a tier." default:"10s"`

	Status    statusCommand    `cmd:"" help:"Show the log and how far each tier is."`
	Import    importCommand    `cmd:"" help:"Import a strategy's cache folder, or a file of events (an export, too)."`
	Export    exportCommand    `cmd:"" help:"Write events of the log to a file: NDJSON, CSV or Parquet."`
	Diff      diffCommand      `cmd:"" help:"Show what changed between two moments."`
	WhatIf    whatIfCommand    `cmd:"" help:"Show what would differ without some events, or with other active parameters."`
	Snapshot  snapshotCommand  `cmd:"" help:"Write the state as of any moment into a strategy-ready folder."`
	Rebuild   rebuildCommand   `cmd:"" help:"Build a tier anew beside the live one and swap it in."`
	Rollback  rollbackCommand  `cmd:"" help:"Take a tier back to a moment and hold it there."`
	Resume    resumeCommand    `cmd:"" help:"Let a held tier go on."`
	Cut       cutCommand       `cmd:"" help:"Prove that all tiers equal the log at one and the same sequence."`
	Health    healthCommand    `cmd:"" help:"Tell every component's state, also by the exit code."`
	Parked    parkedCommand    `cmd:"" help:"List, show, retry or discard events that a tier refused."`
	Verify    verifyCommand    `cmd:"" help:"Compare a tier with the fold of the log at the tier's checkpoint."`
	Reconcile reconcileCommand `cmd:"" help:"Compare an account's positions with its broker's statement."`
	Phase     phaseCommand     `cmd:"" help:"Show, check or switch the phase in which an account is between files and tiers."`
	Audit     auditCommand     `cmd:"" help:"Walk the whole log, prove chain and contiguity, and every tier's anchor in it."`
	Anchor    anchorCommand    `cmd:"" help:"Sign the log's end, for replay audit --anchor."`
	Backup    backupCommand    `cmd:"" help:"Copy the log, or what it got since the last time, into a folder that proves itself."`
	Restore   restoreCommand   `cmd:"" help:"Put a backup of the log back into ingest's data folder."`
}

// ErrDifferences ends a command that worked and found something amiss; what
// it found is printed already.
var ErrDifferences = errors.New("differences found")

// errUnhealthy ends a command that something which is not well keeps from its
// work.
var errUnhealthy = errors.New("unhealthy")

// Env is what a command works with.
type Env struct {
	Context context.Context
	CLI     *CLI
	Out     io.Writer
	// Err takes progress and messages for people.
	Err io.Writer
}

// openLog opens the log for reading.
func (e *Env) openLog() (*eventlog.Log, error) {
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	log, err := eventlog.Open(ctx, eventlog.Config{URL: e.CLI.NatsURL})
	if err != nil {
		return nil, fmt.Errorf("open log at %s (is ingest running? set --nats-url or TAPEDECK_NATS_URL): %w", settings.Redact(e.CLI.NatsURL), err)
	}
	return log, nil
}

// print writes v as JSON, or as the text that text writes.
func (e *Env) print(v any, text func(w io.Writer)) error {
	if !e.CLI.JSON {
		text(e.Out)
		return nil
	}
	enc := json.NewEncoder(e.Out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// ExitCode maps an error to the exit codes of the design.
func ExitCode(err error) int {
	var corrupt *eventlog.CorruptError
	var invalid *events.InvalidError
	var network *net.OpError
	switch {
	case err == nil:
		return settings.ExitFine
	case errors.Is(err, ErrDifferences), errors.Is(err, errUnhealthy), errors.Is(err, projector.ErrConflict), errors.Is(err, projector.ErrHeld), errors.As(err, &corrupt), errors.Is(err, backup.ErrDamaged):
		return settings.ExitUnhealthy
	case errors.Is(err, errUsage), errors.Is(err, projector.ErrForeignData), errors.Is(err, projector.ErrRefused), errors.As(err, &invalid), errors.Is(err, os.ErrNotExist):
		return settings.ExitUsage
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.Is(err, eventlog.ErrUnreachable):
		return settings.ExitUnreachable
	case errors.Is(err, context.Canceled):
		return settings.ExitUnhealthy
	}
	return settings.ExitUnreachable
}

var errUsage = errors.New("usage")

func usage(format string, args ...any) error {
	return fmt.Errorf(format+" (%w)", append(args, errUsage)...)
}

// Description is what --help says first.
const Description = `Plays the durable log into tiers and folders, up to any moment, and proves what they hold.

The log is read from --nats-url; a tier is used only when it is named. Exit codes: 0 fine, 1 differences or unhealthy, 2 wrong usage or refused, 3 a tier or the log can't be reached.

  replay import ~/strategy/cache --account 55009728 --daily ~/strategy/cache/_daily
  replay snapshot --out /tmp/june --until-time 2025-06-30
  replay verify --tier all`
