package clickhouse

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// TestEmptiedUnderReader: a reader that tries the state it saw last, while
// someone empties the state, does not return rows as of sequence 0.
func TestEmptiedUnderReader(t *testing.T) {
	server := testserver.ClickHouse(t)
	tier := open(t, server)
	require.NoError(t, tier.Apply(t.Context(), batch(0, 6)))
	r, err := NewReader(server.URL())
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, r.Close()) })
	reads := map[string]func() (int, query.At, error){
		"trades": func() (int, query.At, error) {
			list, at, err := r.Trades(t.Context(), query.TradeFilter{})
			return len(list), at, err
		},
		"executions": func() (int, query.At, error) {
			list, at, err := r.Fills(t.Context(), query.TradeFilter{})
			return len(list), at, err
		},
		"klines": func() (int, query.At, error) {
			found, at, err := r.Klines(t.Context(), query.KlineQuery{Stocks: []string{"600000.SH"}})
			return len(found), at, err
		},
	}
	for name, read := range reads {
		n, at, err := read()
		require.NoError(t, err, name)
		require.NotZero(t, n, name)
		require.EqualValues(t, 6, at.Sequence, name)
	}
	seen := r.seen.Load()
	require.NoError(t, tier.store.conn.Exec(t.Context(), "TRUNCATE TABLE tapedeck_state"))
	for name, read := range reads {
		r.seen.Store(seen)
		n, at, err := read()
		require.NoError(t, err, name)
		require.Zero(t, n, name)
		require.Zero(t, at.Sequence, name)
	}
}
