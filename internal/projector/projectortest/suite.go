// Package projectortest is the suite that every tier must pass: whatever the
// history, whatever the cut into batches, whatever the instant it is stopped
// at, a tier equals the fold of the events up to its checkpoint.
package projectortest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Harness lets the suite make tiers.
type Harness struct {
	// New wipes the store and returns a way to open a tier on it, any number of
	// times, also several at once. It is called for every history: make it cheap.
	New func(t testing.TB) (open func() (projector.Tier, error))
	// History draws a random valid history, sequences 1, 2, 3 …
	History func(t *rapid.T) []*events.Event
	// Histories is how many random histories FoldEquality takes at least,
	// whatever -rapid.checks says; 0 leaves it to that.
	Histories int
	// Beside are more stores that FoldEquality may use at the same time as that of
	// New; they share the histories.
	Beside []func(t testing.TB) (open func() (projector.Tier, error))
}

// Run runs the suite of what every tier must do. The number of histories is
// rapid's -rapid.checks, and Histories for FoldEquality.
func Run(t *testing.T, h Harness) {
	t.Run("FoldEquality", h.foldEquality)
	t.Run("RestartAtEveryBatch", h.restartAtEveryBatch)
	t.Run("Idempotence", h.idempotence)
	t.Run("EmptyBatches", h.emptyBatches)
	t.Run("CheckpointAtomicity", h.checkpointAtomicity)
	t.Run("TwoWriters", h.twoWriters)
	t.Run("Player", h.player)
}

// RunLive runs the suite and what only live tiers must do; New's tiers are
// projector.Live.
func RunLive(t *testing.T, h Harness) {
	Run(t, h)
	t.Run("ShadowAndPromote", h.shadowAndPromote)
	t.Run("ShadowResumes", h.shadowResumes)
	t.Run("SwapBack", h.swapBack)
	t.Run("Hold", h.hold)
	t.Run("Repair", h.repair)
	t.Run("DumpWhileApplying", h.dumpWhileApplying)
}

// check runs a property over random histories, each on a fresh store.
func (h Harness) check(t *testing.T, property func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier)) {
	rapid.Check(t, func(rt *rapid.T) {
		tp := drawTape(rt, h.History(rt))
		opener := h.New(t)
		open := func() projector.Tier {
			tier, err := opener()
			require.NoError(rt, err)
			rt.Cleanup(func() { require.NoError(rt, tier.Close()) })
			return tier
		}
		property(t.Context(), rt, tp, open)
	})
}

// requireFold holds a tier against the fold of the events up to its checkpoint.
func requireFold(ctx context.Context, t rapid.TB, tier projector.Tier, covered []*events.Event) {
	t.Helper()
	var got []book.Row
	at, err := tier.Dump(ctx, collect(&got))
	require.NoError(t, err)
	requireCheckpoint(ctx, t, tier, at)
	requireRows(t, tier, covered, got)
}

// requireRows holds what a tier dumped against the fold of events.
func requireRows(t rapid.TB, tier projector.Tier, covered []*events.Event, got []book.Row) {
	t.Helper()
	b := book.New(book.Keep{History: true})
	for _, e := range covered {
		b.Apply(e)
	}
	var want []book.Row
	require.NoError(t, b.Rows(tier.Kinds(), collect(&want)))
	require.Equal(t, want, got, "%s after %d events", tier.Name(), len(covered))
}

func collect(rows *[]book.Row) func(book.Row) error {
	return func(r book.Row) error {
		*rows = append(*rows, r)
		return nil
	}
}

func requireCheckpoint(ctx context.Context, t rapid.TB, tier projector.Tier, want eventlog.Checkpoint) {
	t.Helper()
	got, err := tier.Checkpoint(ctx)
	require.NoError(t, err)
	require.Equal(t, want, got, "%s: checkpoint", tier.Name())
}

func (h Harness) foldEquality(t *testing.T) {
	stores := append(slices.Clone(h.Beside), h.New)
	atLeast(t, (h.Histories+len(stores)-1)/len(stores))
	for i, store := range stores {
		share := h
		share.New = store
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			share.foldsEqual(t)
		})
	}
}

func (h Harness) foldsEqual(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		tier := open()
		requireCheckpoint(ctx, t, tier, eventlog.Checkpoint{})
		for _, b := range tp.batches {
			require.NoError(t, tier.Apply(ctx, b))
		}
		requireCheckpoint(ctx, t, tier, tp.end())
		requireFold(ctx, t, tier, tp.events)
	})
}

func (h Harness) restartAtEveryBatch(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		at := eventlog.Checkpoint{}
		for _, b := range tp.batches {
			tier := open()
			requireCheckpoint(ctx, t, tier, at)
			require.NoError(t, tier.Apply(ctx, b))
			at = b.To
			require.NoError(t, tier.Close())
		}
		tier := open()
		requireCheckpoint(ctx, t, tier, at)
		requireFold(ctx, t, tier, tp.events)
	})
}

