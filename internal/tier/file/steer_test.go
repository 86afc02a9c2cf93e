package file

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// threeBatches is a history in three batches, and a directory for a tier.
func threeBatches(t *testing.T) (history []*events.Event, cut []projector.Batch, dir string) {
	history = everything()
	cut = batches(history, (len(history)+2)/3)
	require.Len(t, cut, 3)
	return history, cut, filepath.Join(memoryDir(t), "tier")
}

// fill makes a tier of the first n batches, and nothing beside it.
func fill(t *testing.T, dir string, cut []projector.Batch) *Tier {
	for _, suffix := range []string{"", shadowSuffix, previousSuffix, promotingSuffix} {
		require.NoError(t, os.RemoveAll(dir+suffix))
	}
	tier, err := open(dir, Options{}, unsynced())
	require.NoError(t, err)
	for _, b := range cut {
		require.NoError(t, tier.Apply(t.Context(), b))
	}
	return tier
}

func bothSwaps(t *testing.T, run func(t *testing.T, renames bool)) {
	t.Run("exchange", func(t *testing.T) { run(t, false) })
	t.Run("two renames", func(t *testing.T) { run(t, true) })
}

// TestPromoteCrashesAfterEveryStep: the tier is what it was, with its shadow,
// or what the shadow was, with the hold; what was live is previous then.
func TestPromoteCrashesAfterEveryStep(t *testing.T) {
	bothSwaps(t, func(t *testing.T, renames bool) {
		ctx := t.Context()
		history, cut, dir := threeBatches(t)
		hold := projector.Hold{Until: cut[1].To.Sequence, Reason: "rollback"}
		took := 0
		crashEverywhere(t, func(d disk) error {
			tier := fill(t, dir, cut[:1])
			require.NoError(t, os.MkdirAll(dir+previousSuffix, 0o755))
			s, err := tier.Shadow(ctx, "plan")
			require.NoError(t, err)
			for _, b := range cut[:2] {
				require.NoError(t, s.Apply(ctx, b))
			}
			d.(*dyingDisk).renames = renames
			s.(*Shadow).disk = d
			return s.Promote(ctx, hold)
		}, func(step int) {
			tier, err := open(dir, Options{}, unsynced())
			require.NoError(t, err)
			require.NoDirExists(t, dir+promotingSuffix)
			at, err := tier.Checkpoint(ctx)
			require.NoError(t, err)
			found, err := tier.Hold(ctx)
			require.NoError(t, err)
			if at == cut[0].To {
				require.Zero(t, found, step)
				s, err := tier.Shadow(ctx, "plan")
				require.NoError(t, err)
				require.Equal(t, foldRows(t, history[:cut[1].To.Sequence]), dump(t, s), "step %d: the shadow can be gone on with", step)
				require.NoError(t, s.Apply(ctx, cut[2]), "no hold binds a shadow")
				require.NoError(t, s.Promote(ctx, projector.Hold{}))
				require.Equal(t, foldRows(t, history), dump(t, tier))
				return
			}
			took++
			require.Equal(t, hold, found, step)
			require.NoDirExists(t, dir+shadowSuffix)
			require.ErrorIs(t, tier.Apply(ctx, cut[2]), projector.ErrHeld)
			previous, err := tier.Previous(ctx)
			require.NoError(t, err)
			require.Equal(t, foldRows(t, history[:cut[0].To.Sequence]), dump(t, previous))
			require.NoError(t, projectortest.PutHold(ctx, tier, projector.Hold{}))
			requireGoesOn(t, dir, cut, history, step)
		})
		require.Greater(t, took, 5)
	})
}

