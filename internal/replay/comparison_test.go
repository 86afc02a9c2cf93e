package replay

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/phase"
)

// TestComparisonHolds reads what the console answers and says whom it keeps from
// which step.
func TestComparisonHolds(t *testing.T) {
	now := time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	const differing = `{"interval_seconds":60,"checked_at":"2026-01-05T11:59:30Z","sequence":9,"differences":1,"tiers":[
		{"tier":"redis","checked_at":"2026-01-05T11:59:30Z","sequence":9,"error":"","differences":[
			{"kind":"held_days","account":"55009728","key":"55009728/600000.SH","tier":"3","log":"4","since":"2026-01-05T11:50:00Z"}]},
		{"tier":"file","checked_at":"2026-01-05T11:59:30Z","sequence":8,"differences":[]}]}`
	const late = `{"checked_at":"2026-01-05T11:59:30Z","tiers":[{"tier":"redis","checked_at":"2026-01-05T11:56:00Z"},{"tier":"file"}]}`
	const failing = `{"checked_at":"2026-01-05T11:59:30Z","tiers":[{"tier":"mysql","checked_at":"2026-01-05T11:59:30Z","error":"connection refused"}]}`
	for _, c := range []struct {
		name, answer, account string
		to                    phase.Phase
		reason, word          string
	}{
		{"differs", differing, "55009728", phase.Dual, "1 differences of redis", "1 differences: redis"},
		{"another account's", differing, "7654321", phase.Tiers, "", "equal at 8"},
		{"late", late, "55009728", phase.Tiers, "redis was last compared at 2026-01-05 19:56:00", "not all compared"},
		{"late, and nobody reads tiers yet", late, "55009728", phase.Dual, "", "not all compared"},
		{"a tier that does not answer", failing, "55009728", phase.Tiers, "mysql: connection refused", "not all compared"},
		{"none", `{"missing":"the console does not answer"}`, "55009728", phase.Tiers, "does not answer", "not compared"},
		{"none, and nobody reads tiers yet", `{"missing":"the console does not answer"}`, "55009728", phase.Dual, "", "not compared"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var compared comparison
			require.NoError(t, json.Unmarshal([]byte(c.answer), &compared))
			require.Equal(t, c.word, compared.word(c.account, now))
			holds := compared.holds(c.account, c.to, now)
			if c.reason == "" {
				require.Empty(t, holds)
				return
			}
			require.Len(t, holds, 1)
			require.Equal(t, phase.GateComparison, holds[0].Gate)
			require.Contains(t, holds[0].Reason, c.reason)
			require.NotEmpty(t, holds[0].Remedy)
		})
	}
}
