package projector_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// batches counts what a Player applies.
type batches struct{ sizes []int }

func (b *batches) Waiting(uint64, time.Time) {}

func (b *batches) Applied(batch projector.Batch, _ time.Duration) {
	b.sizes = append(b.sizes, len(batch.Events))
}

// TestPaceGathers: with a pace the first batch goes at once, and what comes
// before the next is due goes together; a full batch waits for nothing.
func TestPaceGathers(t *testing.T) {
	play := func(rows int) []int {
		seen := &batches{}
		tier := memory.New([]book.Kind{book.KindHeldDays})
		player := projector.Player{Pace: time.Hour, BatchRows: rows, Observe: seen}
		at, err := player.Play(t.Context(), framesOf(t, 1, 1, 1, 1, 1, 1, 1, 1), tier, eventlog.Checkpoint{})
		require.NoError(t, err)
		require.EqualValues(t, 8, at.Sequence)
		return seen.sizes
	}
	require.LessOrEqual(t, len(play(1000)), 2)
	require.Equal(t, []int{2, 2, 2, 2}, play(1))
}