// TestSwapBackCrashesAfterEveryStep: live and previous have changed places, or
// they have not; a shadow being built beside them is let be.
func TestSwapBackCrashesAfterEveryStep(t *testing.T) {
	bothSwaps(t, func(t *testing.T, renames bool) {
		ctx := t.Context()
		history, cut, dir := threeBatches(t)
		old, current := foldRows(t, history[:cut[0].To.Sequence]), foldRows(t, history)
		swapped := 0
		crashEverywhere(t, func(d disk) error {
			tier := fill(t, dir, cut[:1])
			s, err := tier.Shadow(ctx, "all")
			require.NoError(t, err)
			for _, b := range cut {
				require.NoError(t, s.Apply(ctx, b))
			}
			require.NoError(t, s.Promote(ctx, projector.Hold{}))
			s, err = tier.Shadow(ctx, "next")
			require.NoError(t, err)
			require.NoError(t, s.Apply(ctx, cut[0]))
			previous, err := tier.Previous(ctx)
			require.NoError(t, err)
			d.(*dyingDisk).renames = renames
			previous.(*Shadow).disk = d
			return previous.Promote(ctx, projector.Hold{})
		}, func(step int) {
			tier, err := open(dir, Options{}, unsynced())
			require.NoError(t, err)
			previous, err := tier.Previous(ctx)
			require.NoError(t, err, "step %d", step)
			at, err := tier.Checkpoint(ctx)
			require.NoError(t, err)
			want := [][]any{{cut[2].To, current, old}, {cut[0].To, old, current}}
			if at == cut[0].To {
				swapped++
				want[0] = want[1]
			}
			require.Equal(t, want[0], []any{at, dump(t, tier), dump(t, previous)}, "step %d", step)
			s, err := tier.Shadow(ctx, "next")
			require.NoError(t, err)
			require.Equal(t, old, dump(t, s), "step %d: the shadow is as it was", step)
			require.NoError(t, previous.Promote(ctx, projector.Hold{}))
			require.Equal(t, want[0][2], any(dump(t, tier)), "step %d", step)
		})
		require.Greater(t, swapped, 2)
	})
}

// TestRefusedPromoteIsTakenBack: a system that will not rename the live
// directory leaves all as it was.
func TestRefusedPromoteIsTakenBack(t *testing.T) {
	bothSwaps(t, func(t *testing.T, renames bool) {
		ctx := t.Context()
		history, cut, dir := threeBatches(t)
		tier := fill(t, dir, cut[:1])
		s, err := tier.Shadow(ctx, "plan")
		require.NoError(t, err)
		for _, b := range cut {
			require.NoError(t, s.Apply(ctx, b))
		}
		s.(*Shadow).disk = &dyingDisk{left: 1000, renames: renames, busy: dir}
		require.ErrorIs(t, s.Promote(ctx, projector.Hold{}), fs.ErrPermission)
		require.NoDirExists(t, dir+promotingSuffix)
		require.Equal(t, foldRows(t, history[:cut[0].To.Sequence]), dump(t, tier))
		require.NoError(t, tier.Apply(ctx, cut[1]))
		s.(*Shadow).disk = unsynced()
		require.NoError(t, s.Promote(ctx, projector.Hold{}))
		require.Equal(t, foldRows(t, history), dump(t, tier))
		require.ErrorIs(t, s.Promote(ctx, projector.Hold{}), projector.ErrConflict, "it is gone")
	})
}

func TestSetHoldCrashesAfterEveryStep(t *testing.T) {
	ctx := t.Context()
	_, cut, dir := threeBatches(t)
	hold := projector.Hold{Until: cut[0].To.Sequence, Reason: "测试", Expires: time.Now().Add(time.Hour).UTC()}
	for _, filled := range []int{0, 1} {
		crashEverywhere(t, func(d disk) error {
			tier := fill(t, dir, cut[:filled])
			tier.disk = d
			return projectortest.PutHold(ctx, tier, hold)
		}, func(step int) {
			tier, err := open(dir, Options{}, unsynced())
			require.NoError(t, err, "step %d", step)
			found, err := tier.Hold(ctx)
			require.NoError(t, err)
			require.Contains(t, []projector.Hold{{}, hold}, found)
			require.NoError(t, projectortest.PutHold(ctx, tier, hold))
			for _, b := range cut[filled:1] {
				require.NoError(t, tier.Apply(ctx, b))
			}
			require.ErrorIs(t, tier.Apply(ctx, cut[1]), projector.ErrHeld)
		})
	}
}

