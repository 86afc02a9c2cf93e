package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// A replay fills its batches, for nobody waits for the first: patience is
// longer than any batch takes to fill.
const patience = time.Hour

// play brings a tier from its checkpoint to the bound, or to the log's end as
// it is now. When a connection breaks on the way, the tier is asked where it is,
// and it goes on from there. only leaves events out; nil leaves none out.
func (e *Env) play(ctx context.Context, log *eventlog.Log, tier projector.Tier, bound projector.Bound, only func(*events.Event) bool) (eventlog.Checkpoint, error) {
	for {
		from, err := tier.Checkpoint(ctx)
		if err != nil {
			return from, fmt.Errorf("%s: read checkpoint: %w", tier.Name(), err)
		}
		at, err := e.playFrom(ctx, log, tier, bound, only, from)
		if err == nil || at == from || ctx.Err() != nil || !passes(err) {
			return at, err
		}
		fmt.Fprintf(e.Err, "going on after sequence %d: %v\n", at.Sequence, err)
	}
}

// pin turns a bound into one that ends at a sequence of the log as it is now, so
// that whatever arrives later changes nothing: also for several tiers in turn.
func (e *Env) pin(log *eventlog.Log, bound projector.Bound) (projector.Bound, error) {
	info, err := log.Info(e.Context)
	if err != nil {
		return bound, fmt.Errorf("ask the log for its end: %w", err)
	}
	switch {
	case bound.UntilSequence > info.Last:
		return bound, usage("--until-sequence %d lies beyond the log's end, %d", bound.UntilSequence, info.Last)
	case bound.UntilSequence > 0:
		return bound, nil
	case bound.UntilLogged.IsZero():
		bound.UntilSequence = info.Last
		return bound, nil
	}
	at, err := e.playFrom(e.Context, log, memory.New(nil), bound, func(*events.Event) bool { return false }, eventlog.Checkpoint{})
	bound.UntilSequence = at.Sequence
	return bound, err
}

// passes tells whether an error may be gone at the next attempt.
func passes(err error) bool {
	var corrupt *eventlog.CorruptError
	for _, stays := range []error{projector.ErrRefused, projector.ErrConflict, projector.ErrHeld, projector.ErrForeignData, errUsage} {
		if errors.Is(err, stays) {
			return false
		}
	}
	return !errors.As(err, &corrupt)
}

func (e *Env) playFrom(ctx context.Context, log *eventlog.Log, tier projector.Tier, bound projector.Bound, only func(*events.Event) bool, from eventlog.Checkpoint) (eventlog.Checkpoint, error) {
	info, err := log.Info(ctx)
	if err != nil {
		return from, fmt.Errorf("ask the log for its end: %w", err)
	}
	if bound.UntilSequence > info.Last {
		return from, usage("--until-sequence %d lies beyond the log's end, %d", bound.UntilSequence, info.Last)
	}
	frames, err := log.Read(ctx, from, eventlog.ReadOptions{})
	if err != nil {
		return from, fmt.Errorf("read log after sequence %d: %w", from.Sequence, err)
	}
	defer frames.Close()
	last := info.Last
	if bound.UntilSequence > 0 {
		last = bound.UntilSequence
	}
	progress := e.progress("replaying into "+tier.Name(), int64(last-min(last, from.Sequence)))
	defer progress.Close()
	player := projector.Player{Bound: bound, Only: only, BatchRows: batchRows(tier), Pace: patience, Observe: progress}
	return player.Play(ctx, frames, tier, from)
}

// batchRows is how many rows a batch aims at. Large ones cost a tier least. In
// ClickHouse each block is a part a month, and the parts of klines over years
// cost more than their rows.
func batchRows(tier projector.Tier) int {
	if tier.Name() == "clickhouse" {
		return 250_000
	}
	return 20_000
}

// playOnly folds the log up to a sequence, of it only the events that pass.
func (e *Env) playOnly(log *eventlog.Log, tier projector.Tier, until uint64, only func(*events.Event) bool) error {
	frames, err := log.Read(e.Context, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer frames.Close()
	bar := e.progress("folding the log", int64(until))
	defer bar.Close()
	player := projector.Player{Bound: projector.Bound{UntilSequence: until}, Only: only, Observe: bar}
	_, err = player.Play(e.Context, frames, tier, eventlog.Checkpoint{})
	return err
}

// progress tells how far a long work is: as a bar with rate and time left on a
// terminal, as lines of JSON with --json, not at all elsewhere.
type progress struct {
	*progressbar.ProgressBar
	what  string
	lines *json.Encoder
	told  time.Time
}

// progressLine is what --json prints on the way, at most once a second.
type progressLine struct {
	Progress    string  `json:"progress"`
	Done        int64   `json:"done"`
	Total       int64   `json:"total"`
	PerSecond   float64 `json:"per_second"`
	SecondsLeft float64 `json:"seconds_left"`
}

// add moves the progress on. One that cannot be shown stops nothing.
func (p *progress) add(n int64) {
	_ = p.Add64(n)
	if p.lines == nil || time.Since(p.told) < time.Second {
		return
	}
	p.told = time.Now()
	state := p.State()
	_ = p.lines.Encode(progressLine{p.what, state.CurrentNum, state.Max, state.KBsPerSecond * 1024, state.SecondsLeft})
}

// Waiting implements projector.Observer.
func (p *progress) Waiting(uint64, time.Time) {}

// Applied implements projector.Observer.
func (p *progress) Applied(b projector.Batch, _ time.Duration) {
	p.add(int64(b.To.Sequence - b.From.Sequence))
}

func (e *Env) progress(what string, total int64) *progress {
	out := io.Discard
	if f, ok := e.Err.(*os.File); ok && !e.CLI.JSON {
		if stat, err := f.Stat(); err == nil && stat.Mode()&os.ModeCharDevice != 0 {
			out = e.Err
		}
	}
	p := &progress{what: what, told: time.Now(), ProgressBar: progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("events"),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)}
	if e.CLI.JSON {
		p.lines = json.NewEncoder(e.Out)
	}
	return p
}
