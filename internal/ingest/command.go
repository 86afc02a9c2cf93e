package ingest

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/phase"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/watch"
)

// Description is the first lines of ingest --help.
const Description = "Takes events over HTTP and NATS, validates them and appends them to the log. An answer means on disk."

// CLI is ingest's command line.
type CLI struct {
	settings.Common
	Data           string          `help:"Folder of the log and of ingest's state." default:"./data"`
	Listen         string          `help:"Address of the HTTP door; port 0 picks a free one." default:"127.0.0.1:8080"`
	NatsListen     string          `help:"Address of the embedded NATS server." default:"127.0.0.1:4222"`
	NatsURL        string          `help:"Outside NATS that holds the log, in place of the embedded one." env:"TAPEDECK_INGEST_NATS_URL" placeholder:"URL"`
	NatsCreds      string          `help:"Credentials file for the outside NATS." type:"existingfile" placeholder:"FILE"`
	Replicas       int             `help:"How many servers of the outside NATS hold the log." default:"1"`
	SessionPolicy  calendar.Policy `help:"What to do about trades outside the session: off, flag or enforce." default:"enforce"`
	SessionWindow  calendar.Window `help:"The trading session, Asia/Shanghai." default:"09:15-15:30"`
	MaxQueue       int             `help:"Events that may wait for an answer before more get 429." default:"100000"`
	SnapshotEvents int             `help:"Events between two state snapshots, at most." default:"1000000"`
	SnapshotAge    time.Duration   `help:"Time between two state snapshots, at most." default:"5m"`
	Watch          []watch.Folder  `help:"Follow a strategy's cache folder and record each change of its files; several divided by ';' or in several flags. The folder is only read." sep:";" placeholder:"DIR=ACCOUNT"`
	WatchBroker    string          `help:"Broker of watched accounts that the log does not know yet: QMT, GM or TDX; by default GM for an id that is a UUID, else QMT." enum:",QMT,GM,TDX" default:""`
	WatchScan      time.Duration   `help:"Time between two full readings of a watched folder in which no change shows." default:"15s"`
	WatchPatience  time.Duration   `help:"How long a watched file must be missing or empty before that counts." default:"10s"`
	ReconcileGate  string          `help:"What an account's last reconciliation must be for a step to its next phase: breaks (without breaks, if there is one), required (there, and without breaks) or off." enum:"breaks,required,off" default:"breaks"`
	LiveFeed       string          `help:"Publish stored events on core NATS, events.v1.>: ${enum}. auto does when somebody listens; with an outside NATS, where that cannot be told, it does not." enum:"auto,on,off" default:"auto"`
	BackupDir      string          `help:"Folder for backups of the log, best on another disk; none without it." placeholder:"DIR"`
	BackupEvery    Days            `help:"Time between two backups." default:"24h"`
	BackupKeep     Days            `help:"How long backups are kept: a set is gone on with that long, and dropped that long after its last run, once another one is proved." default:"30d"`
	StopPatience   time.Duration   `help:"How long a stop waits for requests to be answered." default:"20s"`
}

// Validate is called by the command line's parser.
func (c CLI) Validate() error {
	if c.MaxQueue < 1 || c.SnapshotEvents < 1 || c.SnapshotAge <= 0 || c.StopPatience <= 0 {
		return errors.New("--max-queue, --snapshot-events, --snapshot-age and --stop-patience must be greater than 0")
	}
	if c.BackupEvery <= 0 || c.BackupKeep < c.BackupEvery {
		return errors.New("--backup-every must be greater than 0, --backup-keep at least as long")
	}
	if c.WatchScan <= 0 || c.WatchPatience <= 0 {
		return errors.New("--watch-scan and --watch-patience must be greater than 0")
	}
	if c.Replicas < 1 || c.Replicas > 5 {
		return errors.New("--replicas must be 1 to 5")
	}
	return nil
}

func (c CLI) config(logger *slog.Logger) Config {
	return Config{
		Data: c.Data, Listen: c.Listen, NATSListen: c.NatsListen,
		NATSURL: c.NatsURL, Credentials: c.NatsCreds, Replicas: c.Replicas,
		Policy: c.SessionPolicy, Window: c.SessionWindow, MaxQueue: c.MaxQueue,
		SnapshotEvents: c.SnapshotEvents, SnapshotAge: c.SnapshotAge, StopPatience: c.StopPatience,
		Backups:  BackupConfig{Dir: c.BackupDir, Every: time.Duration(c.BackupEvery), Keep: time.Duration(c.BackupKeep)},
		Watch:    WatchConfig{Folders: c.Watch, Broker: c.WatchBroker, Scan: c.WatchScan, Patience: c.WatchPatience, ReconcileGate: phase.ReconcileGate(c.ReconcileGate)},
		LiveFeed: c.LiveFeed,
		Logger:   logger,
	}
}

// Main runs ingest until SIGINT or SIGTERM and returns the exit code. attrs
// are the settings as they are to be logged.
func (c CLI) Main(attrs []any) int {
	logger := c.Logger(os.Stderr)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger.Info("starting", attrs...)
	s, err := Start(ctx, c.config(logger))
	if err != nil {
		logger.Error("cannot start", "error", err)
		return exitCode(err)
	}
	addresses := []any{"http", s.HTTPAddress(), "nats", strings.TrimPrefix(settings.Redact(s.NATSURL()), "nats://")}
	if err = s.Damage(); err == nil {
		logger.Info("ready", append(addresses, "sequence", s.committer.writing.Load().Info().Last)...)
		select {
		case <-ctx.Done():
		case err = <-s.Failed():
		}
	}
	if errors.As(err, new(*eventlog.CorruptError)) {
		logger.Error("read-only: a human must act; the log can still be read and audited", append(addresses, "error", err)...)
		<-ctx.Done()
	}
	stop() // a second signal ends the process at once
	if stopErr := s.Stop(); err == nil && stopErr != nil {
		logger.Error("stopped with an error", "error", stopErr)
		return settings.ExitUnhealthy
	}
	if err != nil {
		return exitCode(err)
	}
	logger.Info("stopped")
	return settings.ExitFine
}

func exitCode(err error) int {
	switch {
	case errors.As(err, new(*eventlog.CorruptError)):
		return settings.ExitUnhealthy
	case errors.Is(err, eventlog.ErrUnreachable):
		return settings.ExitUnreachable
	case errors.Is(err, context.Canceled):
		return settings.ExitFine // stopped before it was ready
	}
	return settings.ExitUsage
}
