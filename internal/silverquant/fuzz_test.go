package silverquant_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// FuzzReadDeals: whatever the bytes, every line is a row or a reject, lines
// rise, and good rows survive being written and read again.
func FuzzReadDeals(f *testing.F) {
	f.Add([]byte(silverquant.DealsHeader + "2025-01-02,10:20:08,603390.SH,\"a\"\"b,\n\",市买委托,x,8.300000190734863,1600.0\r\n"))
	f.Add(bytes.Join(bytes.SplitAfter(sample(f, gbkAccount, silverquant.DealsFile), []byte("\n"))[:5], nil))
	f.Fuzz(func(t *testing.T, raw []byte) {
		out := []byte(silverquant.DealsHeader)
		var deals []silverquant.Deal
		last := 0
		for d, err := range silverquant.ReadDeals("d.csv", bytes.NewReader(raw)) {
			line := d.Line
			if err != nil {
				var reject *silverquant.Reject
				require.True(t, errors.As(err, &reject), "%v", err)
				require.NotEmpty(t, reject.Reason)
				line = reject.Line
			} else {
				deals = append(deals, d)
				out = silverquant.AppendDeal(out, d.Deal)
			}
			require.Greater(t, line, last)
			last = line
		}
		if bytes.ContainsRune(out, '\uFFFD') || !strings.HasPrefix(string(out), silverquant.DealsHeader) {
			return
		}
		again, bad := collect(t, silverquant.ReadDeals("d.csv", bytes.NewReader(out)))
		require.Empty(t, bad)
		require.Len(t, again, len(deals))
		for i := range deals {
			require.Equal(t, deals[i].Deal, again[i].Deal)
		}
	})
}

// FuzzReadPositions: whatever the bytes, an error, rejects or entries that
// survive being written and read again.
func FuzzReadPositions(f *testing.F) {
	f.Add(sample(f, utf8Account, silverquant.PositionsFile))
	f.Add([]byte(`{"600000.SH": 3, "_inc_date": "2025-10-10", "600000.SH": {"day_count": 1e2}}`))
	f.Add([]byte(`{"600000.SH": 8.300000190734863, "a": {"day_count": nu`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if p, _, err := silverquant.ReadPositions("p.json", raw); err == nil {
			again, bad, err := silverquant.ReadPositions("p.json", silverquant.AppendPositions(nil, p))
			require.NoError(t, err)
			require.Empty(t, bad)
			require.Equal(t, p.IncDate, again.IncDate)
			require.Len(t, again.Held, len(p.Held))
		}
		if marks, _, err := silverquant.ReadPrices("m.json", raw); err == nil {
			again, bad, err := silverquant.ReadPrices("m.json", silverquant.AppendPrices(nil, marks))
			require.NoError(t, err)
			require.Empty(t, bad)
			require.Len(t, again, len(marks))
		}
	})
}
