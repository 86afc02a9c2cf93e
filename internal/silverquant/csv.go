package silverquant

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// The first lines of the CSV files, ended as the strategies end them.
const (
	DealsHeader  = "日期,时间,代码,名称,类型,注释,成交价,成交量\n"
	AssetsHeader = "date,asset\n"
	BarsHeader   = "datetime,open,high,low,close,volume,amount\n"
)

// compactDate is the date form of _daily files.
const compactDate = "20060102"

// orderWords are the strategies' words for what a row of deal_hist.csv is.
var orderWords = []struct {
	word  string
	order events.OrderType
	price events.PriceType
}{
	{"市买委托", events.BuyOrder, events.MarketPrice},
	{"限买委托", events.BuyOrder, events.LimitPrice},
	{"市卖委托", events.SellOrder, events.MarketPrice},
	{"限卖委托", events.SellOrder, events.LimitPrice},
	{"买入成交", events.BuyTrade, ""},
	{"卖出成交", events.SellTrade, ""},
	{"撤单", events.Cancel, ""},
}

// Deal is a row of deal_hist.csv and the line, from 1, on which it begins.
type Deal struct {
	Line int
	book.Deal
}

// Asset is a row of assets.csv.
type Asset struct {
	Line  int
	Date  events.Date
	Total events.Money
}

// Bar is a row of a _daily file.
type Bar struct {
	Line int
	events.Bar
}

// Rows are the rows of a CSV file, read as they are asked for. An error that is
// a *Reject is about one row and reading goes on; any other is the last.
type Rows[T any] = iter.Seq2[T, error]

// ReadDeals yields the rows of a deal_hist.csv in file order. AccountID and
// Ordinal are left zero. name is for messages.
func ReadDeals(name string, r io.Reader) Rows[Deal] { return ReadDealsAfter(name, r, 0) }

// ReadDealsAfter is ReadDeals for what follows the first lines of a file.
func ReadDealsAfter(name string, r io.Reader, lines int) Rows[Deal] {
	return rows(name, r, lines, DealsHeader, func(line int, f []string) (Deal, error) {
		d, err := parseDeal(f)
		return Deal{Line: line, Deal: d}, err
	})
}

// ReadAssets yields the rows of an assets.csv in file order.
func ReadAssets(name string, r io.Reader) Rows[Asset] { return ReadAssetsAfter(name, r, 0) }

// ReadAssetsAfter is ReadAssets for what follows the first lines of a file.
func ReadAssetsAfter(name string, r io.Reader, lines int) Rows[Asset] {
	return rows(name, r, lines, AssetsHeader, func(line int, f []string) (Asset, error) {
		date, err := events.ParseDate(strings.TrimSpace(f[0]))
		if err != nil {
			return Asset{}, fmt.Errorf("date %w", err)
		}
		total, err := events.ParseMoney(strings.TrimSpace(f[1]))
		if err != nil {
			return Asset{}, fmt.Errorf("asset %w", err)
		}
		return Asset{Line: line, Date: date, Total: total}, nil
	})
}

// ReadBars yields the rows of a _daily/<code>.csv in file order.
func ReadBars(name string, r io.Reader) Rows[Bar] {
	return rows(name, r, 0, BarsHeader, func(line int, f []string) (Bar, error) {
		b, err := parseBar(f)
		return Bar{Line: line, Bar: b}, err
	})
}

