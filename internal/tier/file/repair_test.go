package file

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// differences are the changes that make what was found what is wanted.
func differences(want, found []book.Row) []projector.Change {
	index := func(rows []book.Row) map[rowName]string {
		m := make(map[rowName]string)
		for _, r := range rows {
			m[rowName{r.Kind, r.Key}] = r.Value
		}
		return m
	}
	wanted, has := index(want), index(found)
	var changes []projector.Change
	for row := range has {
		if _, keep := wanted[row]; !keep {
			changes = append(changes, projector.Change{Kind: row.kind, Key: row.key})
		}
	}
	for row, value := range wanted {
		if old, ok := has[row]; !ok || old != value {
			changes = append(changes, projector.Change{Kind: row.kind, Key: row.key, Value: &value})
		}
	}
	return changes
}

// damages are what people and disks do to a file; nil deletes it.
var damages = map[string]func(text string) []byte{
	"missing":   func(string) []byte { return nil },
	"empty":     func(string) []byte { return []byte{} },
	"half":      func(text string) []byte { return []byte(text[:len(text)/2]) },
	"no JSON":   func(text string) []byte { return []byte("x" + text) },
	"bad line":  func(text string) []byte { return []byte(text + "2025-01-02,never,so\n") },
	"bad first": func(text string) []byte { return []byte(strings.Replace(text, ",", ";", 1)) },
	"repeated": func(text string) []byte {
		lines := append([]string{""}, strings.SplitAfter(text, "\n")...)
		return []byte(strings.Join(slices.Insert(lines, len(lines)-1, lines[len(lines)-2]), ""))
	},
	"a digit": func(text string) []byte {
		at := strings.LastIndexAny(text, "0123456789")
		if at < 0 {
			return []byte(`{"600000.SH": 1.5}`)
		}
		return []byte(text[:at] + string('0'+(text[at]-'0'+1)%10) + text[at+1:])
	},
	"reformatted": func(text string) []byte { return []byte(strings.ReplaceAll(text, "    ", "\t") + "\n") },
	"bytes":       func(text string) []byte { return []byte(text[:len(text)/2] + "\xff\xfe" + text[len(text)/2:]) },
}

// TestEveryFileIsRepairedFromEveryDamage does to each file what happens to
// files, alone and with all others, and repairs by what a verify would find.
func TestEveryFileIsRepairedFromEveryDamage(t *testing.T) {
	for _, enc := range []silverquant.Encoding{silverquant.UTF8, silverquant.GBK} {
		t.Run(string(enc), func(t *testing.T) {
			ctx := t.Context()
			history, cut, dir := threeBatches(t)
			projecting, err := open(dir, Options{Encoding: enc}, unsynced())
			require.NoError(t, err)
			for _, b := range cut[:2] {
				require.NoError(t, projecting.Apply(ctx, b))
			}
			at := cut[1].To
			want := foldRows(t, history[:at.Sequence])
			whole := make(map[string][]byte)
			for name := range projecting.known.manifest.Files {
				whole[name], err = os.ReadFile(projecting.path(name))
				require.NoError(t, err)
			}
			all := slices.Sorted(maps.Keys(whole))
			for what, damage := range damages {
				sets := [][]string{all}
				if enc == silverquant.UTF8 {
					sets = append(sets, eachAlone(all)...)
				}
				for _, names := range sets {
					for _, name := range names {
						if text := damage(string(whole[name])); text != nil {
							require.NoError(t, os.WriteFile(projecting.path(name), text, 0o600))
						} else {
							require.NoError(t, os.Remove(projecting.path(name)))
						}
					}
					inspected, err := open(dir, Options{Inspect: true}, unsynced())
					require.NoError(t, err)
					changes := differences(want, dump(t, inspected))
					require.NoError(t, inspected.Repair(ctx, at, changes), "%s: %s", what, names)
					sound, err := open(dir, Options{}, unsynced())
					require.NoError(t, err, "%s: %s", what, names)
					require.Equal(t, want, dump(t, sound), "%s: %s", what, names)
					for _, name := range names {
						now, err := os.ReadFile(sound.path(name))
						require.NoError(t, err)
						require.Equal(t, string(whole[name]), string(now), "%s: %s", what, name)
					}
				}
			}
			require.NoError(t, projecting.Apply(ctx, cut[2]))
			require.Equal(t, foldRows(t, history), dump(t, projecting))
			_, err = open(dir, Options{}, unsynced())
			require.NoError(t, err)
		})
	}
}

