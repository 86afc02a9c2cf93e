package mysql_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
)

// TestNamesAreExact: an id with a space behind it, which MySQL takes for the
// same, is another one, as in every other tier.
func TestNamesAreExact(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, tape, ctx := open(t, server), small(), t.Context()
	require.NoError(t, tier.Apply(ctx, projector.Batch{From: projectortest.Checkpoint(0), To: projectortest.Checkpoint(len(tape)), Events: tape}))
	r, err := mysql.NewReader(server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	bindings, _, err := r.Bindings(ctx, "", "")
	require.NoError(t, err)
	account, code := bindings[0].AccountID, bindings[0].StrategyCode
	found := func(account, code string) []int {
		accounts, at, err := r.Accounts(ctx, account)
		require.NoError(t, err)
		require.EqualValues(t, len(tape), at.Sequence)
		strategies, _, err := r.Strategies(ctx, code)
		require.NoError(t, err)
		bound, _, err := r.Bindings(ctx, account, code)
		require.NoError(t, err)
		versions, at, err := r.Params(ctx, code, query.Versions{List: []int64{1}})
		require.NoError(t, err)
		require.EqualValues(t, len(tape), at.Sequence)
		active, _, err := r.Params(ctx, code, query.Versions{Active: true})
		require.NoError(t, err)
		return []int{len(accounts), len(strategies), len(bound), len(versions), len(active)}
	}
	require.Equal(t, []int{1, 1, 1, 1, 1}, found(account, code))
	for _, tail := range []string{" ", "  ", "\u3000", "\t"} {
		require.Equal(t, []int{0, 0, 0, 0, 0}, found(account+tail, code+tail), "%q", tail)
	}
}
