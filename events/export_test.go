package events

import (
	"reflect"

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
	Required bool
	Go       string // the Go type
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

func fieldInfos(s *schema, t reflect.Type) []FieldInfo {
	infos := make([]FieldInfo, len(s.fields))
	for i, f := range s.fields {
		infos[i] = FieldInfo{Name: f.name, Required: f.required, Go: t.Field(i).Type.String()}
	}
	return infos
}
