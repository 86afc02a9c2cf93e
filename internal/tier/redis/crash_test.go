package redis_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

const (
	waitLong = 20 * time.Second
	tick     = 5 * time.Millisecond
)

// TestServerKilledMidBatch kills Redis while batches run. Whatever of its file
// survived, the tier comes back as a whole at some batch's edge, or empty, and
// goes on from there.
func TestServerKilledMidBatch(t *testing.T) {
	for name, options := range map[string][]testserver.RedisOption{
		"nothing on disk": nil,
		"everysec":        {testserver.AOF("everysec")},
		"always":          {testserver.AOF("always")},
	} {
		t.Run(name, func(t *testing.T) {
			const step, rounds = 500, 6
			server := testserver.Redis(t, options...)
			tape := steady(step*400, 20, 50)
			tier := open(t, server)
			at := 0
			for round := range rounds {
				// Acknowledged batches go to acked; the kill comes some batches later.
				acked := make(chan int, len(tape)/step)
				stopped := make(chan error, 1)
				go func(from int) {
					defer close(acked)
					for to := from + step; to <= len(tape); to += step {
						if err := tier.Apply(t.Context(), projectortest.Batch(tape, to-step, to)); err != nil {
							stopped <- err
							return
						}
						acked <- to
					}
					stopped <- errors.New("the tape ended before the kill")
				}(at)
				for range 3 + round {
					to, running := <-acked
					if !running {
						require.NoError(t, <-stopped, "before the kill")
					}
					at = to
				}
				server.Kill()
				err := <-stopped
				require.NotErrorIs(t, err, projector.ErrConflict)
				require.NotErrorIs(t, err, projector.ErrRefused)
				for to := range acked {
					at = to
				}
				server.Restart()

				// A pooled connection may still have to find out.
				var found eventlog.Checkpoint
				require.Eventually(t, func() bool {
					found, err = tier.Checkpoint(t.Context())
					return err == nil
				}, waitLong, tick)
				switch name {
				case "nothing on disk":
					require.Zero(t, found)
				case "always":
					require.Contains(t, []eventlog.Checkpoint{projectortest.Checkpoint(at), projectortest.Checkpoint(at + step)}, found, "acknowledged is on disk")
				}
				at = int(found.Sequence)
				require.Zero(t, at%step)
				requireFold(t, tier, tape, at)
			}
		})
	}
}
