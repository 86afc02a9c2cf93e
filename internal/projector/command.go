package projector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

// Batching is how a tier likes its batches; the zero Batching is the Player's
// defaults.
type Batching struct {
	Pace time.Duration
	Rows int
}

// Command is what the command line of every projector embeds.
type Command struct {
	settings.Common
	NatsURL   string `help:"NATS that holds the log." default:"nats://127.0.0.1:4222" env:"TAPEDECK_NATS_URL"`
	OnRefused string `help:"What to do with an event that the tier refuses for good: ${enum}. Parked events and later ones of their subject wait for replay parked." enum:"stop,park" default:"stop"`
	TakeOver  bool   `help:"Replace data that Tapedeck did not write with what the log says."`
}

// Main runs the projector of one tier until SIGINT or SIGTERM and returns the
// process's exit code.
func (c Command) Main(name, metrics string, batching Batching, open func(ctx context.Context) (Live, error), out io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	logger := c.Logger(out).With("projector", name)
	state := NewState(name)
	address, err := state.Listen(ctx, metrics)
	if err != nil {
		logger.Error("cannot start", "error", err)
		return settings.ExitUsage
	}
	logger.Info("ready", "metrics", "http://"+address+"/metrics", "nats_url", settings.Redact(c.NatsURL))
	runner := Runner{
		OpenLog: func(ctx context.Context) (*eventlog.Log, error) {
			return eventlog.Open(ctx, eventlog.Config{URL: c.NatsURL})
		},
		OpenTier:  open,
		Pace:      batching.Pace,
		BatchRows: batching.Rows,
		Park:      c.OnRefused == "park",
		Logger:    logger,
		State:     state,
	}
	if err := runner.Run(ctx); err != nil {
		logger.Error("stopped: a human must act", "error", err, "next", nextStep(name, err))
		if errors.Is(err, ErrForeignData) || errors.Is(err, ErrRefused) {
			return settings.ExitUsage
		}
		return settings.ExitUnhealthy
	}
	logger.Info("stopped")
	return settings.ExitFine
}

// nextStep says what an operator does about an error that ends a projector.
func nextStep(tier string, err error) string {
	var corrupt *eventlog.CorruptError
	switch {
	case errors.As(err, &corrupt):
		return "replay audit tells more; restore the log from a backup, nothing is skipped by itself"
	case errors.Is(err, ErrForeignData):
		return fmt.Sprintf("point projector-%s at an empty %s, or start it with --take-over", tier, tier)
	}
	return "see the error"
}
