package silverquant_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

const (
	utf8Account = "55009728"
	gbkAccount  = "189ca421-49db-11ef-9fa8-00163e022aa6"
)

func sample(t testing.TB, parts ...string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{"testdata"}, parts...)...))
	require.NoError(t, err)
	return raw
}

// collect separates rows from rejects; any other error fails the test.
func collect[T any](t testing.TB, rows silverquant.Rows[T]) (good []T, bad []*silverquant.Reject) {
	t.Helper()
	for row, err := range rows {
		var reject *silverquant.Reject
		if errors.As(err, &reject) {
			bad = append(bad, reject)
			continue
		}
		require.NoError(t, err)
		good = append(good, row)
	}
	return good, bad
}

func TestSampleFilesAreWrittenAsTheyWereRead(t *testing.T) {
	for account, enc := range map[string]silverquant.Encoding{utf8Account: silverquant.UTF8, gbkAccount: silverquant.GBK} {
		raw := sample(t, account, silverquant.DealsFile)
		found, err := silverquant.DetectEncoding(bytes.NewReader(raw))
		require.NoError(t, err)
		require.Equal(t, enc, found)
		deals, bad := collect(t, silverquant.ReadDeals("deals", bytes.NewReader(raw)))
		require.Empty(t, bad)
		require.Len(t, deals, bytes.Count(raw, []byte("\n"))-1)
		out := []byte(silverquant.DealsHeader)
		for _, d := range deals {
			out = silverquant.AppendDeal(out, d.Deal)
		}
		out, err = enc.Encode(out)
		require.NoError(t, err)
		require.Equal(t, string(raw), string(out))

		raw = sample(t, account, silverquant.AssetsFile)
		assets, bad := collect(t, silverquant.ReadAssets("assets", bytes.NewReader(raw)))
		require.Empty(t, bad)
		out = []byte(silverquant.AssetsHeader)
		for _, a := range assets {
			out = silverquant.AppendAsset(out, a.Date, a.Total)
		}
		require.Equal(t, string(raw), string(out))

		for _, name := range []string{silverquant.MaxPriceFile, silverquant.MinPriceFile} {
			raw = sample(t, account, name)
			marks, rejects, err := silverquant.ReadPrices(name, raw)
			require.NoError(t, err)
			require.Empty(t, rejects)
			require.Equal(t, string(raw), string(silverquant.AppendPrices(nil, marks)))
		}

		raw = sample(t, account, silverquant.PositionsFile)
		p, rejects, err := silverquant.ReadPositions("positions", raw)
		require.NoError(t, err)
		require.Empty(t, rejects)
		require.Equal(t, events.Date(20250331), p.IncDate)
		again, _, err := silverquant.ReadPositions("positions", silverquant.AppendPositions(nil, p))
		require.NoError(t, err)
		for i := range again.Held {
			require.NotZero(t, again.Held[i].Line)
			again.Held[i].Line = p.Held[i].Line
		}
		require.Equal(t, p, again)
		// But for where _inc_date stands, the very bytes.
		line := "    \"_inc_date\": \"2025-03-31\""
		without := func(s string) string {
			return strings.ReplaceAll(strings.ReplaceAll(s, line+",\n", ""), ",\n"+line, "")
		}
		require.Equal(t, without(string(raw)), without(string(silverquant.AppendPositions(nil, p))))
	}
	for _, code := range []string{"000008.SZ", "600475.SH"} {
		raw := sample(t, silverquant.DailyDir, code+".csv")
		bars, bad := collect(t, silverquant.ReadBars("bars", bytes.NewReader(raw)))
		require.Empty(t, bad)
		out := []byte(silverquant.BarsHeader)
		for _, b := range bars {
			out = silverquant.AppendBar(out, b.Bar)
		}
		require.Equal(t, string(raw), string(out))
	}
}

func TestFloatTextIsPythonsRepr(t *testing.T) {
	for canonical, repr := range map[string]string{
		"12.430": "12.43", "64.000": "64.0", "109.600": "109.6", "0.001": "0.001", "0.00": "0.0",
		"100.00": "100.0", "-0.50": "-0.5", "4192624084.00": "4192624084.0",
	} {
		require.Equal(t, repr, silverquant.FloatText(canonical))
	}
}

