package replay

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/parquet-go/parquet-go"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// eventText is one event's JSON and its line, or row, in a file.
type eventText struct {
	text []byte
	line int
}

type eventTexts = iter.Seq2[eventText, error]

// readEventFile reads a file of events: NDJSON, or an export as CSV or
// Parquet; NDJSON and CSV may be compressed by gzip. What it is is told by its
// first bytes, not by its name.
func readEventFile(f *os.File) (eventTexts, error) {
	reader := bufio.NewReaderSize(f, 1<<20)
	magic, err := reader.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case string(magic) == "PAR1":
		return parquetTexts(f)
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		unzipped, err := gzip.NewReader(reader)
		if err != nil {
			return nil, fmt.Errorf("gzip: %w", err)
		}
		reader = bufio.NewReaderSize(unzipped, 1<<20)
	}
	if csvHeader(reader) {
		return csvTexts(reader)
	}
	return ndjsonTexts(reader), nil
}

func ndjsonTexts(reader *bufio.Reader) eventTexts {
	return func(yield func(eventText, error) bool) {
		for line := 1; ; line++ {
			text, err := reader.ReadBytes('\n')
			if text = bytes.TrimSpace(text); len(text) > 0 && !yield(eventText{text, line}, nil) {
				return
			}
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(eventText{}, fmt.Errorf("line %d: %w", line, err))
				return
			}
		}
	}
}

// needed are the columns that make an event; the others repeat what is in
// data, or are the log's to give.
var needed = []string{"id", "source", "type", "subject", "time", "data"}

var byteOrderMark = []byte("\ufeff") // spreadsheets put it first

// csvHeader tells whether a text begins with the header of an exported CSV.
func csvHeader(reader *bufio.Reader) bool {
	start, _ := reader.Peek(1 << 12) // as much as there is
	header, _, _ := bytes.Cut(bytes.TrimPrefix(start, byteOrderMark), []byte("\n"))
	if bytes.HasPrefix(header, []byte("{")) {
		return false
	}
	names := strings.Split(strings.TrimSpace(string(header)), ",")
	return slices.Contains(names, "id") || slices.Contains(names, "data")
}

func csvTexts(reader *bufio.Reader) (eventTexts, error) {
	if start, err := reader.Peek(len(byteOrderMark)); err == nil && bytes.Equal(start, byteOrderMark) {
		if _, err := reader.Discard(len(byteOrderMark)); err != nil {
			return nil, err
		}
	}
	rows := csv.NewReader(reader)
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, err
	}
	at := make(map[string]int, len(header))
	for i, name := range header {
		at[name] = i
	}
	for _, name := range needed {
		if _, ok := at[name]; !ok {
			return nil, fmt.Errorf("its header lacks the column %s: a CSV of events needs %s, as replay export writes them", name, strings.Join(needed, ", "))
		}
	}
	return func(yield func(eventText, error) bool) {
		for {
			row, err := rows.Read()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(eventText{}, err) // it names the line
				return
			}
			cell := func(name string) string {
				if i, ok := at[name]; ok {
					return row[i]
				}
				return ""
			}
			line, _ := rows.FieldPos(0)
			text, err := eventLine(exportedRow{
				ID: cell("id"), Source: cell("source"), Type: cell("type"), Subject: cell("subject"),
				CorrelationID: cell("correlationid"), CausationID: cell("causationid"), Data: cell("data"),
			}, cell("time"))
			if !yield(eventText{text, line}, err) {
				return
			}
		}
	}, nil
}

// exportedRow is what an import reads of a Parquet row.
type exportedRow struct {
	ID            string `parquet:"id"`
	Source        string `parquet:"source"`
	Type          string `parquet:"type"`
	Subject       string `parquet:"subject"`
	Time          int64  `parquet:"time,timestamp(microsecond)"`
	CorrelationID string `parquet:"correlationid,optional"`
	CausationID   string `parquet:"causationid,optional"`
	Data          string `parquet:"data,json"`
}

func parquetTexts(f *os.File) (eventTexts, error) {
	stat, err := f.Stat()
	if err != nil {
		return nil, err
	}
	file, err := parquet.OpenFile(f, stat.Size())
	if err != nil {
		return nil, err
	}
	for _, name := range needed {
		if _, ok := file.Schema().Lookup(name); !ok {
			return nil, fmt.Errorf("it lacks the column %s: a Parquet file of events needs %s, as replay export writes them", name, strings.Join(needed, ", "))
		}
	}
	return func(yield func(eventText, error) bool) {
		rows := parquet.NewGenericReader[exportedRow](file)
		defer rows.Close()
		buffer := make([]exportedRow, 64)
		for number := 1; ; {
			n, readErr := rows.Read(buffer)
			for _, row := range buffer[:n] {
				text, err := eventLine(row, events.FormatTime(time.UnixMicro(row.Time)))
				if !yield(eventText{text, number}, err) {
					return
				}
				number++
			}
			if errors.Is(readErr, io.EOF) {
				return
			}
			if readErr != nil {
				yield(eventText{}, fmt.Errorf("row %d: %w", number, readErr))
				return
			}
		}
	}, nil
}

// eventLine is the event that a row tells.
func eventLine(row exportedRow, when string) ([]byte, error) {
	line := []byte(`{"specversion":"1.0"`)
	for _, member := range []struct{ name, value string }{
		{"id", row.ID}, {"source", row.Source}, {"type", row.Type}, {"subject", row.Subject}, {"time", when},
		{"correlationid", row.CorrelationID}, {"causationid", row.CausationID},
	} {
		if member.value == "" {
			continue
		}
		line = append(line, `,"`+member.name+`":`...)
		var err error
		if line, err = jsontext.AppendQuote(line, member.value); err != nil {
			return nil, fmt.Errorf("%s: %w", member.name, err)
		}
	}
	if row.Data != "" {
		line = append(append(line, `,"data":`...), row.Data...)
	}
	return append(line, '}'), nil
}
