package mysql_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// BenchmarkApply holds the tier against the raw limit of the same server in the
// same run: multi-row inserts of the same rows, four a parameter event, into
// the same table, a transaction a batch, without anything else.
func BenchmarkApply(b *testing.B) {
	server := testserver.MariaDB(b)
	db := raw(b, server)
	const size, keys = 5000, 4
	b.Run("tier", func(b *testing.B) {
		tier := open(b, server)
		require.NoError(b, tier.Apply(b.Context(), projectortest.Batch(steady(0), 0, 6)))
		at := 6
		for b.Loop() {
			b.StopTimer()
			data := make([]events.Data, size)
			for i := range data {
				data[i] = &events.ParamSaved{StrategyCode: fmt.Sprint("s", i%4), Version: int64((at+i)/4 + 1), Params: benchParams(at + i), Remark: "调参"}
			}
			next := projector.Batch{From: projectortest.Checkpoint(at), To: projectortest.Checkpoint(at + size), Events: tapeOf(data...)}
			b.StartTimer()
			require.NoError(b, tier.Apply(b.Context(), next))
			at += size
		}
		report(b, size, keys)
	})
	b.Run("rawMultiRowInsert", func(b *testing.B) {
		wipe(b, db)
		exec(b, db, "INSERT INTO strategy (id, strategy_code, strategy_name, strategy_type, version, status, description, created_at, updated_at) VALUES (1, 's', 's', 'remote', '1.0.0', 'active', '', NOW(), NOW())")
		const rows = 1000
		head := "INSERT INTO strategy_param (strategy_id, version, param_key, param_value, param_type, is_active, remark, created_at, position, raw) VALUES "
		statement := head + strings.TrimSuffix(strings.Repeat("(1,?,?,?,'string',0,'调参','2025-01-02 09:30:00',0,NULL),", rows), ",")
		version := 0
		for b.Loop() {
			tx, err := db.BeginTx(context.Background(), nil)
			require.NoError(b, err)
			for range size * keys / rows {
				var args []any
				for range rows / keys {
					version++
					for k := range keys {
						args = append(args, version, fmt.Sprint("key_", k), `{"begin":"09:45","rise"`)
					}
				}
				_, err := tx.ExecContext(context.Background(), statement, args...)
				require.NoError(b, err)
			}
			require.NoError(b, tx.Commit())
		}
		report(b, size, keys)
	})
	b.Run("tierAccounts", func(b *testing.B) {
		wipe(b, db)
		tier := open(b, server)
		tape := slices.Concat(tapeOf(accounts(size)...))
		require.NoError(b, tier.Apply(b.Context(), projector.Batch{To: projectortest.Checkpoint(1), Events: tape}))
		at := 1
		for b.Loop() {
			updates := make([]events.Data, size)
			for i := range updates {
				updates[i] = &events.CapitalUpdated{AccountID: fmt.Sprintf("account-%05d", i), TotalAssets: events.Money(at)}
			}
			require.NoError(b, tier.Apply(b.Context(), projector.Batch{From: projectortest.Checkpoint(at), To: projectortest.Checkpoint(at + 1), Events: tapeOf(updates...)}))
			at++
		}
		report(b, size, 1)
	})
}

func accounts(n int) []events.Data {
	data := make([]events.Data, n)
	for i := range data {
		data[i] = &events.AccountCreated{AccountID: fmt.Sprintf("account-%05d", i), AccountName: "账户", Broker: "QMT", InitialCapital: 100}
	}
	return data
}

func benchParams(i int) []byte {
	return fmt.Appendf(nil, `{"slot_count":%d,"order_premium":0.%03d,"name":"参数 %d","switch":{"begin":"09:45","rise":[1.0,2.5]}}`, i, i%1000, i)
}

func report(b *testing.B, size, keys int) {
	b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(b.N)*float64(size*keys)/b.Elapsed().Seconds(), "rows/s")
}
