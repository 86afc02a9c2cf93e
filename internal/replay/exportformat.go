package replay

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// The formats of an export.
const (
	formatNDJSON  = "ndjson"
	formatCSV     = "csv"
	formatParquet = "parquet"
)

// eventWriter writes events in one format. line is the event as it lies on the
// log, without newline; it is the writer's only until write returns.
type eventWriter interface {
	write(e *events.Event, line []byte) error
	close() error
}

// newEventWriter begins a format. A single type adds its data's fields as
// columns; "" is several types.
func newEventWriter(format string, w io.Writer, single events.Type) (eventWriter, error) {
	switch format {
	case formatCSV:
		return newCSVWriter(w, dataColumns(single))
	case formatParquet:
		return newParquetWriter(w, dataColumns(single)), nil
	}
	return &ndjsonWriter{w}, nil
}

type ndjsonWriter struct{ w io.Writer }

func (n *ndjsonWriter) write(_ *events.Event, line []byte) error {
	if _, err := n.w.Write(line); err != nil {
		return err
	}
	_, err := n.w.Write([]byte{'\n'})
	return err
}

func (n *ndjsonWriter) close() error { return nil }

// payloads has one of each type of event.
var payloads = []events.Data{
	&events.TradeRecorded{}, &events.PositionOpened{}, &events.PositionHeldDaysSet{}, &events.PositionDaysIncremented{},
	&events.PositionPriceMarked{}, &events.PositionClosed{}, &events.AccountCreated{}, &events.AccountUpdated{},
	&events.CapitalUpdated{}, &events.AccountStatusChanged{}, &events.StrategyCreated{}, &events.StrategyUpdated{},
	&events.StrategyStatusChanged{}, &events.StrategyBound{}, &events.BindingChanged{}, &events.StrategyUnbound{},
	&events.ParamSaved{}, &events.ParamActivated{}, &events.KlineRecorded{}, &events.UserRegistered{}, &events.UserLoggedIn{},
	&events.UserLoginFailed{}, &events.UserStatusChanged{}, &events.UserPasswordChanged{}, &events.RoleGranted{}, &events.RoleRevoked{},
	&events.TierParked{},
}

func payloadTypes() string {
	names := make([]string, len(payloads))
	for i, data := range payloads {
		names[i] = string(data.Type())
	}
	return strings.Join(names, ", ")
}

// columnKind is what a column holds.
type columnKind int

const (
	textColumn    columnKind = iota
	integerColumn            // int64
	priceColumn              // decimal of scale 3
	moneyColumn              // decimal of scale 2
	timeColumn               // microseconds
	dateColumn               // a day
	jsonColumn               // JSON text
)

type column struct {
	name     string
	field    string // of data; empty in the envelope
	kind     columnKind
	optional bool
}

// envelope is the columns that every export has. They tell all of an event:
// an import needs no others.
var envelope = []column{
	{name: "sequence", kind: integerColumn},
	{name: "logged", kind: timeColumn},
	{name: "id", kind: textColumn},
	{name: "source", kind: textColumn},
	{name: "type", kind: textColumn},
	{name: "subject", kind: textColumn},
	{name: "time", kind: timeColumn},
	{name: "correlationid", kind: textColumn, optional: true},
	{name: "causationid", kind: textColumn, optional: true},
	{name: "data", kind: jsonColumn},
}

// columnKinds maps the Go types of payload fields; all others are jsonColumn.
var columnKinds = map[reflect.Type]columnKind{
	reflect.TypeFor[string]():           textColumn,
	reflect.TypeFor[events.OrderType](): textColumn,
	reflect.TypeFor[events.PriceType](): textColumn,
	reflect.TypeFor[int64]():            integerColumn,
	reflect.TypeFor[events.Price]():     priceColumn,
	reflect.TypeFor[events.Money]():     moneyColumn,
	reflect.TypeFor[events.Percent]():   moneyColumn,
	reflect.TypeFor[time.Time]():        timeColumn,
	reflect.TypeFor[events.Date]():      dateColumn,
}