func TestBadDealRowsAreRejectedOneByOne(t *testing.T) {
	const good = "2025-01-02,10:20:08,603390.SH,通达电气,市买委托,问财选股,12.43,1600\r\n"
	for name, c := range map[string]struct {
		row, reason string
	}{
		"date":      {"2025-02-30,10:20:08,603390.SH,通达电气,撤单,x,12.43,1600\r\n", "日期"},
		"time":      {"2025-01-02,25:20:08,603390.SH,通达电气,撤单,x,12.43,1600\r\n", "时间"},
		"word":      {"2025-01-02,10:20:08,603390.SH,通达电气,买进,x,12.43,1600\r\n", "类型"},
		"price":     {"2025-01-02,10:20:08,603390.SH,通达电气,撤单,x,nan,1600\r\n", "成交价"},
		"volume":    {"2025-01-02,10:20:08,603390.SH,通达电气,撤单,x,12.43,16.5\r\n", "whole number"},
		"short":     {"2025-01-02,10:20:08,603390.SH\r\n", "8 fields"},
		"long":      {"2025-01-02,10:20:08,603390.SH,通达电气,撤单,x,12.43,1600,\r\n", "8 fields"},
		"quote":     {"2025-01-02,10:20:08,603390.SH,\"通达电气,撤单,x,12.43,1600\r\n", "quote is not closed"},
		"in quote":  {"2025-01-02,10:20:08,603390.SH,通\"达\",撤单,x,12.43,1600\r\n", "inside an unquoted"},
		"tail":      {"2025-01-02,10:20:08,603390.SH,\"通\"达,撤单,x,12.43,1600\r\n", "follows a closing quote"},
		"huge":      {strings.Repeat("x", 1<<20) + "\r\n", "too long"},
		"huge num":  {"2025-01-02,10:20:08,603390.SH,通达电气,撤单,x,1e30,1600\r\n", "too large"},
		"no digits": {"2025-01-02,10:20:08,603390.SH,通达电气,撤单,x,,1600\r\n", "成交价"},
	} {
		t.Run(name, func(t *testing.T) {
			text := silverquant.DealsHeader + good + c.row + "\r\n" + good
			deals, bad := collect(t, silverquant.ReadDeals("d.csv", strings.NewReader(text)))
			require.Len(t, deals, 2)
			require.Len(t, bad, 1)
			require.Equal(t, "d.csv", bad[0].File)
			require.Equal(t, 3, bad[0].Line)
			require.Contains(t, bad[0].Reason, c.reason)
			require.True(t, strings.HasPrefix(c.row, strings.TrimSuffix(bad[0].Text, "…")))
			require.Equal(t, 5, deals[1].Line)
		})
	}
}

func TestHalfWrittenLastLineIsNotBelieved(t *testing.T) {
	// 1600 shares cut down to 16, and a name cut inside a character.
	for _, tail := range []string{"2025-01-02,10:20:08,603390.SH,通达电气,撤单,x,12.43,16", "2025-01-02,10:20:08,603390.SH,通\xe8\xbe"} {
		text := silverquant.DealsHeader + "2025-01-02,10:20:08,603390.SH,通达电气,买入成交,x,8.300000190734863,1600.0\r\n" + tail
		deals, bad := collect(t, silverquant.ReadDeals("d.csv", strings.NewReader(text)))
		require.Len(t, deals, 1)
		require.Equal(t, "通达电气", deals[0].StockName)
		require.Equal(t, events.Price(8300), deals[0].Price)
		require.Equal(t, int64(1600), deals[0].Volume)
		require.Len(t, bad, 1)
		require.Contains(t, bad[0].Reason, "half-written")
	}
}

func TestByteOrderMarkAndMissingHeader(t *testing.T) {
	row := "2025-01-02,10:20:08,603390.SH,通达电气,卖出成交,x,12.43,1600\r\n"
	for _, text := range []string{"\xef\xbb\xbf" + silverquant.DealsHeader + row, row, strings.ReplaceAll(silverquant.DealsHeader+row, "\r\n", "\n")} {
		deals, bad := collect(t, silverquant.ReadDeals("d.csv", strings.NewReader(text)))
		require.Empty(t, bad)
		require.Len(t, deals, 1)
		require.Equal(t, events.SellTrade, deals[0].OrderType)
	}
}

func TestAnyDealReadsBackAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.RuneFrom([]rune("\",\r\n 万科Ａ🚀"))))
		deal := book.Deal{
			Date: 20250102, Time: "10:20:08", StockCode: "603390.SH",
			StockName: text.Draw(t, "name"), Remark: text.Draw(t, "remark"),
			OrderType: rapid.SampledFrom([]events.OrderType{events.BuyOrder, events.SellOrder, events.BuyTrade, events.SellTrade, events.Cancel}).Draw(t, "order"),
			Price:     events.Price(rapid.Int64Range(1, events.MaxUnscaled).Draw(t, "price")),
			Volume:    rapid.Int64Range(1, events.MaxVolume).Draw(t, "volume"),
		}
		if deal.OrderType == events.BuyOrder || deal.OrderType == events.SellOrder {
			deal.PriceType = rapid.SampledFrom([]events.PriceType{events.MarketPrice, events.LimitPrice}).Draw(t, "price type")
		}
		enc := rapid.SampledFrom([]silverquant.Encoding{silverquant.UTF8, silverquant.GBK}).Draw(t, "encoding")
		raw, err := enc.Encode(silverquant.AppendDeal([]byte(silverquant.DealsHeader), deal))
		if strings.ContainsFunc(deal.StockName+deal.Remark, func(r rune) bool { return unicode.Is(unicode.Co, r) || r == utf8.RuneError }) && err != nil {
			return
		}
		require.NoError(t, err)
		for got, err := range silverquant.ReadDeals("d.csv", bytes.NewReader(raw)) {
			require.NoError(t, err)
			require.Equal(t, deal, got.Deal)
		}
	})
}

