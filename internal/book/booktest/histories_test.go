package booktest_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
)

// A generator that leaves a type out, or refuses nearly all it draws, would
// make every test built on it weaker without anyone noticing.
func TestHistoriesReachEverything(t *testing.T) {
	seen := make(map[events.Type]int)
	edges := make(map[string]bool)
	longest, full, locked := 0, false, false
	gen := rapid.Custom(func(t *rapid.T) []*events.Event { return booktest.Histories(t, booktest.Options{Wide: true}) })
	for seed := range 1000 {
		history := gen.Example(seed)
		b := book.New(book.Keep{})
		for i, e := range history {
			require.Equal(t, uint64(i)+1, e.Sequence)
			verdict, err := b.Check(e)
			require.NoError(t, err)
			require.True(t, verdict.Applied)
			b.Apply(e)
			seen[e.Type()]++
			noteEdges(edges, e.Data)
		}
		longest = max(longest, len(history))
		for _, id := range b.AccountIDs() {
			open := 0
			for _, p := range b.Positions(id) {
				if p.Open {
					open++
				}
			}
			full = full || open == book.MaxOpenPositions
		}
		for _, u := range b.Users() {
			locked = locked || u.Status == "locked" && u.FailedLogins >= book.MaxLoginFailures
		}
	}
	require.Len(t, seen, 27, "event types: %v", seen)
	for _, edge := range edgeNames {
		require.True(t, edges[edge], "%s; drawn were %v", edge, edges)
	}
	require.Greater(t, longest, 30)
	require.True(t, full, "an account with all positions open")
	require.True(t, locked, "a user locked by failed logins")
	t.Logf("longest %d, types %v", longest, seen)
}

// edgeNames are the contents that databases and encodings stumble over.
var edgeNames = []string{
	"smallest price", "largest price", "no money", "largest money", "most held days",
	"Chinese", "emoji", "quotes", "line break", "nested params",
}

var nested = regexp.MustCompile(`[{\[][^{}\[\]]*[{\[][^{}\[\]]*[{\[]`) // three levels deep

func noteEdges(edges map[string]bool, data events.Data) {
	switch d := data.(type) {
	case *events.TradeRecorded:
		edges["smallest price"] = edges["smallest price"] || d.Price == 1
		edges["Chinese"] = edges["Chinese"] || strings.Contains(d.Remark, "问财")
		edges["emoji"] = edges["emoji"] || strings.Contains(d.Remark, "🚀")
		edges["quotes"] = edges["quotes"] || strings.ContainsAny(d.Remark, `"'\`)
		edges["line break"] = edges["line break"] || strings.Contains(d.Remark, "\n")
	case *events.PositionPriceMarked:
		edges["largest price"] = edges["largest price"] || d.MaxPrice != nil && *d.MaxPrice == events.MaxUnscaled
	case *events.PositionHeldDaysSet:
		edges["most held days"] = edges["most held days"] || d.HeldDays == events.MaxHeldDays
	case *events.CapitalUpdated:
		edges["no money"] = edges["no money"] || d.TotalAssets == 0
		edges["largest money"] = edges["largest money"] || d.TotalAssets == events.MaxUnscaled
	case *events.ParamSaved:
		edges["nested params"] = edges["nested params"] || nested.Match(d.Params)
	}
}
