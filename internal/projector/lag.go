package projector

import (
	"context"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// lagCheck is how often the log's end is looked at.
const lagCheck = time.Second

// watchLag keeps the log's end, and the age of the oldest event that the tier
// lacks, current: also while the tier hangs, is held or cannot be opened.
func (r *Runner) watchLag(ctx context.Context, log *eventlog.Log) {
	ticker := time.NewTicker(lagCheck)
	defer ticker.Stop()
	for {
		if info, err := log.Info(ctx); err == nil {
			r.State.logEnd(info.Last)
			if at, unread := r.State.unread(); unread {
				if frame, err := frameAfter(ctx, log, at); err == nil {
					r.State.Waiting(frame.Last(), frame.Logged)
				}
			}
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// frameAfter is the frame that holds the first event after a checkpoint.
func frameAfter(ctx context.Context, log *eventlog.Log, at eventlog.Checkpoint) (eventlog.Frame, error) {
	frames, err := log.Read(ctx, at, eventlog.ReadOptions{})
	if err != nil {
		return eventlog.Frame{}, err
	}
	defer frames.Close()
	return frames.Next(ctx)
}
