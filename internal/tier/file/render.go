package file

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// The texts of the files, the inverse of parse: each in one canonical order.

func positionsText(b *book.Book, id string) []byte {
	held := silverquant.Positions{IncDate: b.IncDate(id)}
	for _, p := range b.Positions(id) {
		if p.Open {
			held.Held = append(held.Held, silverquant.Held{StockCode: p.StockCode, Open: true, Days: p.HeldDays})
		}
	}
	return silverquant.AppendPositions(nil, held)
}

func pricesText(b *book.Book, id string, price func(book.Position) events.Price) []byte {
	var marks []silverquant.Mark
	for _, p := range b.Positions(id) {
		if price(p) != 0 {
			marks = append(marks, silverquant.Mark{StockCode: p.StockCode, Price: price(p)})
		}
	}
	return silverquant.AppendPrices(nil, marks)
}

func maxPrice(p book.Position) events.Price { return p.MaxPrice }

func minPrice(p book.Position) events.Price { return p.MinPrice }

func assetsText(days map[events.Date]events.Money) []byte {
	text := []byte(silverquant.AssetsHeader)
	for _, date := range slices.Sorted(maps.Keys(days)) {
		text = silverquant.AppendAsset(text, date, days[date])
	}
	return text
}

func barsText(days map[events.Date]events.Bar) []byte {
	text := []byte(silverquant.BarsHeader)
	for _, date := range slices.Sorted(maps.Keys(days)) {
		text = silverquant.AppendBar(text, days[date])
	}
	return text
}

// relationText renders the rows of one kind. Strings and numbers inside the
// values keep their very text, so that they read back byte for byte.
func relationText(rows []book.Row) ([]byte, error) {
	out := []byte{'{'}
	for _, r := range rows {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, r.Key)
		out = append(out, ':')
		if r.Value == "" {
			out = append(out, `""`...)
			continue
		}
		out = append(out, r.Value...)
	}
	value := jsontext.Value(append(out, '}'))
	if err := value.Indent(jsontext.WithIndent("    ")); err != nil {
		return nil, fmt.Errorf("%s: %w", relations[rows[0].Kind], err)
	}
	return append(value, '\n'), nil
}

// relationOf renders a book's file of one kind.
func relationOf(b *book.Book, kind book.Kind) ([]byte, error) {
	var rows []book.Row
	err := b.Rows([]book.Kind{kind}, func(r book.Row) error {
		rows = append(rows, r)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return relationText(rows)
}
