package file

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

func TestTier(t *testing.T) {
	base := memoryDir(t)
	projectortest.RunLive(t, projectortest.Harness{
		New: func(t testing.TB) func() (projector.Tier, error) {
			require.NoError(t, os.RemoveAll(base))
			return func() (projector.Tier, error) { return open(filepath.Join(base, "tier"), Options{}, unsynced()) }
		},
		History: func(t *rapid.T) []*events.Event {
			return booktest.Histories(t, booktest.Options{Events: 20})
		},
		Histories: 1000,
	})
}

// memoryDir is a directory that costs no disk, where the system has such: the
// property tests make millions of files.
func memoryDir(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "tapedeck-file-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	return dir
}

// What a GBK folder holds reads back the same, at every boundary and across
// restarts, also of accounts with as many positions as they may have.
func TestGBKEqualsTheFold(t *testing.T) {
	base := memoryDir(t)
	rapid.Check(t, func(rt *rapid.T) {
		dir, err := os.MkdirTemp(base, "tier")
		require.NoError(rt, err)
		history := booktest.Histories(rt, booktest.Options{Events: 30, Wide: true})
		tier, err := open(dir, Options{Encoding: silverquant.GBK}, unsynced())
		require.NoError(rt, err)
		for _, b := range batches(history, rapid.IntRange(5, 50).Draw(rt, "size")) {
			require.NoError(rt, tier.Apply(t.Context(), b))
			require.Equal(rt, foldRows(t, history[:b.To.Sequence]), dump(t, tier))
			if rapid.Bool().Draw(rt, "reopen") {
				tier, err = open(dir, Options{}, unsynced())
				require.NoError(rt, err)
			}
		}
	})
}

// batches cuts a history into equal batches with made-up chain values.
func batches(history []*events.Event, size int) []projector.Batch {
	var out []projector.Batch
	var at eventlog.Checkpoint
	for len(history) > 0 {
		n := min(size, len(history))
		to := eventlog.Checkpoint{Sequence: history[n-1].Sequence, Chain: at.Chain.Next(history[0].Sequence, nil)}
		out = append(out, projector.Batch{From: at, To: to, Events: history[:n]})
		at, history = to, history[n:]
	}
	return out
}

func dump(t testing.TB, tier projector.Tier) []book.Row {
	t.Helper()
	var rows []book.Row
	_, err := tier.Dump(context.Background(), func(r book.Row) error {
		rows = append(rows, r)
		return nil
	})
	require.NoError(t, err)
	return rows
}

func foldRows(t testing.TB, history []*events.Event) []book.Row {
	t.Helper()
	b := book.New(book.Keep{History: true})
	for _, e := range history {
		b.Apply(e)
	}
	var rows []book.Row
	require.NoError(t, b.Rows(kinds, func(r book.Row) error {
		rows = append(rows, r)
		return nil
	}))
	return rows
}

// everything is a history that touches every file, with many types of events.
var everything = sync.OnceValue(func() []*events.Event {
	all := make(map[events.Type]bool)
	for seed := 0; ; seed++ {
		history := rapid.Custom(func(t *rapid.T) []*events.Event {
			return booktest.Histories(t, booktest.Options{Events: 50})
		}).Example(seed)
		clear(all)
		for _, e := range history {
			all[e.Type()] = true
		}
		if len(all) >= 14 && all[events.TypeTradeRecorded] && all[events.TypeKlineRecorded] && all[events.TypeCapitalUpdated] &&
			all[events.TypeParamSaved] && all[events.TypeStrategyBound] && all[events.TypeUserRegistered] && all[events.TypePositionPriceMarked] {
			return history
		}
	}
})

func TestForeignDataIsRefusedUntilTakenOver(t *testing.T) {
	ctx := t.Context()
	dir := filepath.Join(t.TempDir(), "cache")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "55009728"), 0o755))
	own := filepath.Join(dir, "55009728", silverquant.PositionsFile)
	require.NoError(t, os.WriteFile(own, []byte(`{"600000.SH": 3}`), 0o600))

	tier, err := Open(dir, Options{})
	require.NoError(t, err)
	_, err = tier.Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrForeignData)
	require.ErrorIs(t, tier.Apply(ctx, projector.Batch{}), projector.ErrForeignData)
	require.FileExists(t, own)

	tier, err = Open(dir, Options{TakeOver: true})
	require.NoError(t, err)
	at, err := tier.Checkpoint(ctx)
	require.NoError(t, err)
	require.Zero(t, at)
	require.Empty(t, dump(t, tier))
	kept, err := os.ReadFile(filepath.Join(dir+".foreign", "55009728", silverquant.PositionsFile))
	require.NoError(t, err)
	require.Equal(t, `{"600000.SH": 3}`, string(kept))
}

