package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

type statusCommand struct{}

type statusAnswer struct {
	Log   logStatus    `json:"log"`
	Tiers []tierStatus `json:"tiers"`
}

type logStatus struct {
	FirstSequence uint64 `json:"first_sequence"`
	LastSequence  uint64 `json:"last_sequence"`
	Bytes         uint64 `json:"bytes"`
	Chain         string `json:"chain"`
}

type tierStatus struct {
	Tier string `json:"tier"`
	// Held says why the tier is held, if it is.
	Held string `json:"held,omitempty"`
	// Parked are the subjects that wait behind an event which the tier refused.
	Parked []projector.ParkedSubject `json:"parked,omitempty"`
	// The position is nil when the tier cannot be asked: not knowing is not
	// being up to date.
	*tierPosition
	Error string `json:"error,omitempty"`
}

type tierPosition struct {
	Checkpoint uint64  `json:"checkpoint"`
	LagEvents  uint64  `json:"lag_events"`
	LagSeconds float64 `json:"lag_seconds"`
}

// Run implements the command. It fails when a configured tier cannot be asked.
func (statusCommand) Run(e *Env) error {
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Info(e.Context)
	if err != nil {
		return fmt.Errorf("ask the log for its end: %w", err)
	}
	answer := statusAnswer{Log: logStatus{info.First, info.Last, info.Bytes, info.Chain.String()}, Tiers: []tierStatus{}}
	var failed []error
	for _, name := range e.CLI.configured() {
		status, err := e.tierStatus(log, info, name)
		if err != nil {
			status.Error = err.Error()
			failed = append(failed, fmt.Errorf("tier %s: %w", name, err))
		}
		answer.Tiers = append(answer.Tiers, status)
	}
	if err := e.print(answer, answer.text); err != nil {
		return err
	}
	return errors.Join(failed...)
}

func (e *Env) tierStatus(log *eventlog.Log, info eventlog.Info, name string) (tierStatus, error) {
	status := tierStatus{Tier: name}
	tier, err := e.openTier(name)
	if err != nil {
		return status, err
	}
	defer tier.Close()
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	at, err := tier.Checkpoint(ctx)
	if err != nil {
		return status, err
	}
	status.tierPosition = &tierPosition{Checkpoint: at.Sequence}
	hold, err := tier.Hold(ctx)
	if err != nil {
		return status, err
	}
	if hold.Holds(time.Now()) {
		status.Held = hold.Reason
	}
	parking, err := hold.ReadParking()
	if err != nil {
		return status, err
	}
	status.Parked = parking.Parked
	if at.Sequence >= info.Last {
		return status, proveAnchor(ctx, log, at)
	}
	status.LagEvents = info.Last - at.Sequence
	frames, err := log.Read(ctx, at, eventlog.ReadOptions{})
	if err != nil {
		return status, err
	}
	defer frames.Close()
	next, err := frames.Next(ctx)
	if err != nil {
		return status, err
	}
	status.LagSeconds = max(0, time.Since(next.Logged).Seconds())
	return status, nil
}

// proveAnchor holds a tier's checkpoint against the log: the frame that holds
// its sequence must be there, with its chain value.
func proveAnchor(ctx context.Context, log *eventlog.Log, at eventlog.Checkpoint) error {
	frames, err := log.Read(ctx, at, eventlog.ReadOptions{})
	if err != nil {
		return err
	}
	return frames.Close()
}

func (a statusAnswer) text(w io.Writer) {
	fmt.Fprintf(w, "log: events %d to %d, %.1f MB, chain %.12s…\n\n", a.Log.FirstSequence, a.Log.LastSequence, float64(a.Log.Bytes)/1e6, a.Log.Chain)
	if len(a.Tiers) == 0 {
		fmt.Fprintln(w, "no tier is configured (TAPEDECK_REDIS_URL, TAPEDECK_MYSQL_DSN, TAPEDECK_CLICKHOUSE_DSN, TAPEDECK_FILE_DIR)")
		return
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "TIER\tCHECKPOINT\tLAG EVENTS\tLAG SECONDS\tSTATE")
	for _, t := range a.Tiers {
		if t.tierPosition == nil {
			fmt.Fprintf(table, "%s\t?\t?\t?\t%s\n", t.Tier, t.Error)
			continue
		}
		state := "ok"
		if t.LagEvents > 0 {
			state = "behind"
		}
		if len(t.Parked) > 0 {
			state = fmt.Sprintf("%d subjects parked", len(t.Parked))
		}
		if t.Held != "" {
			state = "held: " + t.Held
		}
		if t.Error != "" {
			state = t.Error
		}
		fmt.Fprintf(table, "%s\t%d\t%d\t%.3f\t%s\n", t.Tier, t.Checkpoint, t.LagEvents, t.LagSeconds, state)
	}
	table.Flush()
}
