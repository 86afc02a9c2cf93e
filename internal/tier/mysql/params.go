package mysql

import (
	"bytes"
	"cmp"
	"database/sql"
	"errors"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// member is one key of a parameter version: a row of strategy_param.
type member struct {
	key, value, kind string
	position         int64
	// raw is the member's own text where canonical does not give it.
	raw sql.NullString
}

// empty is the row of a version without keys; no key is empty otherwise.
var empty = member{key: "", value: "{}", kind: "json"}

// split takes the text of an object apart.
func split(params jsontext.Value) ([]member, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(params), jsontext.AllowDuplicateNames(true))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var members []member
	for dec.PeekKind() != '}' {
		m, err := readMember(dec)
		if err != nil {
			return nil, err
		}
		m.position = int64(len(members))
		members = append(members, m)
	}
	if len(members) == 0 {
		return []member{empty}, nil
	}
	return members, nil
}

func readMember(dec *jsontext.Decoder) (member, error) {
	name, err := dec.ReadValue()
	if err != nil {
		return member{}, err
	}
	raw := append(slices.Clone(name), ':')
	key, err := jsontext.AppendUnquote(nil, name)
	if err != nil {
		return member{}, err
	}
	value, err := dec.ReadValue()
	if err != nil {
		return member{}, err
	}
	raw = append(raw, value...)
	m := member{key: string(key), value: string(value)}
	switch value.Kind() {
	case '0':
		m.kind = "float"
		if !bytes.ContainsAny(value, ".eE") {
			m.kind = "int"
		}
	case '"':
		text, err := jsontext.AppendUnquote(nil, value)
		if err != nil {
			return m, err
		}
		m.kind, m.value = "string", string(text)
	default:
		m.kind = "json"
	}
	if canonical := m.canonical(); !bytes.Equal(canonical, raw) {
		m.raw = sql.NullString{String: string(raw), Valid: true}
	}
	return m, nil
}

// canonical is the member's usual text.
func (m member) canonical() []byte {
	text, err := jsontext.AppendQuote(nil, m.key)
	if err != nil {
		return nil // no valid UTF-8, so no text of ours
	}
	text = append(text, ':')
	if m.kind != "string" {
		return append(text, m.value...)
	}
	if text, err = jsontext.AppendQuote(text, m.value); err != nil {
		return nil
	}
	return text
}

// text is what the member was read from. A raw text that key and value
// contradict was made wrong by hand: then they count.
func (m member) text() []byte {
	if m.raw.Valid {
		again, err := split(jsontext.Value("{" + m.raw.String + "}"))
		if err == nil && len(again) == 1 && again[0].key == m.key && again[0].value == m.value && again[0].kind == m.kind {
			return []byte(m.raw.String)
		}
	}
	return m.canonical()
}

// join is the inverse of split, members in any order.
func join(members []member) (jsontext.Value, error) {
	if len(members) == 1 && members[0] == empty {
		return jsontext.Value("{}"), nil
	}
	slices.SortStableFunc(members, func(a, b member) int { return cmp.Compare(a.position, b.position) })
	text := jsontext.Value("{")
	for i, m := range members {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(text, m.text()...)
	}
	text = append(text, '}')
	if !text.IsValid(jsontext.AllowDuplicateNames(true)) {
		return nil, fmt.Errorf("no JSON: %s", text)
	}
	return text, nil
}

// version is a parameter version put together from its rows.
type version struct {
	param   book.Param
	members []member
	err     error
}

// add takes a row of paramColumns. All rows of a version tell its flag, remark
// and time; those that do not agree were changed by hand.
func (v *version) add(r record) {
	f := fields{record: r}
	p := book.Param{StrategyCode: v.param.StrategyCode, Version: f.integer()}
	m := member{key: f.text(), value: f.text(), kind: f.text()}
	p.Active = f.flag()
	p.Remark, p.CreatedAt = f.text(), f.time()
	m.position = f.integer()
	m.raw = f.record[0]
	if v.err == nil {
		v.err = f.err
	}
	if len(v.members) == 0 {
		v.param = p
	} else if p.Active != v.param.Active || p.Remark != v.param.Remark || !p.CreatedAt.Equal(v.param.CreatedAt) {
		v.err = errors.Join(v.err, fmt.Errorf("is_active, remark or created_at of key %q differ from those of the other keys", m.key))
	}
	v.members = append(v.members, m)
}

// read puts the version together.
func (v *version) read() (book.Param, error) {
	p, err := v.param, v.err
	if err != nil {
		return p, err
	}
	p.Params, err = join(v.members)
	return p, err
}

// paramValues are the rows of a version, for paramColumns.
func paramValues(strategyID int64, p book.Param) ([][]any, error) {
	members, err := split(p.Params)
	if err != nil {
		return nil, fmt.Errorf("version %s/%d: %w", p.StrategyCode, p.Version, err)
	}
	at := timeText(p.CreatedAt)
	rows := make([][]any, len(members))
	for i, m := range members {
		rows[i] = []any{strategyID, p.Version, m.key, m.value, m.kind, p.Active, p.Remark, at, m.position, m.raw}
	}
	return rows, nil
}

// paramKey is the canonical key of a version.
func paramKey(strategy string, version int64) string {
	return fmt.Sprintf("%s/%010d", strategy, version)
}
