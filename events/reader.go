package events

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// reader drives a JSON decoder over one event and fills typed structs
// directly, so that an event is scanned once.
type reader struct {
	dec   *jsontext.Decoder
	buf   bytes.Buffer
	under jsontext.Pointer // where the decoder's root lies in the event
	given uint64           // the fields of data that were there
}

var (
	readers = sync.Pool{New: func() any { return &reader{dec: new(jsontext.Decoder)} }}
	// A stored event was written by AppendJSON and lies under the log's chain:
	// names are unique and the text is UTF-8.
	storedOptions = jsontext.AllowDuplicateNames(true)
)

// newReader reads the JSON in text, which lies at the pointer under of the
// event. It must be closed.
func newReader(text []byte, under jsontext.Pointer, stored bool) *reader {
	r := readers.Get().(*reader)
	r.buf = *bytes.NewBuffer(text)
	r.under, r.given = under, 0
	if stored {
		r.dec.Reset(&r.buf, storedOptions)
	} else {
		r.dec.Reset(&r.buf)
	}
	return r
}

func (r *reader) close() {
	r.buf = bytes.Buffer{}
	readers.Put(r)
}

// fail reports a broken rule of the value that was read last.
func (r *reader) fail(rule string, value []byte) error {
	return invalid(fieldPath(r.under+r.dec.StackPointer()), rule, string(value))
}

func (r *reader) next() (jsontext.Value, error) {
	v, err := r.dec.ReadValue()
	if err != nil {
		return nil, syntaxError(err, r.under)
	}
	return v, nil
}

// open reads the opening delimiter of an object or array; ok is false when
// the value is null.
func (r *reader) open(delim jsontext.Kind, rule string) (ok bool, err error) {
	switch r.dec.PeekKind() {
	case delim:
		_, err = r.dec.ReadToken()
		if err != nil {
			return false, syntaxError(err, r.under)
		}
		return true, nil
	default:
		v, err := r.next()
		if err != nil {
			return false, err
		}
		if v.Kind() == 'n' {
			return false, nil
		}
		return false, r.fail(rule, v)
	}
}

func (r *reader) more(closing jsontext.Kind) bool {
	k := r.dec.PeekKind()
	return k != closing && k != jsontext.KindInvalid
}

// shut reads the closing delimiter, or reports what stands in its place.
func (r *reader) shut() error {
	if _, err := r.dec.ReadToken(); err != nil {
		return syntaxError(err, r.under)
	}
	return nil
}

// end checks that nothing follows.
func (r *reader) end() error {
	if _, err := r.dec.ReadToken(); !errors.Is(err, io.EOF) {
		if err == nil {
			return &InvalidError{Rule: "must be one JSON object and nothing after it"}
		}
		return syntaxError(err, "")
	}
	return nil
}

// object reads a JSON object into the struct at dst.
func (r *reader) object(s *schema, dst reflect.Value) (given uint64, err error) {
	ok, err := r.open('{', "must be an object")
	if err != nil {
		return 0, err
	}
	if !ok {
		return 0, r.fail("is required", nil)
	}
	for expected := 0; r.more('}'); {
		key, err := r.next()
		if err != nil {
			return 0, err
		}
		i := s.find(unescaped(key), expected)
		if i < 0 {
			return 0, r.fail("is not a known field", nil)
		}
		there, err := r.value(dst.Field(i).Addr().Interface())
		if err != nil {
			return 0, err
		}
		if there {
			given |= 1 << i
		}
		expected = i + 1
	}
	if err := r.shut(); err != nil {
		return 0, err
	}
	for i := range s.fields {
		if s.fields[i].required && given&(1<<i) == 0 {
			path := fieldPath(r.under + r.dec.StackPointer())
			return 0, invalid(path+"."+s.fields[i].name, "is required", "")
		}
	}
	return given, nil
}

// unescaped returns a quoted name without needless escapes.
func unescaped(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	plain, err := jsontext.AppendUnquote(nil, key)
	if err != nil {
		return key
	}
	return append(append([]byte{'"'}, plain...), '"')
}

