package redis_test

import (
	"context"
	"encoding/json"
	"os"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

// schema1Tape is what testdata/schema1.json holds: the live tier all of it, a
// rebuild under way the first two events.
func schema1Tape() []*events.Event {
	highest, lowest := events.Price(8300), events.Price(7010)
	return tapeOf(
		&events.PositionOpened{AccountID: "55009728", StockCode: "600000.SH", HeldDays: 2},
		&events.PositionOpened{AccountID: "gm_0001", StockCode: "000001.SZ"},
		&events.PositionPriceMarked{AccountID: "55009728", StockCode: "600000.SH", MaxPrice: &highest, MinPrice: &lowest},
		&events.PositionDaysIncremented{AccountID: "55009728", Date: 20251010},
		&events.PositionClosed{AccountID: "gm_0001", StockCode: "000001.SZ"},
	)
}

// loadSchema1 puts the keys there that the projector of schema 1 wrote. The
// file is frozen: a tier in this state must open for ever.
func loadSchema1(t *testing.T, client *goredis.Client) {
	t.Helper()
	text, err := os.ReadFile("testdata/schema1.json")
	require.NoError(t, err)
	var keys map[string]any
	require.NoError(t, json.Unmarshal(text, &keys))
	require.Len(t, keys, 10)
	for key, value := range keys {
		switch value := value.(type) {
		case string:
			err = client.Set(t.Context(), key, value, 0).Err()
		case map[string]any:
			err = client.HSet(t.Context(), key, value).Err()
		case []any:
			err = client.SAdd(t.Context(), key, value...).Err()
		}
		require.NoError(t, err)
	}
}

// TestSchema1MigratesForward: reading changes nothing, whatever writes first
// makes it schema 2, and so keeps older programs out.
func TestSchema1MigratesForward(t *testing.T) {
	tape := append(schema1Tape(), tapeOf(&events.PositionDaysIncremented{AccountID: "55009728", Date: 20251011})...)
	const end = 5
	for name, write := range map[string]func(ctx context.Context, tier *redis.Tier) (at int, err error){
		"apply": func(ctx context.Context, tier *redis.Tier) (int, error) {
			return end + 1, tier.Apply(ctx, projectortest.Batch(tape, end, end+1))
		},
		"hold": func(ctx context.Context, tier *redis.Tier) (int, error) {
			return end, projectortest.PutHold(ctx, tier, projector.Hold{Until: end, Reason: "test"})
		},
		"release": func(ctx context.Context, tier *redis.Tier) (int, error) {
			return end, projectortest.PutHold(ctx, tier, projector.Hold{})
		},
		"repair": func(ctx context.Context, tier *redis.Tier) (int, error) {
			return end, tier.Repair(ctx, projectortest.Checkpoint(end), nil)
		},
		"promote": func(ctx context.Context, tier *redis.Tier) (int, error) {
			shadow, err := tier.Shadow(ctx, "")
			if err != nil {
				return 0, err
			}
			if err := shadow.Apply(ctx, projectortest.Batch(tape, 0, 3)); err != nil {
				return 0, err // what schema 1 left there is not empty
			}
			return 3, shadow.Promote(ctx, projector.Hold{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			server := testserver.Redis(t)
			tier, client, ctx := open(t, server), raw(t, server), t.Context()
			loadSchema1(t, client)
			requireFold(t, tier, tape, end)
			hold, err := tier.Hold(ctx)
			require.NoError(t, err)
			require.Zero(t, hold)
			_, err = tier.Previous(ctx)
			require.ErrorIs(t, err, projector.ErrNoPrevious)
			require.Equal(t, "1", client.HGet(ctx, "tapedeck:checkpoint", "schema").Val())

			at, err := write(ctx, tier)
			require.NoError(t, err)
			require.Equal(t, "2", client.HGet(ctx, "tapedeck:checkpoint", "schema").Val())
			requireFold(t, open(t, server), tape, at)
			if name == "promote" {
				previous, err := tier.Previous(ctx)
				require.NoError(t, err)
				requireFold(t, previous, tape, end)
				require.NoError(t, previous.Promote(ctx, projector.Hold{}))
				requireFold(t, tier, tape, end)
			}
		})
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	server := testserver.Redis(t)
	tier, client, ctx := open(t, server), raw(t, server), t.Context()
	tape := steady(30, 2, 3)
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 10)))
	shadow, err := tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, shadow.Promote(ctx, projector.Hold{}))
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 10)))
	previous, err := tier.Previous(ctx)
	require.NoError(t, err)
	shadow, err = tier.Shadow(ctx, "test")
	require.NoError(t, err)
	require.NoError(t, client.HSet(ctx, "tapedeck:checkpoint", "schema", "3").Err())
	_, err = tier.Checkpoint(ctx)
	require.ErrorIs(t, err, projector.ErrRefused)
	require.ErrorContains(t, err, `the tier has schema "3", this program knows 2`)
	require.ErrorIs(t, tier.Apply(ctx, projectortest.Batch(tape, 10, 20)), projector.ErrRefused)
	require.ErrorIs(t, shadow.Promote(ctx, projector.Hold{}), projector.ErrRefused)
	require.ErrorIs(t, previous.Promote(ctx, projector.Hold{}), projector.ErrRefused)
	require.ErrorIs(t, projectortest.PutHold(ctx, tier, projector.Hold{}), projector.ErrRefused)
	require.ErrorIs(t, tier.Repair(ctx, projectortest.Checkpoint(10), nil), projector.ErrRefused)
	_, err = tier.Hold(ctx)
	require.ErrorIs(t, err, projector.ErrRefused)
	_, err = tier.Shadow(ctx, "test")
	require.ErrorIs(t, err, projector.ErrRefused)
	require.Equal(t, "3", client.HGet(ctx, "tapedeck:checkpoint", "schema").Val())
}
