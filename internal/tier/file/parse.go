package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// parse turns a file's text into the canonical rows of one of its kinds, keys
// perhaps repeated. Entries that do not parse become bad rows; the error is
// about the file from some point on.
func parse(kind book.Kind, name string, raw []byte) (rows, bad []book.Row, err error) {
	owner := ownerOf(name)
	switch kind {
	case book.KindHeldDays, book.KindIncDate:
		return parsePositions(kind, name, raw)
	case book.KindMaxPrice, book.KindMinPrice:
		marks, rejects, err := silverquant.ReadPrices(name, raw)
		for _, m := range marks {
			if kind == book.KindMaxPrice {
				rows = append(rows, book.MaxPriceRow(owner, m.StockCode, m.Price))
			} else {
				rows = append(rows, book.MinPriceRow(owner, m.StockCode, m.Price))
			}
		}
		return rows, badRows(kind, owner, rejects...), err
	case book.KindAsset:
		return parseCSV(kind, name, raw, silverquant.ReadAssets, func(_ int64, a silverquant.Asset) book.Row {
			return book.Asset{AccountID: owner, Date: a.Date, Total: a.Total}.Row()
		})
	case book.KindDeal:
		return parseCSV(kind, name, raw, silverquant.ReadDeals, func(n int64, d silverquant.Deal) book.Row {
			d.AccountID, d.Ordinal = owner, n
			return d.Row()
		})
	case book.KindKline:
		return parseCSV(kind, name, raw, silverquant.ReadBars, func(_ int64, b silverquant.Bar) book.Row {
			return book.Kline{StockCode: owner, Bar: b.Bar}.Row()
		})
	}
	rows, err = parseRelation(kind, raw)
	return rows, nil, err
}

// parsePositions tells what is bad once: with the held days.
func parsePositions(kind book.Kind, name string, raw []byte) (rows, bad []book.Row, err error) {
	owner := ownerOf(name)
	p, rejects, err := silverquant.ReadPositions(name, raw)
	if kind == book.KindIncDate {
		if p.IncDate != 0 {
			rows = append(rows, book.IncDateRow(owner, p.IncDate))
		}
		return rows, nil, nil
	}
	for _, h := range p.Held {
		if h.Open {
			rows = append(rows, book.HeldDaysRow(owner, h.StockCode, h.Days))
		}
	}
	return rows, badRows(kind, owner, rejects...), err
}

func badRows(kind book.Kind, owner string, rejects ...*silverquant.Reject) []book.Row {
	var bad []book.Row
	for _, r := range rejects {
		bad = append(bad, book.Row{Kind: kind, Key: fmt.Sprintf("%s/!%d", owner, r.Line), Value: "unreadable: " + r.Error()})
	}
	return bad
}

// parseCSV gives row the ordinal of each, from 1, bad ones counted.
func parseCSV[T any](kind book.Kind, name string, raw []byte, read func(string, io.Reader) silverquant.Rows[T],
	row func(int64, T) book.Row,
) (rows, bad []book.Row, err error) {
	var n int64
	for item, err := range read(name, bytes.NewReader(raw)) {
		n++
		var reject *silverquant.Reject
		switch {
		case err == nil:
			rows = append(rows, row(n, item))
		case errors.As(err, &reject):
			bad = append(bad, badRows(kind, ownerOf(name), reject)...)
		default:
			return rows, bad, err
		}
	}
	return rows, bad, nil
}

// parseRelation is the inverse of relationText.
func parseRelation(kind book.Kind, raw []byte) ([]book.Row, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true))
	open, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	if open.Kind() != '{' {
		return nil, errors.New("must be a JSON object")
	}
	var rows []book.Row
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return rows, err
		}
		row := book.Row{Kind: kind, Key: strings.Clone(key.String())}
		value, err := dec.ReadValue()
		if err != nil {
			return rows, err
		}
		value = value.Clone()
		if err := value.Compact(); err != nil {
			return rows, err
		}
		if row.Value = string(value); row.Value == `""` {
			row.Value = ""
		}
		rows = append(rows, row)
	}
	if _, err := dec.ReadToken(); err != nil {
		return rows, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return rows, errors.New("text follows the JSON object")
	}
	return rows, nil
}
