package replay

import (
	"fmt"
	"io"
	"reflect"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// rowGroupBytes closes a row group: what is gathered in memory at a time.
const rowGroupBytes = 64 << 20

// parquetTags are the logical types of the columns' kinds.
var parquetTags = map[columnKind]struct {
	goType reflect.Type
	tag    string
}{
	textColumn:    {reflect.TypeFor[string](), ",dict"},
	integerColumn: {reflect.TypeFor[int64](), ""},
	priceColumn:   {reflect.TypeFor[int64](), ",decimal(3:18)"},
	moneyColumn:   {reflect.TypeFor[int64](), ",decimal(2:18)"},
	timeColumn:    {reflect.TypeFor[int64](), ",timestamp(microsecond:utc)"},
	dateColumn:    {reflect.TypeFor[int32](), ",date"},
	jsonColumn:    {reflect.TypeFor[string](), ",json"},
}

// parquetSchema has the columns in their order. The library reads a schema
// from a struct, so one is made; an unordered group would sort them.
func parquetSchema(columns []column) *parquet.Schema {
	fields := make([]reflect.StructField, len(columns))
	for i, c := range columns {
		kind := parquetTags[c.kind]
		tag := c.name + kind.tag + ",zstd"
		if c.optional {
			tag += ",optional"
		}
		fields[i] = reflect.StructField{
			Name: "Column" + strconv.Itoa(i),
			Type: kind.goType,
			Tag:  reflect.StructTag(`parquet:"` + tag + `"`),
		}
	}
	return parquet.SchemaOf(reflect.New(reflect.StructOf(fields)).Interface())
}

type parquetWriter struct {
	rows     *parquet.GenericWriter[any]
	columns  []column
	fields   []column
	cells    [][]byte
	row      parquet.Row
	gathered int
}

func newParquetWriter(w io.Writer, fields []column) *parquetWriter {
	columns := append(envelope[:len(envelope):len(envelope)], fields...)
	return &parquetWriter{rows: parquet.NewGenericWriter[any](w, parquetSchema(columns)), columns: columns, fields: fields}
}

func (p *parquetWriter) write(e *events.Event, line []byte) (err error) {
	if p.cells, err = cells(p.cells, e, line, p.fields); err != nil {
		return err
	}
	p.row = p.row[:0]
	for i, c := range p.columns {
		value, err := c.value(p.cells[i])
		if err != nil {
			return fmt.Errorf("column %s: %w", c.name, err)
		}
		defined := 0
		if c.optional && !value.IsNull() {
			defined = 1
		}
		p.row = append(p.row, value.Level(0, defined, i))
	}
	if _, err := p.rows.WriteRows([]parquet.Row{p.row}); err != nil {
		return err
	}
	if p.gathered += len(line); p.gathered >= rowGroupBytes {
		p.gathered = 0
		return p.rows.Flush()
	}
	return nil
}

func (p *parquetWriter) close() error { return p.rows.Close() }

// value reads a cell's text; nil is null.
func (c column) value(text []byte) (parquet.Value, error) {
	if text == nil {
		if !c.optional {
			return parquet.Value{}, fmt.Errorf("a value is missing")
		}
		return parquet.NullValue(), nil
	}
	switch c.kind {
	case integerColumn:
		n, err := strconv.ParseInt(string(text), 10, 64)
		return parquet.Int64Value(n), err
	case priceColumn:
		price, err := events.ParsePrice(string(text))
		return parquet.Int64Value(int64(price)), err
	case moneyColumn:
		money, err := events.ParseMoney(string(text))
		return parquet.Int64Value(int64(money)), err
	case timeColumn:
		t, err := events.ParseTime(string(text))
		return parquet.Int64Value(t.UnixMicro()), err
	case dateColumn:
		date, err := events.ParseDate(string(text))
		return parquet.Int32Value(int32((date.Time().Unix() + 8*3600) / 86400)), err
	case textColumn, jsonColumn:
	}
	return parquet.ByteArrayValue(text), nil
}