func eachAlone(names []string) [][]string {
	var each [][]string
	for _, name := range names {
		each = append(each, []string{name})
	}
	return each
}

func TestWrongEntryOfTheManifestIsRepaired(t *testing.T) {
	ctx := t.Context()
	history, cut, dir := threeBatches(t)
	tier := fill(t, dir, cut)
	m := tier.known.manifest.next()
	m.Files[accountsFile] = entryOf([]byte("other"))
	require.NoError(t, tier.putManifest(m))
	_, err := open(dir, Options{}, unsynced())
	require.ErrorAs(t, err, new(*DamagedError))
	inspected, err := open(dir, Options{Inspect: true}, unsynced())
	require.NoError(t, err)
	require.NoError(t, inspected.Repair(ctx, cut[2].To, nil))
	tier, err = open(dir, Options{}, unsynced())
	require.NoError(t, err)
	require.Equal(t, foldRows(t, history), dump(t, tier))
}

// TestExtraFilesAreEmptied: rows in a file that no step wrote are rows, too.
func TestExtraFilesAreEmptied(t *testing.T) {
	ctx := t.Context()
	history, cut, dir := threeBatches(t)
	tier := fill(t, dir, cut[:2])
	at, want := cut[1].To, foldRows(t, history[:cut[1].To.Sequence])
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "stranger"), 0o755))
	for name, text := range map[string]string{
		"stranger/positions.json": `{"600000.SH": 3, "_inc_date": "2025-01-02"}`,
		"stranger/deal_hist.csv":  silverquant.DealsHeader + "2025-01-02,10:00:00,600000.SH,浦发银行,买入成交,,9.1,100\r\n",
		"_daily/999999.SH.csv":    silverquant.BarsHeader + "20250102,1.0,1.0,1.0,1.0,1,1.0\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(tier.path(name)), 0o755))
		require.NoError(t, os.WriteFile(tier.path(name), []byte(text), 0o600))
	}
	changes := differences(want, dump(t, tier))
	require.Len(t, changes, 4)
	require.NoError(t, tier.Repair(ctx, at, changes))
	require.Equal(t, want, dump(t, tier))
	require.NoError(t, tier.Apply(ctx, cut[2]))
	require.Equal(t, foldRows(t, history), dump(t, tier))
}

func TestRepairRefusesWhatItCannotDo(t *testing.T) {
	ctx := t.Context()
	history, cut, dir := threeBatches(t)
	tier := fill(t, dir, cut)
	at, want := cut[2].To, foldRows(t, history)
	deal := slices.IndexFunc(want, func(r book.Row) bool { return r.Kind == book.KindDeal && strings.HasSuffix(r.Key, "/0000000002") })
	require.GreaterOrEqual(t, deal, 1)
	text := func(s string) *string { return &s }
	for what, change := range map[string]projector.Change{
		"a gap":              {Kind: book.KindDeal, Key: want[deal-1].Key},
		"an ordinal":         {Kind: book.KindDeal, Key: "acc-01/2", Value: &want[deal].Value},
		"no such folder":     {Kind: book.KindHeldDays, Key: "../x/600000.SH", Value: text("1")},
		"no such file":       {Kind: book.KindKline, Key: "../x/2025-01-02", Value: text("{}")},
		"no such kind":       {Kind: book.KindTrade, Key: "1", Value: text("{}")},
		"no number":          {Kind: book.KindHeldDays, Key: "acc-01/600000.SH", Value: text("many")},
		"no price":           {Kind: book.KindMaxPrice, Key: "acc-01/600000.SH", Value: text("0.000")},
		"not canonical":      {Kind: book.KindMaxPrice, Key: "acc-01/600000.SH", Value: text("8.3")},
		"no JSON":            {Kind: book.KindAccount, Key: "acc-01", Value: text("{")},
		"more than one row":  {Kind: book.KindAccount, Key: "acc-01", Value: text(`{},"x":{}`)},
		"an unreadable row":  {Kind: book.KindHeldDays, Key: "acc-01/!3", Value: text("3")},
		"an unreadable file": {Kind: book.KindAccount, Key: "!accounts.json", Value: text("{")},
	} {
		require.ErrorIs(t, tier.Repair(ctx, at, []projector.Change{change}), projector.ErrRefused, what)
		require.Equal(t, want, dump(t, tier), what)
	}

	half := tier.path(accountsFile)
	require.NoError(t, os.Truncate(half, 100))
	inspected, err := open(dir, Options{Inspect: true}, unsynced())
	require.NoError(t, err)
	row := want[slices.IndexFunc(want, func(r book.Row) bool { return r.Kind == book.KindAccount })]
	err = inspected.Repair(ctx, at, []projector.Change{{Kind: row.Kind, Key: row.Key, Value: &row.Value}})
	require.ErrorIs(t, err, projector.ErrRefused, "what lay in the other half would be lost")
	require.NoError(t, inspected.Repair(ctx, at, nil))
	_, err = open(dir, Options{}, unsynced())
	require.ErrorAs(t, err, new(*DamagedError), "no change names the file: it is not vouched for")

	require.NoError(t, os.Remove(tier.path(manifestFile)))
	err = inspected.Repair(ctx, at, nil)
	require.ErrorIs(t, err, projector.ErrRefused)
	require.ErrorContains(t, err, "replay rebuild --tier file")
}

