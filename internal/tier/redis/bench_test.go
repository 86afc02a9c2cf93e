package redis_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

// BenchmarkApply holds the tier against the server's raw limits in the same
// run: an HSET an event in one pipeline, and an HSET of all last values a key,
// which is what remains when coalescing costs nothing and nothing is fenced.
func BenchmarkApply(b *testing.B) {
	server := testserver.Redis(b)
	for _, size := range []int{1_000, 10_000} {
		tape := steady(size, 10, 30)
		b.Run(fmt.Sprintf("tier/%d", size), func(b *testing.B) {
			require.NoError(b, raw(b, server).FlushDB(b.Context()).Err())
			tier := open(b, server)
			at := 0
			for b.Loop() {
				apply(b, tier, tape, at)
				at++
			}
			report(b, size)
		})
		b.Run(fmt.Sprintf("rawPipelinedHSET/%d", size), func(b *testing.B) {
			client := raw(b, server)
			for b.Loop() {
				_, err := client.Pipelined(b.Context(), func(pipe goredis.Pipeliner) error {
					for _, e := range tape {
						for key, pair := range writes(e) {
							pipe.HSet(b.Context(), key, pair...)
						}
					}
					return nil
				})
				require.NoError(b, err)
			}
			report(b, size)
		})
		b.Run(fmt.Sprintf("rawLastValuesHSET/%d", size), func(b *testing.B) {
			client := raw(b, server)
			last := make(map[string]map[string]any)
			for _, e := range tape {
				for key, pair := range writes(e) {
					if last[key] == nil {
						last[key] = make(map[string]any)
					}
					last[key][pair[0].(string)] = pair[1]
				}
			}
			for b.Loop() {
				_, err := client.Pipelined(b.Context(), func(pipe goredis.Pipeliner) error {
					for key, fields := range last {
						pipe.HSet(b.Context(), key, fields)
					}
					return nil
				})
				require.NoError(b, err)
			}
			report(b, size)
		})
	}
}

// BenchmarkSteer tells for how long Redis answers nobody else while a tier is
// dumped, promoted and swapped back. All positions have all three values.
func BenchmarkSteer(b *testing.B) {
	for _, size := range []struct{ accounts, stocks int }{{300, 100}, {10_000, 10}, {10_000, 100}} {
		server := testserver.Redis(b)
		tier, client, ctx := open(b, server), raw(b, server), b.Context()
		tape := steady(2*size.accounts*size.stocks, size.accounts, size.stocks)
		fill := func(to projector.Tier) {
			for at := range slices.Collect(slices.Chunk(tape, 20_000)) {
				require.NoError(b, to.Apply(ctx, projectortest.Batch(tape, at*20_000, min((at+1)*20_000, len(tape)))))
			}
		}
		measure := func(name, command string, step func() error) {
			b.Run(fmt.Sprintf("%s/%dx%d", name, size.accounts, size.stocks), func(b *testing.B) {
				require.NoError(b, client.ConfigResetStat(ctx).Err())
				for b.Loop() {
					require.NoError(b, step())
				}
				_, stats, _ := strings.Cut(client.Info(ctx, "commandstats").Val(), "cmdstat_"+command+":")
				var calls, usec float64
				_, err := fmt.Sscanf(stats, "calls=%f,usec=%f,", &calls, &usec)
				require.NoError(b, err)
				b.ReportMetric(usec/calls/1000, "ms-blocked")
			})
		}
		fill(tier)
		measure("dump", "exec", func() error {
			_, err := tier.Dump(ctx, func(book.Row) error { return nil })
			return err
		})
		shadow, err := tier.Shadow(ctx, "bench")
		require.NoError(b, err)
		fill(shadow)
		require.NoError(b, shadow.Promote(ctx, projector.Hold{}))
		measure("swap", "evalsha", func() error {
			previous, err := tier.Previous(ctx)
			if err != nil {
				return err
			}
			return previous.Promote(ctx, projector.Hold{})
		})
	}
}

func apply(b *testing.B, tier *redis.Tier, tape []*events.Event, n int) {
	b.Helper()
	require.NoError(b, tier.Apply(b.Context(), projector.Batch{From: projectortest.Checkpoint(n), To: projectortest.Checkpoint(n + 1), Events: tape}))
}

func report(b *testing.B, size int) {
	b.ReportMetric(float64(b.N)*float64(size)/b.Elapsed().Seconds(), "events/s")
}

// writes are the fields that an event sets, by key.
func writes(e *events.Event) map[string][]any {
	switch d := e.Data.(type) {
	case *events.PositionOpened:
		return map[string][]any{"held_days:" + d.AccountID: {d.StockCode, d.HeldDays}}
	case *events.PositionHeldDaysSet:
		return map[string][]any{"held_days:" + d.AccountID: {d.StockCode, d.HeldDays}}
	case *events.PositionPriceMarked:
		return map[string][]any{
			"max_prices:" + d.AccountID: {d.StockCode, d.MaxPrice.String()},
			"min_prices:" + d.AccountID: {d.StockCode, d.MinPrice.String()},
		}
	}
	return nil
}