// rows yields parsed rows under a header, which may be absent.
func rows[T any](name string, r io.Reader, before int, header string, parse func(int, []string) (T, error)) Rows[T] {
	columns := strings.Split(strings.TrimSpace(header), ",")
	return func(yield func(T, error) bool) {
		var none T
		rs := &records{r: bufio.NewReaderSize(r, 64<<10), line: before}
		for {
			rec, err := rs.next()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(none, fmt.Errorf("read %s: line %d: %w", name, rs.line+1, err))
				return
			}
			if rec.line == 1 && len(rec.fields) > 0 && strings.TrimSpace(rec.fields[0]) == columns[0] {
				if slices.Equal(trimmed(rec.fields), columns) {
					continue
				}
				rec.reason = "the header must be " + strings.TrimSpace(header)
			}
			if rec.reason == "" && len(rec.fields) != len(columns) {
				rec.reason = fmt.Sprintf("must have %d fields, has %d", len(columns), len(rec.fields))
			}
			row := none
			if rec.reason == "" {
				if row, err = parse(rec.line, rec.fields); err != nil {
					rec.reason = err.Error()
				}
			}
			if rec.reason != "" {
				if !yield(none, newReject(name, rec.line, rec.reason, rec.text)) {
					return
				}
				continue
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func trimmed(fields []string) []string {
	out := make([]string, len(fields))
	for i, f := range fields {
		out[i] = strings.TrimSpace(f)
	}
	return out
}

func parseDeal(f []string) (d book.Deal, err error) {
	if d.Date, err = events.ParseDate(strings.TrimSpace(f[0])); err != nil {
		return d, fmt.Errorf("日期 %w", err)
	}
	clock, err := time.Parse(time.TimeOnly, strings.TrimSpace(f[1]))
	if err != nil {
		return d, errors.New("时间 must be a time such as 09:30:00")
	}
	// A fraction parses although the layout has none: the column holds seconds.
	d.Time = clock.Format(time.TimeOnly)
	d.StockCode = strings.TrimSpace(f[2])
	d.StockName = f[3]
	word := strings.TrimSpace(f[4])
	for _, w := range orderWords {
		if w.word == word {
			d.OrderType, d.PriceType = w.order, w.price
		}
	}
	if d.OrderType == "" {
		return d, errors.New("类型 is not a known order word")
	}
	d.Remark = f[5]
	if d.Price, err = events.ParsePrice(strings.TrimSpace(f[6])); err != nil {
		return d, fmt.Errorf("成交价 %w", err)
	}
	if d.Volume, err = parseWhole(strings.TrimSpace(f[7])); err != nil {
		return d, fmt.Errorf("成交量 %w", err)
	}
	return d, nil
}

func parseBar(f []string) (b events.Bar, err error) {
	day, err := time.Parse(compactDate, strings.TrimSpace(f[0]))
	if err == nil {
		b.Date, err = events.ParseDate(day.Format(time.DateOnly))
	}
	if err != nil {
		return b, errors.New("datetime must be a date such as 20250102")
	}
	for i, p := range []*events.Price{&b.Open, &b.High, &b.Low, &b.Close} {
		if *p, err = events.ParsePrice(strings.TrimSpace(f[1+i])); err != nil {
			return b, fmt.Errorf("%s %w", []string{"open", "high", "low", "close"}[i], err)
		}
	}
	if b.Volume, err = parseWhole(strings.TrimSpace(f[5])); err != nil {
		return b, fmt.Errorf("volume %w", err)
	}
	if b.Amount, err = events.ParseMoney(strings.TrimSpace(f[6])); err != nil {
		return b, fmt.Errorf("amount %w", err)
	}
	return b, nil
}

// AppendDeal appends d's row of deal_hist.csv, without a price type for what is
// no order.
func AppendDeal(dst []byte, d book.Deal) []byte {
	if d.OrderType != events.BuyOrder && d.OrderType != events.SellOrder {
		d.PriceType = ""
	}
	word := ""
	for _, w := range orderWords {
		if w.order == d.OrderType && w.price == d.PriceType {
			word = w.word
		}
	}
	for _, field := range []string{d.Date.String(), d.Time, d.StockCode, d.StockName, word, d.Remark, FloatText(d.Price.String())} {
		dst = append(appendField(dst, field), ',')
	}
	dst = strconv.AppendInt(dst, d.Volume, 10)
	return append(dst, "\r\n"...)
}

// AppendAsset appends a row of assets.csv.
func AppendAsset(dst []byte, date events.Date, total events.Money) []byte {
	return fmt.Appendf(dst, "%s,%s\n", date, FloatText(total.String()))
}

// AppendBar appends a row of a _daily file.
func AppendBar(dst []byte, b events.Bar) []byte {
	return fmt.Appendf(dst, "%08d,%s,%s,%s,%s,%d,%s\n", b.Date, FloatText(b.Open.String()), FloatText(b.High.String()),
		FloatText(b.Low.String()), FloatText(b.Close.String()), b.Volume, FloatText(b.Amount.String()))
}
