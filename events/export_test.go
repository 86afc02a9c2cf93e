package events

import (
	"cmp"
	"reflect"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// What the tests need to see of the inside.

// ParseInteger is what reads held_days, volume and version.
func ParseInteger(text string) (int64, error) { return parseInteger(text) }

// RegisterUpcast adds an older version of a type; the result takes it back.
func RegisterUpcast(old Type, up func(jsontext.Value) (Type, jsontext.Value, error)) (undo func()) {
	upcasts[old] = up
	return func() { delete(upcasts, old) }
}

// FieldInfo is one row of a payload's schema.
type FieldInfo struct {
	Name     string
	Required string // yes, no or filled in
	Form     string // as docs/wire-format.md calls it
}

// Schemas lists all event types with their fields.
func Schemas() map[Type][]FieldInfo {
	all := make(map[Type][]FieldInfo, len(kinds))
	for typ, k := range kinds {
		all[typ] = fieldInfos(k.schema, k.data)
	}
	return all
}

// BarFields lists the fields of one bar.
func BarFields() []FieldInfo { return fieldInfos(barSchema, reflect.TypeFor[Bar]()) }

// forms are the JSON forms of the Go types.
var forms = map[string]string{
	"string": "text", "events.OrderType": "text", "events.PriceType": "text", "int64": "integer",
	"events.Price": "price", "events.Money": "money", "events.Percent": "percent",
	"time.Time": "time", "events.Date": "date", "jsontext.Value": "object", "[]events.Bar": "bars", "[]string": "texts",
}

func fieldInfos(s *schema, t reflect.Type) []FieldInfo {
	infos := make([]FieldInfo, len(s.fields))
	for i, f := range s.fields {
		required := map[[2]bool]string{{true, false}: "yes", {false, true}: "filled in"}[[2]bool{f.required, f.filled}]
		infos[i] = FieldInfo{Name: f.name, Required: cmp.Or(required, "no"), Form: forms[strings.TrimLeft(t.Field(i).Type.String(), "*")]}
	}
	return infos
}
