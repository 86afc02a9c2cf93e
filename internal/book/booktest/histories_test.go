package booktest_test

import (
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
	require.Len(t, seen, 26, "event types: %v", seen)
	require.Greater(t, longest, 30)
	require.True(t, full, "an account with all positions open")
	require.True(t, locked, "a user locked by failed logins")
	t.Logf("longest %d, types %v", longest, seen)
}