func TestDamageIsNamedAndCanBeDumped(t *testing.T) {
	ctx := t.Context()
	history := everything()
	dir := filepath.Join(t.TempDir(), "tier")
	tier, err := Open(dir, Options{})
	require.NoError(t, err)
	for _, b := range batches(history, 50) {
		require.NoError(t, tier.Apply(ctx, b))
	}
	want := foldRows(t, history)
	require.Equal(t, want, dump(t, tier))

	for name := range tier.known.manifest.Files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		damaged := []byte(strings.Replace(string(whole), "\n", "x\n", 1))
		if len(whole) == 2 {
			damaged = []byte("{")
		}
		require.NoError(t, os.WriteFile(path, damaged, 0o600))

		_, err = Open(dir, Options{})
		var broken *DamagedError
		require.ErrorAs(t, err, &broken, name)
		require.Equal(t, path, broken.Path)
		require.ErrorContains(t, err, "replay rebuild --tier file")

		inspected, err := Open(dir, Options{Inspect: true})
		require.NoError(t, err, name)
		at, err := inspected.Checkpoint(ctx)
		require.NoError(t, err)
		require.Equal(t, uint64(len(history)), at.Sequence)
		require.ErrorIs(t, inspected.Apply(ctx, projector.Batch{From: at, To: at}), projector.ErrRefused)
		require.NotEqual(t, want, dump(t, inspected), name)

		require.NoError(t, os.Remove(path))
		_, err = Open(dir, Options{})
		require.ErrorAs(t, err, &broken, name)
		require.NoError(t, os.WriteFile(path, whole, 0o600))
	}
	_, err = Open(dir, Options{})
	require.NoError(t, err)
}

func TestDamagedManifestCanBeRebuilt(t *testing.T) {
	ctx := t.Context()
	history := everything()
	cut := batches(history, len(history))
	dir := filepath.Join(t.TempDir(), "tier")
	tier, err := Open(dir, Options{})
	require.NoError(t, err)
	require.NoError(t, tier.Apply(ctx, cut[0]))
	require.NoError(t, os.Truncate(filepath.Join(dir, manifestFile), 20))

	var damaged *DamagedError
	_, err = Open(dir, Options{})
	require.ErrorAs(t, err, &damaged)
	tier, err = Open(dir, Options{Inspect: true})
	require.NoError(t, err)
	_, err = tier.Checkpoint(ctx)
	require.ErrorAs(t, err, &damaged)
	_, err = tier.Dump(ctx, func(book.Row) error { return nil })
	require.ErrorAs(t, err, &damaged, "rows of no checkpoint")
	err = tier.Repair(ctx, cut[0].To, nil)
	require.ErrorIs(t, err, projector.ErrRefused)
	require.ErrorContains(t, err, "replay rebuild --tier file")
	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Apply(ctx, cut[0]))
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
	tier, err = Open(dir, Options{})
	require.NoError(t, err)
	require.Equal(t, foldRows(t, history), dump(t, tier))
}

func TestUnvouchedAppendIsCutOff(t *testing.T) {
	ctx := t.Context()
	history := everything()
	dir := filepath.Join(t.TempDir(), "tier")
	tier, err := Open(dir, Options{})
	require.NoError(t, err)
	require.NoError(t, tier.Apply(ctx, batches(history, len(history))[0]))
	deals, err := filepath.Glob(filepath.Join(dir, "*", silverquant.DealsFile))
	require.NoError(t, err)
	require.NotEmpty(t, deals)
	f, err := os.OpenFile(deals[0], os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("2025-01-02,10:20:08,6033")
	require.NoError(t, err)
	require.NoError(t, f.Close())

	tier, err = Open(dir, Options{})
	require.NoError(t, err)
	require.Equal(t, foldRows(t, history), dump(t, tier))
}

func TestEncodingIsTheDirectorysOwn(t *testing.T) {
	ctx := t.Context()
	history := everything()
	dir := filepath.Join(t.TempDir(), "tier")
	tier, err := Open(dir, Options{Encoding: silverquant.GBK})
	require.NoError(t, err)
	require.NoError(t, tier.Apply(ctx, batches(history, len(history))[0]))

	_, err = Open(dir, Options{Encoding: silverquant.UTF8})
	require.ErrorIs(t, err, projector.ErrRefused)
	tier, err = Open(dir, Options{})
	require.NoError(t, err)
	require.Equal(t, foldRows(t, history), dump(t, tier))
	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.Equal(t, silverquant.GBK, shadow.(*Shadow).known.manifest.Encoding)
}

func TestUsersAreForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tier")
	tier, err := Open(dir, Options{})
	require.NoError(t, err)
	history := everything()
	require.NoError(t, tier.Apply(t.Context(), batches(history, len(history))[0]))
	for _, name := range []string{usersFile, userRolesFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), info.Mode().Perm(), name)
	}
}

// TestSnapshotIsNoTier: a folder that left events out is not gone on with.
func TestSnapshotIsNoTier(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshot")
	marked, err := Open(dir, Options{Bound: "until time 2025-06-30"})
	require.NoError(t, err)
	to := eventlog.Checkpoint{Sequence: 1}
	require.NoError(t, marked.Apply(t.Context(), projector.Batch{To: to}))
	_, err = Open(dir, Options{})
	require.ErrorIs(t, err, projector.ErrRefused)
	require.ErrorContains(t, err, "until time 2025-06-30")
	inspected, err := Open(dir, Options{Inspect: true})
	require.NoError(t, err)
	at, err := inspected.Checkpoint(t.Context())
	require.NoError(t, err)
	require.Equal(t, to, at)
}
