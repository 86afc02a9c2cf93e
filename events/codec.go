package events

import (
	"crypto/sha256"
	"encoding/binary"
	"reflect"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// Decode reads one event as a publisher sends it: strict JSON (no duplicate
// names, valid UTF-8, no unknown field), validated and normalized. The error
// is an *InvalidError. It keeps no reference to line.
func Decode(line []byte) (*Event, error) {
	if len(line) > MaxEventBytes {
		return nil, &InvalidError{Rule: "must be at most " + strconv.Itoa(MaxEventBytes) + " bytes"}
	}
	e, given, err := decode(line, false)
	if err != nil {
		return nil, err
	}
	zero := zeroFilled(e.Data, given)
	if err := e.Validate(); err != nil {
		return nil, err
	}
	if err := checkFilled(e.Data, zero); err != nil {
		return nil, err
	}
	return e, nil
}

// DecodeStored reads one event as it lies on the log, upcasting older
// versions. It trusts the log's chain and does not validate again. It keeps no
// reference to line.
func DecodeStored(line []byte) (*Event, error) {
	e, _, err := decode(line, true)
	return e, err
}

// Validate checks and normalizes an event built in Go. The error is an
// *InvalidError. An absent ID becomes a UUIDv7, an absent Subject Data.Subject.
// Validating twice changes nothing.
func (e *Event) Validate() error {
	if err := e.checkEnvelope(); err != nil {
		return err
	}
	if err := e.Data.normalize(); err != nil {
		return err
	}
	if err := e.checkSubject(); err != nil {
		return err
	}
	if e.ID == "" {
		id, err := uuid.NewV7()
		if err != nil {
			return invalid("id", "cannot be made: "+err.Error(), "")
		}
		e.ID = id.String()
	}
	e.Time = canonicalTime(e.Time)
	return nil
}

// decode reads one event; given tells which fields of data were there.
func decode(line []byte, stored bool) (e *Event, given uint64, err error) {
	r := newReader(line, "", stored)
	defer r.close()
	ok, err := r.open('{', "must be a JSON object")
	if err != nil {
		return nil, 0, err
	}
	if !ok {
		return nil, 0, &InvalidError{Rule: "must be a JSON object", Value: "null"}
	}
	e = &Event{}
	var (
		version, mediaType string
		typ                Type
		late               []byte // data that came before its type
	)
	for r.more('}') {
		key, err := r.next()
		if err != nil {
			return nil, 0, err
		}
		switch string(unescaped(key)) {
		case `"specversion"`:
			_, err = r.value(&version)
		case `"id"`:
			_, err = r.value(&e.ID)
		case `"source"`:
			_, err = r.value(&e.Source)
		case `"type"`:
			typ, err = r.eventType()
		case `"subject"`:
			_, err = r.value(&e.Subject)
		case `"time"`:
			_, err = r.value(&e.Time)
		case `"datacontenttype"`:
			_, err = r.value(&mediaType)
		case `"correlationid"`:
			_, err = r.value(&e.CorrelationID)
		case `"causationid"`:
			_, err = r.value(&e.CausationID)
		case `"data"`:
			if k := kinds[typ]; k != nil {
				e.Data, given, err = r.data(k)
			} else {
				late, err = r.next()
			}
		default:
			err = r.fail("is not a known attribute", nil)
		}
		if err != nil {
			return nil, 0, err
		}
	}
	if err := r.shut(); err != nil {
		return nil, 0, err
	}
	if err := r.end(); err != nil {
		return nil, 0, err
	}
	switch {
	case version != SpecVersion:
		return nil, 0, required("specversion", version, `must be "1.0"`)
	case typ == "":
		return nil, 0, required("type", "", "")
	case mediaType != "" && mediaType != "application/json":
		return nil, 0, invalid("datacontenttype", `must be "application/json"`, mediaType)
	case e.Data == nil && late == nil:
		return nil, 0, required("data", "", "")
	case e.Data == nil:
		e.Data, given, err = decodeData(typ, late, stored)
	}
	return e, given, err
}

func required(field, value, rule string) error {
	if value == "" {
		rule = "is required"
	}
	return invalid(field, rule, value)
}

// eventType reads the type attribute without allocating for known types.
func (r *reader) eventType() (Type, error) {
	v, err := r.next()
	if err != nil || v.Kind() == 'n' {
		return "", err
	}
	text, err := r.unquote(v, "must be a string")
	if err != nil {
		return "", err
	}
	if k := kinds[Type(text)]; k != nil {
		return k.typ, nil
	}
	if _, ok := upcasts[Type(text)]; ok {
		return Type(text), nil
	}
	return "", r.fail("is not a known event type", text)
}

func (r *reader) data(k *kind) (Data, uint64, error) {
	v := reflect.New(k.data)
	given, err := r.object(k.schema, v.Elem())
	return v.Interface().(Data), given, err
}

// decodeData reads a payload that could not be read in place: it came before
// the type, or its version is an older one.
func decodeData(typ Type, text []byte, stored bool) (Data, uint64, error) {
	for {
		up, ok := upcasts[typ]
		if !ok {
			break
		}
		var err error
		if typ, text, err = up(text); err != nil {
			return nil, 0, invalid("data", err.Error(), "")
		}
	}
	r := newReader(text, "/data", stored)
	defer r.close()
	return r.data(kinds[typ])
}

// An upcast turns the payload of an older version of a type into the next
// version's; the chain ends at a type of today.
type upcast func(data jsontext.Value) (Type, jsontext.Value, error)

// upcasts holds the older versions that the log may still carry. Version 1 of
// every type is the first, so there are none yet.
var upcasts = map[Type]upcast{}

// ContentHash identifies what the event says: two events with the same ID and
// the same hash are one event sent twice. It covers the canonical encoding
// without ParamSaved.Version, which ingest gives, and is the same on every
// machine and in every process. The event must be valid.
func (e *Event) ContentHash() (uint64, error) {
	if p, ok := e.Data.(*ParamSaved); ok && p.Version != 0 {
		plain, data := *e, *p
		data.Version = 0
		plain.Data = &data
		e = &plain
	}
	line, err := e.AppendJSON(nil)
	if err != nil {
		return 0, err
	}
	return hashLine(line), nil
}

// ContentHashOf is ContentHash for a caller that has the event's canonical
// line, without newline, at hand: it encodes again only what line does not fit.
func (e *Event) ContentHashOf(line []byte) (uint64, error) {
	if _, ok := e.Data.(*ParamSaved); ok {
		return e.ContentHash()
	}
	return hashLine(line), nil
}

func hashLine(line []byte) uint64 {
	sum := sha256.Sum256(line)
	return binary.BigEndian.Uint64(sum[:])
}

// zeroFilled returns the mask of fields that were given as zero although
// normalize would fill them in when absent.
func zeroFilled(d Data, given uint64) (mask uint64) {
	k := kinds[d.Type()]
	if !k.filled {
		return 0
	}
	v := reflect.ValueOf(d).Elem()
	for i, f := range k.fields {
		if f.filled && given&(1<<i) != 0 && v.Field(i).IsZero() {
			mask |= 1 << i
		}
	}
	return mask
}

// checkFilled refuses a zero that normalize took for an absent value.
func checkFilled(d Data, zero uint64) error {
	if zero == 0 {
		return nil
	}
	k, v := kinds[d.Type()], reflect.ValueOf(d).Elem()
	for i, f := range k.fields {
		if zero&(1<<i) != 0 && !v.Field(i).IsZero() {
			return invalid("data."+f.name, "must not be empty or zero; leave it out to have it filled in", "")
		}
	}
	return nil
}

func canonicalTime(t time.Time) time.Time { return t.In(Zone).Truncate(time.Microsecond) }