// value reads the next value into dst; there is false when it is null, which
// means the same as leaving the field out.
func (r *reader) value(dst any) (there bool, err error) {
	switch p := dst.(type) {
	case *[]Bar:
		return r.bars(p)
	case *[]string:
		return r.strings(p)
	}
	v, err := r.next()
	if err != nil {
		return false, err
	}
	if v.Kind() == 'n' {
		return false, nil
	}
	switch p := dst.(type) {
	case *string:
		err = r.text(v, p)
	case **string:
		*p = new(string)
		err = r.text(v, *p)
	case *OrderType:
		err = r.text(v, (*string)(p))
	case *PriceType:
		err = r.text(v, (*string)(p))
	case *int64:
		err = r.integer(v, p)
	case *Price:
		err = r.decimal(v, priceScale, (*int64)(p))
	case **Price:
		*p = new(Price)
		err = r.decimal(v, priceScale, (*int64)(*p))
	case *Money:
		err = r.decimal(v, moneyScale, (*int64)(p))
	case **Money:
		*p = new(Money)
		err = r.decimal(v, moneyScale, (*int64)(*p))
	case *Percent:
		err = r.decimal(v, percentScale, (*int64)(p))
	case **Percent:
		*p = new(Percent)
		err = r.decimal(v, percentScale, (*int64)(*p))
	case *time.Time:
		err = r.time(v, p)
	case *Date:
		err = r.date(v, p)
	case *jsontext.Value:
		*p = bytes.Clone(v)
	default:
		panic("events: a payload field of a type that the reader does not know")
	}
	return true, err
}

// text reads a JSON string.
func (r *reader) text(v jsontext.Value, dst *string) error {
	b, err := r.unquote(v, "must be a string")
	*dst = string(b)
	return err
}

// unquote returns the bytes of a JSON string, valid until the next read.
func (r *reader) unquote(v jsontext.Value, rule string) ([]byte, error) {
	if v.Kind() != '"' {
		return nil, r.fail(rule, v)
	}
	if bytes.IndexByte(v, '\\') < 0 {
		return v[1 : len(v)-1], nil
	}
	b, err := jsontext.AppendUnquote(nil, v)
	if err != nil {
		return nil, r.fail("must be valid UTF-8", nil)
	}
	return b, nil
}

func (r *reader) integer(v jsontext.Value, dst *int64) error {
	const rule = "must be a whole number"
	if v.Kind() != '0' {
		return r.fail(rule, v)
	}
	n, err := parseInteger(v)
	if err != nil {
		return r.fail(err.Error(), v)
	}
	*dst = n
	return nil
}

func (r *reader) decimal(v jsontext.Value, scale int, dst *int64) error {
	const rule = "must be a decimal number or a string with one"
	text := []byte(v)
	if v.Kind() != '0' {
		var err error
		if text, err = r.unquote(v, rule); err != nil {
			return err
		}
	}
	n, err := parseFixed(text, scale)
	if err != nil {
		return r.fail(err.Error(), text)
	}
	*dst = n
	return nil
}

func (r *reader) time(v jsontext.Value, dst *time.Time) error {
	text, err := r.unquote(v, "must be a string with an RFC 3339 time")
	if err != nil {
		return err
	}
	t, err := parseTime(text)
	if err != nil {
		return r.fail(err.Error(), text)
	}
	*dst = t
	return nil
}

func (r *reader) date(v jsontext.Value, dst *Date) error {
	text, err := r.unquote(v, "must be a string with a date such as 2025-01-02")
	if err != nil {
		return err
	}
	d, err := parseDate(text)
	if err != nil {
		return r.fail(err.Error(), text)
	}
	*dst = d
	return nil
}

func (r *reader) bars(dst *[]Bar) (there bool, err error) {
	if ok, err := r.open('[', "must be an array"); !ok {
		return false, err
	}
	bars := []Bar{}
	for r.more(']') {
		if len(bars) == MaxBars {
			return false, invalid("data.bars", "must hold at most "+strconv.Itoa(MaxBars)+" bars", "")
		}
		bars = append(bars, Bar{})
		if _, err := r.object(barSchema, reflect.ValueOf(&bars[len(bars)-1]).Elem()); err != nil {
			return false, err
		}
	}
	*dst = bars
	return true, r.shut()
}

func (r *reader) strings(dst *[]string) (there bool, err error) {
	if ok, err := r.open('[', "must be an array"); !ok {
		return false, err
	}
	var list []string
	for r.more(']') {
		v, err := r.next()
		if err != nil {
			return false, err
		}
		var s string
		if err := r.text(v, &s); err != nil {
			return false, err
		}
		list = append(list, s)
	}
	*dst = list
	return true, r.shut()
}
