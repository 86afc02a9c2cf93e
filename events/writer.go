package events

import (
	"reflect"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendJSON appends the canonical encoding: one line without newline, the
// attributes and the fields in the contract's order. Equal events encode to
// equal bytes. The event must be valid; one whose encoding is longer than
// MaxEventBytes is an *InvalidError, and dst is then returned as it was.
func (e *Event) AppendJSON(dst []byte) ([]byte, error) {
	start := len(dst)
	b := append(dst, `{"specversion":"1.0","id":`...)
	b = appendString(b, e.ID)
	b = append(b, `,"source":`...)
	b = appendString(b, e.Source)
	b = append(b, `,"type":"`...)
	b = append(b, e.Type()...)
	b = append(b, `","subject":`...)
	b = appendString(b, e.Subject)
	b = append(b, `,"time":"`...)
	b = appendTime(b, e.Time)
	b = append(b, '"')
	if e.CorrelationID != "" {
		b = append(b, `,"correlationid":`...)
		b = appendString(b, e.CorrelationID)
	}
	if e.CausationID != "" {
		b = append(b, `,"causationid":`...)
		b = appendString(b, e.CausationID)
	}
	b = append(b, `,"data":`...)
	b = appendObject(b, kinds[e.Type()].schema, reflect.ValueOf(e.Data).Elem())
	b = append(b, '}')
	if len(b)-start > MaxEventBytes {
		return dst, &InvalidError{Rule: "must be at most " + strconv.Itoa(MaxEventBytes) + " bytes"}
	}
	return b, nil
}

func appendObject(b []byte, s *schema, v reflect.Value) []byte {
	b = append(b, '{')
	first := true
	for i := range s.fields {
		f := v.Field(i)
		if s.fields[i].omitEmpty && f.IsZero() {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, s.fields[i].key...)
		b = append(b, ':')
		b = appendValue(b, f.Addr().Interface())
	}
	return append(b, '}')
}

func appendValue(b []byte, src any) []byte {
	switch p := src.(type) {
	case *string:
		return appendString(b, *p)
	case **string:
		return appendString(b, **p)
	case *OrderType:
		return appendString(b, string(*p))
	case *PriceType:
		return appendString(b, string(*p))
	case *int64:
		return strconv.AppendInt(b, *p, 10)
	case *Price:
		return appendDecimal(b, int64(*p), priceScale)
	case **Price:
		return appendDecimal(b, int64(**p), priceScale)
	case *Money:
		return appendDecimal(b, int64(*p), moneyScale)
	case **Money:
		return appendDecimal(b, int64(**p), moneyScale)
	case *Percent:
		return appendDecimal(b, int64(*p), percentScale)
	case **Percent:
		return appendDecimal(b, int64(**p), percentScale)
	case *time.Time:
		b = append(b, '"')
		return append(appendTime(b, *p), '"')
	case *Date:
		b = append(b, '"')
		return append(p.append(b), '"')
	case *jsontext.Value:
		return append(b, *p...)
	case *[]Bar:
		b = append(b, '[')
		for i := range *p {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendObject(b, barSchema, reflect.ValueOf(&(*p)[i]).Elem())
		}
		return append(b, ']')
	case *[]string:
		b = append(b, '[')
		for i, s := range *p {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(b, s)
		}
		return append(b, ']')
	default:
		panic("events: a payload field of a type that the writer does not know")
	}
}

func appendDecimal(b []byte, n int64, scale int) []byte {
	b = append(b, '"')
	return append(appendFixed(b, n, scale), '"')
}

// appendString writes a JSON string with no more escapes than JSON asks for.
func appendString(b []byte, s string) []byte {
	ascii := true
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c == '"' || c == '\\' {
			return appendQuoted(b, s)
		}
		ascii = ascii && c < utf8.RuneSelf
	}
	if !ascii && !utf8.ValidString(s) {
		return appendQuoted(b, s)
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// appendQuoted escapes; invalid UTF-8, which no valid event holds, becomes
// U+FFFD.
func appendQuoted(b []byte, s string) []byte {
	quoted, _ := jsontext.AppendQuote(b, s)
	return quoted
}
