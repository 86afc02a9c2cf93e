package replay

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// play brings a tier from its checkpoint to the bound, or to the log's end as
// it is now.
func (e *Env) play(ctx context.Context, log *eventlog.Log, tier projector.Tier, bound projector.Bound) (eventlog.Checkpoint, error) {
	from, err := tier.Checkpoint(ctx)
	if err != nil {
		return from, fmt.Errorf("%s: read checkpoint: %w", tier.Name(), err)
	}
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
	player := projector.Player{Bound: bound, Observe: &barObserver{bar: progress}}
	return player.Play(ctx, frames, tier, from)
}

type barObserver struct {
	bar *progressbar.ProgressBar
}

func (o *barObserver) Waiting(uint64, time.Time) {}

func (o *barObserver) Applied(b projector.Batch, _ time.Duration) {
	_ = o.bar.Add64(int64(b.To.Sequence - b.From.Sequence)) // a bar that cannot be drawn stops nothing
}

// progress is a bar with rate and time left on a terminal, nothing elsewhere.
func (e *Env) progress(what string, total int64) *progressbar.ProgressBar {
	out := io.Discard
	if f, ok := e.Err.(*os.File); ok && !e.CLI.JSON {
		if stat, err := f.Stat(); err == nil && stat.Mode()&os.ModeCharDevice != 0 {
			out = e.Err
		}
	}
	return progressbar.NewOptions64(total,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(),
		progressbar.OptionShowIts(),
		progressbar.OptionSetItsString("events"),
		progressbar.OptionSetPredictTime(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
	)
}
