package redis_test

import (
	"context"
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

func open(t testing.TB, s *testserver.Server) *redis.Tier {
	t.Helper()
	tier, err := redis.Open(t.Context(), redis.Options{URL: s.URL()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tier.Close()) })
	return tier
}

// raw is a client beside the tier: a reader, or someone's hand.
func raw(t testing.TB, s *testserver.Server) *goredis.Client {
	t.Helper()
	options, err := goredis.ParseURL(s.URL())
	require.NoError(t, err)
	client := goredis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

func tapeOf(data ...events.Data) []*events.Event {
	tape := make([]*events.Event, len(data))
	for i, d := range data {
		tape[i] = &events.Event{Sequence: uint64(i + 1), Data: d}
	}
	return tape
}

func foldRows(t rapid.TB, tape []*events.Event) []book.Row {
	t.Helper()
	b := book.New(book.Keep{})
	for _, e := range tape {
		b.Apply(e)
	}
	var rows []book.Row
	require.NoError(t, b.Rows([]book.Kind{book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate},
		func(r book.Row) error { rows = append(rows, r); return nil }))
	return rows
}

func dumpRows(t rapid.TB, tier projector.Tier) []book.Row {
	t.Helper()
	var rows []book.Row
	_, err := tier.Dump(context.Background(), func(r book.Row) error { rows = append(rows, r); return nil })
	require.NoError(t, err)
	return rows
}

// requireFold holds a tier to be at a checkpoint and to equal the fold there.
func requireFold(t rapid.TB, tier projector.Tier, tape []*events.Event, at int) {
	t.Helper()
	got, err := tier.Checkpoint(context.Background())
	require.NoError(t, err)
	require.Equal(t, projectortest.Checkpoint(at), got)
	require.Equal(t, foldRows(t, tape[:at]), dumpRows(t, tier))
}

// wild draws position events without any care for ingest's rules: increments
// out of order, prices of stocks never opened, closing what is not open.
func wild(t *rapid.T) []*events.Event {
	account := rapid.SampledFrom([]string{"55009728", "55009728-a", "gm_0001"})
	stock := rapid.SampledFrom([]string{"600000.SH", "000001.SZ", "430047.BJ"})
	price := rapid.Custom(func(t *rapid.T) *events.Price {
		if rapid.Bool().Draw(t, "absent") {
			return nil
		}
		p := events.Price(rapid.Int64Range(1, events.MaxUnscaled).Draw(t, "price"))
		return &p
	})
	days := rapid.Int64Range(0, events.MaxHeldDays)
	data := rapid.Custom(func(t *rapid.T) events.Data {
		a, s := account.Draw(t, "account"), stock.Draw(t, "stock")
		switch rapid.IntRange(0, 5).Draw(t, "type") {
		case 0:
			return &events.PositionOpened{AccountID: a, StockCode: s, HeldDays: days.Draw(t, "days")}
		case 1:
			return &events.PositionHeldDaysSet{AccountID: a, StockCode: s, HeldDays: days.Draw(t, "days")}
		case 2:
			return &events.PositionPriceMarked{AccountID: a, StockCode: s, MaxPrice: price.Draw(t, "max"), MinPrice: price.Draw(t, "min")}
		case 3:
			return &events.PositionClosed{AccountID: a, StockCode: s}
		default:
			return &events.PositionDaysIncremented{AccountID: a, Date: events.Date(20250101 + rapid.IntRange(0, 27).Draw(t, "day"))}
		}
	})
	return tapeOf(rapid.SliceOfN(data, 1, 60).Draw(t, "history")...)
}

// steady is a history of n events over a number of accounts and stocks that
// changes something with every event.
func steady(n, accounts, stocks int) []*events.Event {
	tape := make([]*events.Event, n)
	for i := range tape {
		account := fmt.Sprintf("account%03d", i%accounts)
		stock := fmt.Sprintf("%06d.SH", 600000+i/accounts%stocks)
		price := events.Price(1000 + i)
		var data events.Data
		switch i / (accounts * stocks) % 3 {
		case 0:
			data = &events.PositionHeldDaysSet{AccountID: account, StockCode: stock, HeldDays: int64(i)}
		case 1:
			data = &events.PositionPriceMarked{AccountID: account, StockCode: stock, MaxPrice: &price, MinPrice: &price}
		default:
			data = &events.PositionOpened{AccountID: account, StockCode: stock, HeldDays: int64(i)}
		}
		tape[i] = &events.Event{Sequence: uint64(i + 1), Data: data}
	}
	return tape
}