func TestRepairCrashesAfterEveryStep(t *testing.T) {
	ctx := t.Context()
	history, cut, dir := threeBatches(t)
	want := foldRows(t, history[:cut[1].To.Sequence])
	steps := crashEverywhere(t, func(d disk) error {
		tier := fill(t, dir, cut[:2])
		for name := range tier.known.manifest.Files {
			require.NoError(t, os.WriteFile(tier.path(name), []byte("{"), 0o600))
		}
		inspected, err := open(dir, Options{Inspect: true}, unsynced())
		require.NoError(t, err)
		changes := differences(want, dump(t, inspected))
		inspected.disk = d
		return inspected.Repair(ctx, cut[1].To, changes)
	}, func(step int) {
		inspected, err := open(dir, Options{Inspect: true}, unsynced())
		require.NoError(t, err, "step %d", step)
		require.NoError(t, inspected.Repair(ctx, cut[1].To, differences(want, dump(t, inspected))))
		requireGoesOn(t, dir, cut, history, step)
	})
	require.Greater(t, steps, 20)
}

// TestDamagedJournalIsRepaired: the step that it held is lost, its traces in
// the files are not.
func TestDamagedJournalIsRepaired(t *testing.T) {
	ctx := t.Context()
	// The first crash after the journal that leaves a trace in some file.
	for left := 11; ; left++ {
		history, cut, dir := threeBatches(t)
		tier := fill(t, dir, cut[:1])
		tier.disk = &dyingDisk{left: left, before: true}
		require.ErrorIs(t, tier.Apply(ctx, cut[1]), errCrash)
		require.NoError(t, os.Truncate(tier.path(journalFile), 50))
		_, err := open(dir, Options{}, unsynced())
		require.ErrorAs(t, err, new(*DamagedError))
		inspected, err := open(dir, Options{Inspect: true}, unsynced())
		require.NoError(t, err)
		changes := differences(foldRows(t, history[:cut[0].To.Sequence]), dump(t, inspected))
		if len(changes) == 0 {
			continue
		}
		require.NoError(t, inspected.Repair(ctx, cut[0].To, changes))
		requireGoesOn(t, dir, cut, history, 0)
		return
	}
}

// TestHoldsWorkOnDamagedFiles: replay steers what it is about to mend.
func TestHoldsWorkOnDamagedFiles(t *testing.T) {
	ctx := t.Context()
	_, cut, dir := threeBatches(t)
	tier := fill(t, dir, cut[:1])
	require.NoError(t, os.Remove(tier.path(accountsFile)))
	inspected, err := open(dir, Options{Inspect: true}, unsynced())
	require.NoError(t, err)
	hold := projector.Hold{Until: cut[0].To.Sequence, Reason: "repair"}
	require.NoError(t, projectortest.PutHold(ctx, inspected, hold))
	found, err := inspected.Hold(ctx)
	require.NoError(t, err)
	require.Equal(t, hold, found)
	require.ErrorIs(t, tier.Apply(ctx, cut[1]), projector.ErrHeld)
	var none []*events.Event
	require.ErrorIs(t, inspected.Apply(ctx, projector.Batch{From: cut[0].To, To: cut[1].To, Events: none}), projector.ErrRefused)
}