// TestRebuildsDoNotMix: what a later plan began is neither written to, nor
// promoted, nor discarded by an earlier one.
func TestRebuildsDoNotMix(t *testing.T) {
	ctx := t.Context()
	_, cut, dir := threeBatches(t)
	tier := fill(t, dir, nil)
	first, err := tier.Shadow(ctx, "first")
	require.NoError(t, err)
	second, err := tier.Shadow(ctx, "second")
	require.NoError(t, err)
	require.ErrorIs(t, first.Apply(ctx, cut[0]), projector.ErrConflict)
	require.ErrorIs(t, first.Promote(ctx, projector.Hold{}), projector.ErrConflict)
	require.NoError(t, first.Discard(ctx))
	require.NoError(t, second.Apply(ctx, cut[0]))
	require.NoError(t, second.Discard(ctx))
	require.ErrorIs(t, second.Apply(ctx, cut[1]), projector.ErrConflict, "it is gone")
}

// TestDamagedShadowIsBuiltAnew: a resumed rebuild does not go on from damage.
func TestDamagedShadowIsBuiltAnew(t *testing.T) {
	ctx := t.Context()
	_, cut, dir := threeBatches(t)
	tier := fill(t, dir, nil)
	s, err := tier.Shadow(ctx, "plan")
	require.NoError(t, err)
	require.NoError(t, s.Apply(ctx, cut[0]))
	require.NoError(t, os.Remove(filepath.Join(dir+shadowSuffix, accountsFile)))
	require.Error(t, s.Promote(ctx, projector.Hold{}), "what goes live is what the disk holds")
	s, err = tier.Shadow(ctx, "plan")
	require.NoError(t, err)
	require.Empty(t, dump(t, s))
}

// TestEarlierFormatMigrates opens what the last projector of format 1 left
// when it was killed in the middle of a step.
func TestEarlierFormatMigrates(t *testing.T) {
	ctx := t.Context()
	frozen := filepath.Join("testdata", "format-1")
	dir := filepath.Join(t.TempDir(), "tier")
	require.NoError(t, os.CopyFS(dir, os.DirFS(frozen)))
	want, err := os.ReadFile(frozen + ".rows")
	require.NoError(t, err)
	requireRows := func(tier projector.Tier) {
		t.Helper()
		var got []byte
		for _, r := range dump(t, tier) {
			got = append(got, string(r.Kind)+"\t"+r.Key+"\t"+r.Value+"\n"...)
		}
		require.Equal(t, string(want), string(got))
	}
	tier, err := Open(dir, Options{})
	require.NoError(t, err)
	requireRows(tier)
	m, _, err := tier.readManifest()
	require.NoError(t, err)
	require.Equal(t, 1, m.Format, "reading changes nothing")

	at, err := tier.Checkpoint(ctx)
	require.NoError(t, err)
	next := projector.Batch{From: at, To: at}
	next.To.Sequence++
	require.NoError(t, tier.Apply(ctx, next))
	m, _, err = tier.readManifest()
	require.NoError(t, err)
	require.Equal(t, format, m.Format)
	requireRows(tier)
	tier, err = Open(dir, Options{Encoding: silverquant.UTF8})
	require.NoError(t, err)
	requireRows(tier)
}

func TestNewerFormatIsRefused(t *testing.T) {
	ctx := t.Context()
	_, cut, dir := threeBatches(t)
	tier := fill(t, dir, cut[:1])
	m := tier.known.manifest.next()
	m.Format = format + 1
	require.NoError(t, tier.putManifest(m))
	for _, inspect := range []bool{false, true} {
		_, err := Open(dir, Options{Inspect: inspect})
		require.ErrorIs(t, err, projector.ErrRefused)
		require.ErrorContains(t, err, "MANIFEST.json has format 3, this program knows 1 to 2: use the newer program")
	}
	require.ErrorIs(t, tier.Apply(ctx, cut[1]), projector.ErrRefused)
	require.ErrorIs(t, projectortest.PutHold(ctx, tier, projector.Hold{Until: 1000}), projector.ErrRefused)

	tier = fill(t, dir, cut[:1])
	tier.disk = &dyingDisk{left: 5, before: true}
	require.ErrorIs(t, tier.Apply(ctx, cut[1]), errCrash)
	require.FileExists(t, tier.path(journalFile))
	before, err := tier.text()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(tier.path(journalFile), []byte(`{"manifest":{"format":3}}`), 0o600))
	_, err = Open(dir, Options{Inspect: true})
	require.ErrorIs(t, err, projector.ErrRefused)
	after, err := tier.text()
	require.NoError(t, err)
	require.Equal(t, string(before), string(after), "a newer program's step is not played")
}
