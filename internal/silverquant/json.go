package silverquant

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Held is one stock of positions.json, in file order. A closed position stays
// in the strategies' files, with a day_count of null.
type Held struct {
	StockCode string
	Open      bool
	// Days is how many trading days it has been held; 0 unless Open.
	Days int64
	// Line is where the entry begins, from 1; 0 in what was not read.
	Line int
}

// Positions is positions.json.
type Positions struct {
	Held []Held
	// IncDate is when the days were last incremented; 0 when never.
	IncDate events.Date
}

// Mark is one stock of max_price.json or min_price.json.
type Mark struct {
	StockCode string
	Price     events.Price
	// Line is where the entry begins, from 1; 0 in what was not read.
	Line int
}

// ReadPositions reads positions.json in either shape: {"600000.SH": 3} or
// {"600000.SH": {"day_count": 3}}. Of a repeated name the last counts, as in
// Python. Bad entries are left out and reported. The error is about the whole
// file, a half-written one for instance; name is for messages.
func ReadPositions(name string, raw []byte) (Positions, []*Reject, error) {
	var p Positions
	at := make(map[string]int)
	rejects, err := readObject(name, raw, func(line int, key string, value jsontext.Value) error {
		if key == incDateKey {
			date, err := parseIncDate(value)
			p.IncDate = date
			return err
		}
		h, err := parseHeld(value)
		if err != nil {
			return err
		}
		h.StockCode, h.Line = key, line
		if i, again := at[key]; again {
			p.Held[i] = h
			return nil
		}
		at[key] = len(p.Held)
		p.Held = append(p.Held, h)
		return nil
	})
	return p, rejects, err
}

// ReadPrices reads max_price.json or min_price.json, as ReadPositions does.
func ReadPrices(name string, raw []byte) ([]Mark, []*Reject, error) {
	var marks []Mark
	at := make(map[string]int)
	rejects, err := readObject(name, raw, func(line int, key string, value jsontext.Value) error {
		price, err := events.ParsePrice(string(value))
		if err != nil {
			return fmt.Errorf("price %w", err)
		}
		m := Mark{StockCode: key, Price: price, Line: line}
		if i, again := at[key]; again {
			marks[i] = m
			return nil
		}
		at[key] = len(marks)
		marks = append(marks, m)
		return nil
	})
	return marks, rejects, err
}

// readObject hands each entry of one JSON object on; entry's errors become
// rejects.
func readObject(name string, raw []byte, entry func(line int, key string, value jsontext.Value) error) ([]*Reject, error) {
	text, err := decodeAll(raw)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return readText(name, text, entry)
}

// readText is readObject for text that is UTF-8 already.
func readText(name string, text []byte, entry func(line int, key string, value jsontext.Value) error) ([]*Reject, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(text), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	damaged := func(err error) error {
		offset := dec.InputOffset()
		var syntax *jsontext.SyntacticError
		if errors.As(err, &syntax) {
			offset = syntax.ByteOffset
		}
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return fmt.Errorf("read %s: offset %d: not a whole JSON object, perhaps half-written: %w", name, offset, err)
	}
	open, err := dec.ReadToken()
	if err != nil {
		return nil, damaged(err)
	}
	if open.Kind() != '{' {
		return nil, fmt.Errorf("read %s: offset 0: must be a JSON object", name)
	}
	var rejects []*Reject
	line, counted := 1, int64(0)
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return rejects, damaged(err)
		}
		code := key.String()
		line += bytes.Count(text[counted:dec.InputOffset()], []byte("\n"))
		counted = dec.InputOffset()
		value, err := dec.ReadValue()
		if err != nil {
			return rejects, damaged(err)
		}
		if err := entry(line, code, value); err != nil {
			rejects = append(rejects, newReject(name, line, err.Error(), fmt.Sprintf("%q: %s", code, value)))
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return rejects, damaged(err)
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return rejects, fmt.Errorf("read %s: offset %d: more text follows the JSON object", name, dec.InputOffset())
	}
	return rejects, nil
}

func parseIncDate(value jsontext.Value) (events.Date, error) {
	text, err := jsontext.AppendUnquote(nil, value)
	if err != nil {
		return 0, errors.New("_inc_date must be a string")
	}
	return events.ParseDate(string(text))
}

func parseHeld(value jsontext.Value) (Held, error) {
	if value.Kind() == '{' {
		var inner jsontext.Value
		if _, err := readText("", value, func(_ int, key string, v jsontext.Value) error {
			if key == "day_count" {
				inner = v.Clone()
			}
			return nil
		}); err != nil {
			return Held{}, err
		}
		if inner == nil {
			return Held{}, errors.New("day_count is missing")
		}
		value = inner
	}
	switch value.Kind() {
	case 'n':
		return Held{}, nil
	case '0':
		days, err := parseWhole(string(value))
		if err != nil {
			return Held{}, fmt.Errorf("day_count %w", err)
		}
		if days < 0 {
			return Held{}, errors.New("day_count must not be negative")
		}
		return Held{Open: true, Days: days}, nil
	}
	return Held{}, errors.New("must be a number or an object with day_count")
}

// AppendPositions appends positions.json as Python's json.dump(indent=4)
// writes it, the entries in the order given and _inc_date, if any, last.
func AppendPositions(dst []byte, p Positions) []byte {
	o := beginObject(dst)
	for _, h := range p.Held {
		days := "null"
		if h.Open {
			days = strconv.FormatInt(h.Days, 10)
		}
		o.entry(h.StockCode, "{\n        \"day_count\": "+days+"\n    }")
	}
	if p.IncDate != 0 {
		o.entry(incDateKey, strconv.Quote(p.IncDate.String()))
	}
	return o.end()
}

// AppendPrices appends max_price.json or min_price.json likewise.
func AppendPrices(dst []byte, marks []Mark) []byte {
	o := beginObject(dst)
	for _, m := range marks {
		o.entry(m.StockCode, FloatText(m.Price.String()))
	}
	return o.end()
}

// object writes one JSON object entry by entry.
type object struct {
	dst   []byte
	empty bool
}

func beginObject(dst []byte) *object { return &object{dst: append(dst, '{'), empty: true} }

func (o *object) entry(name, value string) {
	if !o.empty {
		o.dst = append(o.dst, ',')
	}
	o.empty = false
	o.dst = append(o.dst, "\n    "...)
	o.dst, _ = jsontext.AppendQuote(o.dst, name)
	o.dst = append(o.dst, ": "...)
	o.dst = append(o.dst, value...)
}

func (o *object) end() []byte {
	if !o.empty {
		o.dst = append(o.dst, '\n')
	}
	return append(o.dst, '}')
}
