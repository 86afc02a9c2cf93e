package events

import (
	"reflect"
	"strings"
)

// The payload structs are their own schema: names, order and omission come
// from the json tag. A tape:"default" tag marks a field that a publisher may
// leave out and normalize fills in; `omitzero` fields may be left out, too;
// all others are required.

type field struct {
	name      string
	key       string // the name as it stands in JSON, with its quotes
	required  bool
	omitEmpty bool
	filled    bool // left out: normalize fills it in
}

type schema struct {
	fields []field
	filled bool // whether any field is filled in
}

func schemaOf(t reflect.Type) *schema {
	s := &schema{}
	for i := range t.NumField() {
		name, option, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		f := field{name: name, key: `"` + name + `"`}
		f.omitEmpty = option == "omitzero"
		f.filled = t.Field(i).Tag.Get("tape") == "default"
		f.required = !f.omitEmpty && !f.filled
		s.filled = s.filled || f.filled
		s.fields = append(s.fields, f)
	}
	return s
}

// find returns the index of the field with the given quoted key, looking
// first where the canonical order has it; -1 when there is none.
func (s *schema) find(key []byte, expected int) int {
	for i := range s.fields {
		at := i + expected
		if at >= len(s.fields) {
			at -= len(s.fields)
		}
		if s.fields[at].key == string(key) {
			return at
		}
	}
	return -1
}

// kind is what an event type's payload is made of.
type kind struct {
	typ  Type
	data reflect.Type // the struct, not the pointer
	*schema
}

var (
	kinds     = make(map[Type]*kind)
	barSchema = schemaOf(reflect.TypeFor[Bar]())
)

func init() {
	for _, d := range []Data{
		&TradeRecorded{}, &PositionOpened{}, &PositionHeldDaysSet{}, &PositionDaysIncremented{},
		&PositionPriceMarked{}, &PositionClosed{}, &AccountCreated{}, &AccountUpdated{},
		&CapitalUpdated{}, &AccountStatusChanged{}, &StrategyCreated{}, &StrategyUpdated{},
		&StrategyStatusChanged{}, &StrategyBound{}, &BindingChanged{}, &StrategyUnbound{},
		&ParamSaved{}, &ParamActivated{}, &KlineRecorded{}, &UserRegistered{}, &UserLoggedIn{},
		&UserLoginFailed{}, &UserStatusChanged{}, &UserPasswordChanged{}, &RoleGranted{}, &RoleRevoked{},
		&TierParked{},
	} {
		t := reflect.TypeOf(d).Elem()
		kinds[d.Type()] = &kind{typ: d.Type(), data: t, schema: schemaOf(t)}
	}
}