// dataColumns are the fields of a type's data, in their order on the log.
func dataColumns(typ events.Type) []column {
	for _, data := range payloads {
		if data.Type() != typ {
			continue
		}
		var columns []column
		payload := reflect.TypeOf(data).Elem()
		for i := range payload.NumField() {
			field := payload.Field(i)
			name, option, _ := strings.Cut(field.Tag.Get("json"), ",")
			value := field.Type
			if value.Kind() == reflect.Pointer {
				value = value.Elem()
			}
			kind, ok := columnKinds[value]
			if !ok {
				kind = jsonColumn
			}
			c := column{name: name, field: name, kind: kind, optional: option == "omitzero"}
			if slices.ContainsFunc(envelope, func(e column) bool { return e.name == name }) {
				c.name = "data_" + name
			}
			columns = append(columns, c)
		}
		return columns
	}
	return nil
}

// cells are the texts of an event's row, data's fields last; nil where the
// event has no value.
func cells(dst [][]byte, e *events.Event, line []byte, fields []column) ([][]byte, error) {
	data, err := dataOf(line)
	if err != nil {
		return nil, err
	}
	dst = append(dst[:0],
		strconv.AppendUint(nil, e.Sequence, 10),
		[]byte(events.FormatTime(e.Logged)),
		[]byte(e.ID), []byte(e.Source), []byte(e.Type()), []byte(e.Subject),
		[]byte(events.FormatTime(e.Time)),
		present(e.CorrelationID), present(e.CausationID),
		data)
	if len(fields) == 0 {
		return dst, nil
	}
	members, err := fieldsOf(data, fields)
	return append(dst, members...), err
}

func present(s string) []byte {
	if s == "" {
		return nil
	}
	return []byte(s)
}

// dataOf cuts the data out of an event's canonical line, whose last attribute
// it is. A quote inside a text is escaped, so the name is found nowhere else
// before it.
func dataOf(line []byte) ([]byte, error) {
	const name = `,"data":`
	at := bytes.Index(line, []byte(name))
	if at < 0 || !bytes.HasSuffix(line, []byte("}")) {
		return nil, errors.New("its line is not in the canonical order: data must be the last attribute")
	}
	return line[at+len(name) : len(line)-1], nil
}

// fieldsOf reads the wanted members of a JSON object: a text without its
// quotes, anything else as it is written.
func fieldsOf(data []byte, fields []column) ([][]byte, error) {
	found := make([][]byte, len(fields))
	dec := jsontext.NewDecoder(bytes.NewBuffer(data)) // read in place
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		key := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		for i, field := range fields {
			if field.field != key {
				continue
			}
			if value.Kind() == '"' && field.kind != jsonColumn {
				found[i], err = jsontext.AppendUnquote([]byte{}, value)
			} else {
				found[i] = bytes.Clone(value)
			}
			if err != nil {
				return nil, fmt.Errorf("data.%s: %w", key, err)
			}
		}
	}
	return found, nil
}

type csvWriter struct {
	rows   *csv.Writer
	fields []column
	cells  [][]byte
	row    []string
}

func newCSVWriter(w io.Writer, fields []column) (*csvWriter, error) {
	c := &csvWriter{rows: csv.NewWriter(w), fields: fields}
	for _, column := range append(envelope[:len(envelope):len(envelope)], fields...) {
		c.row = append(c.row, column.name)
	}
	return c, c.rows.Write(c.row)
}

func (c *csvWriter) write(e *events.Event, line []byte) (err error) {
	if c.cells, err = cells(c.cells, e, line, c.fields); err != nil {
		return err
	}
	c.row = c.row[:0]
	for _, cell := range c.cells {
		c.row = append(c.row, string(cell))
	}
	return c.rows.Write(c.row)
}

func (c *csvWriter) close() error {
	c.rows.Flush()
	return c.rows.Error()
}