func TestPositionsInEveryShape(t *testing.T) {
	p, rejects, err := silverquant.ReadPositions("positions.json", []byte(`{
    "600000.SH": 3,
    "600001.SH": {"day_count": 4, "other": [1]},
    "600002.SH": {"day_count": null},
    "600003.SH": null,
    "600004.SH": -1,
    "600005.SH": 1.5,
    "600006.SH": {"days": 1},
    "600007.SH": "3",
    "600000.SH": 5.0,
    "_inc_date": "2025-10-10"
}`))
	require.NoError(t, err)
	require.Equal(t, silverquant.Positions{IncDate: 20251010, Held: []silverquant.Held{
		{StockCode: "600000.SH", Open: true, Days: 5, Line: 10},
		{StockCode: "600001.SH", Open: true, Days: 4, Line: 3},
		{StockCode: "600002.SH", Line: 4},
		{StockCode: "600003.SH", Line: 5},
	}}, p)
	require.Len(t, rejects, 4)
	require.Equal(t, 6, rejects[0].Line)
	require.Contains(t, rejects[0].Error(), "positions.json:6: day_count must not be negative")
}

func TestHalfWrittenJSONNamesFileAndOffset(t *testing.T) {
	raw := sample(t, utf8Account, silverquant.MaxPriceFile)
	for n := range len(raw) {
		_, _, err := silverquant.ReadPrices("max_price.json", raw[:n])
		require.ErrorContains(t, err, "read max_price.json: offset ", "cut to %d bytes", n)
		_, _, err = silverquant.ReadPositions("positions.json", raw[:n])
		require.ErrorContains(t, err, "read positions.json: offset ", "cut to %d bytes", n)
	}
	_, _, err := silverquant.ReadPrices("max_price.json", append(bytes.Clone(raw), '}'))
	require.ErrorContains(t, err, "more text")
}

type brokenFile struct{ *bytes.Reader }

func (brokenFile) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

var _ io.ReadSeeker = brokenFile{}

func TestReadErrorsAreNoRejects(t *testing.T) {
	for _, err := range silverquant.ReadDeals("d.csv", brokenFile{bytes.NewReader(nil)}) {
		require.ErrorContains(t, err, "read d.csv: line 1: disk on fire")
		var reject *silverquant.Reject
		require.NotErrorAs(t, err, &reject)
	}
}

// TestEachRowHasItsOwnEncoding: neither a bad byte nor rows in the other
// encoding change how the rest is read.
func TestEachRowHasItsOwnEncoding(t *testing.T) {
	const row = "2025-01-02,10:20:08,603390.SH,通达电气,买入成交,问财选股,12.43,1600\r\n"
	gbk, err := silverquant.GBK.Encode([]byte(silverquant.DealsHeader + row))
	require.NoError(t, err)
	bad := strings.Replace(row, "通", "\xe9\x80", 1)
	neither := strings.Replace(row, "通", "\xff", 1)
	raw := string(gbk) + row + bad + neither + row
	for name, text := range map[string]string{"gbk first": raw, "utf-8 first": "\xef\xbb\xbf" + silverquant.DealsHeader + row + bad + neither + string(gbk[bytes.IndexByte(gbk, '\n')+1:])} {
		deals, rejects := collect(t, silverquant.ReadDeals("d.csv", strings.NewReader(text)))
		for _, d := range deals {
			require.Equal(t, "通达电气", d.StockName, name)
		}
		require.Len(t, rejects, 2, name)
		require.Len(t, deals, strings.Count(text, "\n")-3, name)
		require.Equal(t, rejects[0].Line+1, rejects[1].Line)
		require.Contains(t, rejects[1].Reason, "neither UTF-8 nor GBK")
	}
	tail, _ := collect(t, silverquant.ReadDealsAfter("d.csv", strings.NewReader(row), 7))
	require.Equal(t, 8, tail[0].Line)
}
