package file

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// The folders of real strategies, imported and projected, come out as they
// went in, byte for byte.
func TestSampleFoldersComeOutAsTheyWentIn(t *testing.T) {
	samples := filepath.Join("..", "..", "silverquant", "testdata")
	daily := filepath.Join(samples, silverquant.DailyDir)
	for account, enc := range map[string]silverquant.Encoding{
		"55009728": silverquant.UTF8, "189ca421-49db-11ef-9fa8-00163e022aa6": silverquant.GBK,
	} {
		var history []*events.Event
		options := silverquant.ImportOptions{CreateAccount: true, DailyDir: daily}
		for e, err := range silverquant.ImportEvents(filepath.Join(samples, account), account, options) {
			require.NoError(t, err)
			e.Sequence = uint64(len(history)) + 1
			history = append(history, e)
		}
		dir := filepath.Join(t.TempDir(), "tier")
		tier, err := Open(dir, Options{Encoding: enc})
		require.NoError(t, err)
		for _, b := range batches(history, 100) {
			require.NoError(t, tier.Apply(t.Context(), b))
		}

		same := func(want, got string, text func([]byte) string) {
			w, err := os.ReadFile(want)
			require.NoError(t, err)
			g, err := os.ReadFile(got)
			require.NoError(t, err)
			require.Equal(t, text(w), text(g), got)
		}
		asIs := func(raw []byte) string { return string(raw) }
		// The strategies keep entries in the order of buying, the tier by code.
		sortedLines := func(raw []byte) string {
			lines := strings.Split(strings.ReplaceAll(string(raw), ",\n", "\n"), "\n")
			slices.Sort(lines)
			return strings.Join(lines, "\n")
		}
		for name, text := range map[string]func([]byte) string{
			silverquant.DealsFile: asIs, silverquant.AssetsFile: asIs,
			silverquant.MaxPriceFile: sortedLines, silverquant.MinPriceFile: sortedLines,
		} {
			same(filepath.Join(samples, account, name), filepath.Join(dir, account, name), text)
		}
		for _, code := range []string{"000008.SZ", "600475.SH"} {
			same(filepath.Join(daily, code+".csv"), filepath.Join(dir, silverquant.DailyDir, code+".csv"), asIs)
		}

		raw, err := os.ReadFile(filepath.Join(samples, account, silverquant.PositionsFile))
		require.NoError(t, err)
		want, _, err := silverquant.ReadPositions("want", raw)
		require.NoError(t, err)
		want.Held = slices.DeleteFunc(want.Held, func(h silverquant.Held) bool { return !h.Open })
		slices.SortFunc(want.Held, func(a, b silverquant.Held) int { return strings.Compare(a.StockCode, b.StockCode) })
		got, err := os.ReadFile(filepath.Join(dir, account, silverquant.PositionsFile))
		require.NoError(t, err)
		require.Equal(t, string(silverquant.AppendPositions(nil, want)), string(got))
	}
}