func (h Harness) idempotence(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		tier := open()
		for i, b := range tp.batches {
			require.NoError(t, tier.Apply(ctx, b))
			again := tp.batches[rapid.IntRange(0, i).Draw(t, "again")]
			require.ErrorIs(t, tier.Apply(ctx, again), projector.ErrConflict)
			forged := b
			forged.From = b.To
			forged.From.Chain[0] ^= 1
			forged.To.Sequence++
			require.ErrorIs(t, tier.Apply(ctx, forged), projector.ErrConflict, "the chain is part of the checkpoint")
		}
		requireCheckpoint(ctx, t, tier, tp.end())
		requireFold(ctx, t, tier, tp.events)
	})
}

func (h Harness) emptyBatches(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		tier := open()
		var covered []*events.Event
		for _, b := range tp.batches {
			if rapid.Bool().Draw(t, "filtered out") {
				b.Events = nil
			}
			require.NoError(t, tier.Apply(ctx, b))
			covered = append(covered, b.Events...)
			requireCheckpoint(ctx, t, tier, b.To)
		}
		requireFold(ctx, t, tier, covered)
	})
}

// checkpointAtomicity takes the context away at a random moment of Apply and
// looks at what a fresh tier finds.
func (h Harness) checkpointAtomicity(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		tier := open()
		for i := 0; i < len(tp.batches); {
			b := tp.batches[i]
			cut, cancel := context.WithTimeout(ctx, time.Duration(rapid.IntRange(0, 2000).Draw(t, "microseconds"))*time.Microsecond)
			err := tier.Apply(cut, b)
			cancel()
			require.NoError(t, tier.Close())
			tier = open()
			at, cpErr := tier.Checkpoint(ctx)
			require.NoError(t, cpErr)
			if err == nil {
				require.Equal(t, b.To, at, "Apply said yes")
			} else {
				require.Contains(t, []eventlog.Checkpoint{b.From, b.To}, at, "neither before nor after the batch")
			}
			requireFold(ctx, t, tier, tp.eventsUntil(at))
			if at == b.From {
				require.NoError(t, tier.Apply(ctx, b))
			}
			i++
		}
		requireFold(ctx, t, tier, tp.events)
	})
}

// twoWriters lets two tiers over one store race through the same batches.
func (h Harness) twoWriters(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		tiers := []projector.Tier{open(), open()}
		errs := make([]error, len(tiers))
		var wait sync.WaitGroup
		for i, tier := range tiers {
			wait.Go(func() { errs[i] = race(ctx, tier, tp) })
		}
		wait.Wait()
		require.NoError(t, errors.Join(errs...))
		for _, tier := range tiers {
			requireCheckpoint(ctx, t, tier, tp.end())
		}
		requireFold(ctx, t, tiers[0], tp.events)
	})
}

// race applies batches until the tape ends, going on from wherever the other
// writer has brought the tier.
func race(ctx context.Context, tier projector.Tier, tp *tape) error {
	for {
		at, err := tier.Checkpoint(ctx)
		if err != nil {
			return err
		}
		i := tp.batchAt(at)
		if i == len(tp.batches) {
			if at != tp.end() {
				return fmt.Errorf("checkpoint %d is no batch's edge", at.Sequence)
			}
			return nil
		}
		if err := tier.Apply(ctx, tp.batches[i]); err != nil && !errors.Is(err, projector.ErrConflict) {
			return err
		}
	}
}

// player plays the frames through the projectors' own loop, up to a random
// sequence and then to the end.
func (h Harness) player(t *testing.T) {
	h.check(t, func(ctx context.Context, t *rapid.T, tp *tape, open func() projector.Tier) {
		tier := open()
		player := projector.Player{BatchRows: rapid.IntRange(1, 50).Draw(t, "batch")}
		player.Bound.UntilSequence = uint64(rapid.IntRange(1, max(1, len(tp.events))).Draw(t, "until"))
		at, err := player.Play(ctx, tp.after(eventlog.Checkpoint{}), tier, eventlog.Checkpoint{})
		require.NoError(t, err)
		require.Equal(t, min(player.Bound.UntilSequence, uint64(len(tp.events))), at.Sequence)
		requireFold(ctx, t, tier, tp.eventsUntil(at))

		player.Bound = projector.Bound{}
		at, err = player.Play(ctx, tp.after(at), tier, at)
		require.NoError(t, err)
		require.Equal(t, tp.end(), at)
		requireCheckpoint(ctx, t, tier, at)
		requireFold(ctx, t, tier, tp.events)
	})
}
