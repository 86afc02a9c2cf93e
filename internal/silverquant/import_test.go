package silverquant_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

func importAll(t *testing.T, dir, account string, opts silverquant.ImportOptions) (good []*events.Event, bad []*silverquant.Reject) {
	t.Helper()
	ids := make(map[string]bool)
	for e, err := range silverquant.ImportEvents(dir, account, opts) {
		var reject *silverquant.Reject
		if errors.As(err, &reject) {
			bad = append(bad, reject)
			continue
		}
		require.NoError(t, err)
		require.Regexp(t, "^imp-[0-9a-f]{40}$", e.ID)
		require.False(t, ids[e.ID], "id %s twice", e.ID)
		ids[e.ID] = true
		e.Sequence = uint64(len(good)) + 1
		good = append(good, e)
	}
	return good, bad
}

func copyFolder(t *testing.T, account string) string {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", account))))
	return dir
}

func appendText(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestImportFoldsToTheFolder(t *testing.T) {
	for account, broker := range map[string]string{utf8Account: "QMT", gbkAccount: "GM"} {
		dir := filepath.Join("testdata", account)
		imported, bad := importAll(t, dir, account, silverquant.ImportOptions{CreateAccount: true, DailyDir: filepath.Join("testdata", silverquant.DailyDir)})
		require.Empty(t, bad)
		b := book.New(book.Keep{History: true})
		for _, e := range imported {
			verdict, err := b.Check(e)
			require.NoError(t, err, "%s %s", e.Type(), e.ID)
			require.True(t, verdict.Applied)
			b.Apply(e)
		}
		accounts := b.Accounts()
		require.Len(t, accounts, 1)
		require.Equal(t, account, accounts[0].Name)
		require.Equal(t, broker, accounts[0].Broker)
		assets := b.Assets(account)
		require.Len(t, assets, 59)
		require.Equal(t, assets[0].Total, accounts[0].InitialCapital)
		require.Len(t, b.Klines("600475.SH"), 243)
		require.Len(t, b.Deals(account), strings.Count(string(sample(t, account, silverquant.DealsFile)), "\n")-1)

		p, _, err := silverquant.ReadPositions("p", sample(t, account, silverquant.PositionsFile))
		require.NoError(t, err)
		require.Equal(t, p.IncDate, b.IncDate(account))
		want, got := make(map[string]int64), make(map[string]int64)
		for _, h := range p.Held {
			if h.Open {
				want[h.StockCode] = h.Days
			}
		}
		high, low := make(map[string]events.Price), make(map[string]events.Price)
		for _, pos := range b.Positions(account) {
			if pos.Open {
				got[pos.StockCode] = pos.HeldDays
			}
			high[pos.StockCode], low[pos.StockCode] = pos.MaxPrice, pos.MinPrice
		}
		require.Equal(t, want, got)
		for name, prices := range map[string]map[string]events.Price{silverquant.MaxPriceFile: high, silverquant.MinPriceFile: low} {
			marks, _, err := silverquant.ReadPrices(name, sample(t, account, name))
			require.NoError(t, err)
			for _, m := range marks {
				require.Equal(t, m.Price, prices[m.StockCode], "%s of %s", name, m.StockCode)
			}
		}
		first, _ := importAll(t, dir, account, silverquant.ImportOptions{})
		require.Equal(t, events.TypeTradeRecorded, first[0].Type())
	}
}

// Ids are for ever: an import weeks and versions later must repeat them.
func TestImportIDsAreFrozen(t *testing.T) {
	imported, _ := importAll(t, filepath.Join("testdata", utf8Account), utf8Account,
		silverquant.ImportOptions{CreateAccount: true, DailyDir: filepath.Join("testdata", silverquant.DailyDir)})
	seen := make(map[events.Type]string)
	for _, e := range imported {
		if seen[e.Type()] == "" {
			seen[e.Type()] = e.ID
		}
	}
	require.Equal(t, map[events.Type]string{
		events.TypeAccountCreated:          "imp-8e66c23fe94da9c4b6543b950877f29308cc18d0",
		events.TypeTradeRecorded:           "imp-0750463889490f13be4e8a5b155d2595a8dc8167",
		events.TypeCapitalUpdated:          "imp-555b958bc31e876839fbf240d1c5de6c0ba0b6d8",
		events.TypeKlineRecorded:           "imp-b3abfc5c9f22175b3a62156d5aa6997deefac7f9",
		events.TypePositionDaysIncremented: "imp-c352156a7563dd471cb80f56bf164db6970a13b0",
		events.TypePositionHeldDaysSet:     "imp-d32a97c983c0606c2e0893be080fbf2d89217608",
		events.TypePositionPriceMarked:     "imp-96cfbf1c104e3a09098e4f1e45f01a62a29bf294",
	}, seen)
}

func TestGrownFolderRepeatsTheIDsOfBefore(t *testing.T) {
	dir := copyFolder(t, utf8Account)
	before, _ := importAll(t, dir, utf8Account, silverquant.ImportOptions{})
	deals := filepath.Join(dir, silverquant.DealsFile)
	again := "2025-04-01,10:20:18,300576.SZ,容大感光,买入成交,问财选股,112.95,100\r\n"
	appendText(t, deals, again+again+"not a row\r\n")
	after, bad := importAll(t, dir, utf8Account, silverquant.ImportOptions{})
	require.Len(t, bad, 1)
	require.Equal(t, silverquant.DealsFile, bad[0].File)

	known := make(map[string]*events.Event)
	for _, e := range before {
		known[e.ID] = e
	}
	var added int
	for _, e := range after {
		old := known[e.ID]
		if old == nil {
			added++
			continue
		}
		want, err := old.AppendJSON(nil)
		require.NoError(t, err)
		got, err := e.AppendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, string(want), string(got), "the same id is the same event")
	}
	// Two equal rows are two trades. The asset row of the day after dates the
	// positions still, so they repeat.
	require.Equal(t, 2, added)
}

