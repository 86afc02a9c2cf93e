package book_test

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"io"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

const sampleAccount = "189ca421-49db-11ef-9fa8-00163e022aa6"

func splitKey(key string) []string { return strings.Split(key, "/") }

func gunzip(t testing.TB, path string) []byte {
	f, err := os.Open(path)
	require.NoError(t, err)
	defer func() { require.NoError(t, f.Close()) }()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	data, err := io.ReadAll(z)
	require.NoError(t, err)
	return data
}

// sample is one account's trading year, in log order.
func sample(t testing.TB) []*events.Event {
	var list []*events.Event
	for line := range bytes.Lines(gunzip(t, "testdata/events.ndjson.gz")) {
		e, err := events.Decode(bytes.TrimSuffix(line, []byte("\n")))
		require.NoError(t, err)
		e.Sequence = uint64(len(list)) + 1
		list = append(list, e)
	}
	require.Len(t, list, 3545)
	return list
}

// asOf is an account's cache folder at the end of a day, as the strategy
// itself wrote it; decimals are its own text.
type asOf struct {
	IncDate  string            `json:"inc_date"`
	HeldDays map[string]int64  `json:"held_days"`
	MaxPrice map[string]string `json:"max_price"`
	MinPrice map[string]string `json:"min_price"`
	Deals    int               `json:"deals"`
}

func prices(t *testing.T, texts map[string]string) map[string]events.Price {
	m := make(map[string]events.Price)
	for stock, text := range texts {
		price, err := events.ParsePrice(text)
		require.NoError(t, err)
		m[stock] = price
	}
	return m
}

func TestSampleYearEqualsTheFolders(t *testing.T) {
	history := sample(t)
	text, err := os.ReadFile("testdata/expected.json")
	require.NoError(t, err)
	var folders map[string]asOf
	require.NoError(t, json.Unmarshal(text, &folders))
	require.Len(t, folders, 4)

	for day, want := range folders {
		t.Run(day, func(t *testing.T) {
			until, err := events.ParseDate(day)
			require.NoError(t, err)
			b := book.New(book.Keep{History: true})
			checked := book.New(book.Keep{})
			for _, e := range history {
				if events.DateOf(e.Time) > until {
					continue
				}
				verdict, err := checked.Check(e)
				require.NoError(t, err, "sequence %d", e.Sequence)
				require.True(t, verdict.Applied, "sequence %d", e.Sequence)
				checked.Apply(e)
				b.Apply(e)
			}
			held := make(map[string]int64)
			highest, lowest := make(map[string]events.Price), make(map[string]events.Price)
			for _, p := range b.Positions(sampleAccount) {
				if p.Open {
					held[p.StockCode] = p.HeldDays
				}
				if p.MaxPrice != 0 {
					highest[p.StockCode] = p.MaxPrice
				}
				if p.MinPrice != 0 {
					lowest[p.StockCode] = p.MinPrice
				}
			}
			require.Equal(t, want.HeldDays, held)
			require.Equal(t, prices(t, want.MaxPrice), highest)
			require.Equal(t, prices(t, want.MinPrice), lowest)
			require.Equal(t, want.IncDate, b.IncDate(sampleAccount).String())
			requireDeals(t, want.Deals, b.Deals(sampleAccount))
			requireAssets(t, until, b.Assets(sampleAccount))
		})
	}
}

// requireDeals holds the deals against the first rows of the year's
// deal_hist.csv. Market and limit orders differ there; the events of that year
// did not tell.
func requireDeals(t *testing.T, count int, deals []book.Deal) {
	rows, err := csv.NewReader(bytes.NewReader(gunzip(t, "testdata/deal_hist.csv.gz"))).ReadAll()
	require.NoError(t, err)
	words := map[events.OrderType]string{
		events.BuyOrder: "买委托", events.SellOrder: "卖委托",
		events.BuyTrade: "买入成交", events.SellTrade: "卖出成交", events.Cancel: "撤单",
	}
	require.Len(t, deals, count)
	for i, d := range deals {
		row := rows[i+1]
		price, err := events.ParsePrice(row[6])
		require.NoError(t, err)
		word := strings.NewReplacer("市", "", "限", "").Replace(row[4])
		require.Equal(t, []string{row[0], row[1], row[2], row[3], word, row[5], price.String(), row[7]},
			[]string{d.Date.String(), d.Time, d.StockCode, d.StockName, words[d.OrderType], d.Remark, d.Price.String(), strconv.FormatInt(d.Volume, 10)},
			"deal %d", d.Ordinal)
	}
}

func requireAssets(t *testing.T, until events.Date, assets []book.Asset) {
	text, err := os.ReadFile("testdata/assets.csv")
	require.NoError(t, err)
	var want []book.Asset
	for line := range strings.Lines(string(text)) {
		day, total, _ := strings.Cut(strings.TrimSpace(line), ",")
		date, err := events.ParseDate(day)
		if err != nil || date > until {
			continue
		}
		money, err := events.ParseMoney(total)
		require.NoError(t, err)
		want = append(want, book.Asset{AccountID: sampleAccount, Date: date, Total: money})
	}
	require.NotEmpty(t, want)
	require.Equal(t, want, assets)
}

// BenchmarkFold is the fold of a year's trade and position events, decoded.
func BenchmarkFold(b *testing.B) {
	var hot []*events.Event
	for _, e := range sample(b) {
		switch e.Data.(type) {
		case *events.KlineRecorded, *events.CapitalUpdated:
		default:
			hot = append(hot, e)
		}
	}
	for _, keep := range []book.Keep{{}, {History: true}} {
		b.Run("history="+strconv.FormatBool(keep.History), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fold(keep, hot)
			}
			b.ReportMetric(float64(len(hot))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	positions := hot[:0:0]
	for _, e := range hot {
		if _, trade := e.Data.(*events.TradeRecorded); !trade {
			positions = append(positions, e)
		}
	}
	b.Run("positions", func(b *testing.B) {
		for b.Loop() {
			fold(book.Keep{}, positions)
		}
		b.ReportMetric(float64(len(positions))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkRows is a dump of the year in canonical rows.
func BenchmarkRows(b *testing.B) {
	full := fold(book.Keep{History: true}, sample(b))
	rows := 0
	for b.Loop() {
		_ = full.Rows(book.AllKinds(), func(book.Row) error { rows++; return nil })
	}
	b.ReportMetric(float64(rows)/b.Elapsed().Seconds(), "rows/s")
}