func TestImportRejectsWhatBreaksARule(t *testing.T) {
	dir := copyFolder(t, utf8Account)
	appendText(t, filepath.Join(dir, silverquant.DealsFile), "2025-04-01,10:20:18,300576.XX,容大感光,买入成交,问财选股,112.95,100\r\n"+
		"2025-04-01,10:20:18,300576.SZ,容大感光,买入成交,问财选股,0.0,100\r\n")
	require.NoError(t, os.WriteFile(filepath.Join(dir, silverquant.MaxPriceFile), []byte("{\n    \"000598.SZ\": 1.0,\n    \"600316.SH\": 39.32\n}"), 0o600))
	daily := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(daily, "600000.SH.csv"), []byte(silverquant.BarsHeader+
		"20250103,10.0,11.0,9.0,10.5,100,1050.0\n20250102,10.0,11.0,12.0,10.5,100,1050.0\n20250102,10.0,11.0,9.0,10.5,100,1050.0\n20250103,10.0,11.0,9.0,10.6,100,1050.0\n"), 0o600))
	imported, bad := importAll(t, dir, utf8Account, silverquant.ImportOptions{DailyDir: daily})
	var places []string
	for _, r := range bad {
		require.NotEmpty(t, r.Reason)
		require.NotZero(t, r.Line)
		places = append(places, r.File)
	}
	require.Equal(t, []string{silverquant.DealsFile, silverquant.DealsFile, "600000.SH.csv", "600000.SH.csv", silverquant.MaxPriceFile}, places)
	for _, e := range imported {
		if k, ok := e.Data.(*events.KlineRecorded); ok {
			require.Len(t, k.Bars, 2)
			require.Equal(t, events.Date(20250102), k.Bars[0].Date)
			require.Equal(t, events.Price(10600), k.Bars[1].Close)
			require.Equal(t, "2025-01-03T15:30:00+08:00", events.FormatTime(e.Time))
		}
	}
}

func TestImportStopsBeforeTheFirstEventOfAHalfWrittenFolder(t *testing.T) {
	dir := copyFolder(t, utf8Account)
	path := filepath.Join(dir, silverquant.MinPriceFile)
	require.NoError(t, os.Truncate(path, 40))
	var count int
	for e, err := range silverquant.ImportEvents(dir, utf8Account, silverquant.ImportOptions{}) {
		count++
		require.Nil(t, e)
		require.ErrorContains(t, err, "min_price.json: offset 40")
	}
	require.Equal(t, 1, count)
}

func TestImportOfAnUnknownAccountNeedsItsCapital(t *testing.T) {
	dir := copyFolder(t, utf8Account)
	require.NoError(t, os.Remove(filepath.Join(dir, silverquant.AssetsFile)))
	for e, err := range silverquant.ImportEvents(dir, utf8Account, silverquant.ImportOptions{CreateAccount: true}) {
		require.Nil(t, e)
		require.ErrorContains(t, err, "no row to take its initial capital from")
	}
	imported, _ := importAll(t, dir, utf8Account, silverquant.ImportOptions{})
	require.NotEmpty(t, imported)
}

func TestOlderFolderWithPlainHeldDays(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, silverquant.HeldDaysFile), []byte(`{"600000.SH": 3, "_inc_date": "2023-10-10"}`), 0o600))
	imported, bad := importAll(t, dir, "55009728", silverquant.ImportOptions{})
	require.Empty(t, bad)
	require.Len(t, imported, 2)
	require.Equal(t, events.TypePositionDaysIncremented, imported[0].Type())
	require.Equal(t, int64(3), imported[1].Data.(*events.PositionHeldDaysSet).HeldDays)
	require.Equal(t, "2023-10-10T00:00:00+08:00", events.FormatTime(imported[1].Time))
}

func TestImportStopsWhenAsked(t *testing.T) {
	for range silverquant.ImportEvents(filepath.Join("testdata", utf8Account), utf8Account, silverquant.ImportOptions{}) {
		break
	}
}
