package replay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// stateKinds are the relations whose rows are compared; they do not grow with
// the log.
var stateKinds = []book.Kind{
	book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate,
	book.KindAccount, book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole,
}

// entity is one thing that changes: a position, an account, a strategy's
// parameters. Its fields are ordered.
type entity struct {
	kind    string
	key     string
	account string // "" when it belongs to none
	code    string // the strategy, or ""
	fields  []member
}

type member struct {
	name  string
	value json.RawMessage
}

// change is what became of one entity from A to B.
type change struct {
	// Kind is position, inc_date, account, binding, strategy, param, user or
	// user_role; Key the account and stock, the account and strategy, …
	Kind string `json:"kind"`
	Key  string `json:"key"`
	// Change is added, removed or changed; of a position opened, closed or
	// changed.
	Change string        `json:"change"`
	Fields []fieldChange `json:"fields"`
}

// fieldChange is one value; From or To is absent when there is none.
type fieldChange struct {
	Field string          `json:"field"`
	From  json.RawMessage `json:"from,omitempty"`
	To    json.RawMessage `json:"to,omitempty"`
}

// The kinds of entities, in the order they are shown.
var entityKinds = []string{"position", "inc_date", "account", "binding", "strategy", "param", "user", "user_role"}

func compareEntities(a, b entity) int {
	return cmp.Or(
		cmp.Compare(slices.Index(entityKinds, a.kind), slices.Index(entityKinds, b.kind)),
		strings.Compare(a.key, b.key))
}

// entitiesOf gathers a book's rows into entities, sorted by kind and key.
func entitiesOf(b *book.Book) ([]entity, error) {
	var list []entity
	positions := make(map[string]int)
	versions := make(map[string]int)
	err := b.Rows(stateKinds, func(row book.Row) error {
		switch row.Kind {
		case book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice:
			at, ok := positions[row.Key]
			if !ok {
				account, _, _ := strings.Cut(row.Key, "/")
				at = len(list)
				positions[row.Key] = at
				list = append(list, entity{kind: "position", key: row.Key, account: account})
			}
			list[at].fields = append(list[at].fields, member{string(row.Kind), scalar(row.Kind, row.Value)})
			return nil
		case book.KindIncDate:
			list = append(list, entity{kind: "inc_date", key: row.Key, account: row.Key, fields: []member{{"inc_date", quoted(row.Value)}}})
			return nil
		case book.KindUserRole:
			list = append(list, entity{kind: "user_role", key: row.Key})
			return nil
		case book.KindParam:
			return nil // below
		}
		fields, err := membersOf(row.Value)
		if err != nil {
			return fmt.Errorf("row %s of %s: %w", row.Key, row.Kind, err)
		}
		fields = slices.DeleteFunc(fields, func(m member) bool {
			return m.name == "account_id" || m.name == "strategy_code" || m.name == "username" // they are the key
		})
		one := entity{kind: string(row.Kind), key: row.Key, fields: fields}
		switch row.Kind {
		case book.KindAccount:
			one.account = row.Key
		case book.KindBinding:
			one.account, one.code, _ = strings.Cut(row.Key, "/")
		case book.KindStrategy:
			one.code = row.Key
		}
		list = append(list, one)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, p := range b.Params() {
		at, ok := versions[p.StrategyCode]
		if !ok {
			at = len(list)
			versions[p.StrategyCode] = at
			list = append(list, entity{kind: "param", key: p.StrategyCode, code: p.StrategyCode, fields: []member{{name: "saved_versions"}}})
		}
		saved := &list[at].fields[0]
		n, _ := strconv.Atoi(string(saved.value)) // absent is 0
		saved.value = strconv.AppendInt(nil, int64(n)+1, 10)
		if !p.Active {
			continue
		}
		list[at].fields = append(list[at].fields, member{"active_version", strconv.AppendInt(nil, p.Version, 10)})
		params, err := membersOf(string(p.Params))
		if err != nil {
			return nil, fmt.Errorf("parameters %s version %d: %w", p.StrategyCode, p.Version, err)
		}
		for _, m := range params {
			list[at].fields = append(list[at].fields, member{"params." + m.name, m.value})
		}
	}
	slices.SortFunc(list, compareEntities)
	return list, nil
}

// scalar is a row's value as JSON: held days are a number, prices decimals.
func scalar(kind book.Kind, value string) json.RawMessage {
	if kind == book.KindHeldDays {
		return json.RawMessage(value)
	}
	return quoted(value)
}

func quoted(s string) json.RawMessage {
	text, err := jsontext.AppendQuote(nil, s)
	if err != nil {
		panic(fmt.Sprintf("replay: quote %q: %v", s, err)) // rows are valid UTF-8
	}
	return json.RawMessage(text)
}

// membersOf reads a JSON object's members in their order. Their values are
// made comparable as bytes: the order of members inside them means nothing.
func membersOf(object string) ([]member, error) {
	dec := jsontext.NewDecoder(strings.NewReader(object))
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	var members []member
	for dec.PeekKind() == '"' {
		token, err := dec.ReadToken()
		if err != nil {
			return nil, err
		}
		name := token.String()
		value, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		value = value.Clone()
		if err := value.Format(jsontext.ReorderRawObjects(true)); err != nil {
			return nil, err
		}
		members = append(members, member{name, json.RawMessage(value)})
	}
	return members, nil
}

// changesBetween compares two sorted lists of entities within a scope.
func changesBetween(a, b []entity, in scope) []change {
	changes := []change{}
	for len(a) > 0 || len(b) > 0 {
		var order int
		switch {
		case len(a) == 0:
			order = 1
		case len(b) == 0:
			order = -1
		default:
			order = compareEntities(a[0], b[0])
		}
		var from, to entity
		if order <= 0 {
			from, a = a[0], a[1:]
		}
		if order >= 0 {
			to, b = b[0], b[1:]
		}
		whole := from
		if order > 0 {
			whole = to
		}
		if !in.holds(whole) {
			continue
		}
		one := change{Kind: whole.kind, Key: whole.key, Fields: fieldChanges(from.fields, to.fields)}
		if order == 0 && len(one.Fields) == 0 {
			continue
		}
		one.Change = verb(whole.kind, order, one.Fields)
		changes = append(changes, one)
	}
	return changes
}

// verb names a change. A position is open while it has held days; one that
// only has marked prices is not.
func verb(kind string, order int, fields []fieldChange) string {
	if kind == "position" {
		for _, f := range fields {
			switch {
			case f.Field != string(book.KindHeldDays):
			case f.From == nil:
				return "opened"
			case f.To == nil:
				return "closed"
			}
		}
	}
	switch {
	case order < 0:
		return "removed"
	case order > 0:
		return "added"
	}
	return "changed"
}

// fieldChanges compares fields by name, in A's order, then B's new ones.
func fieldChanges(a, b []member) []fieldChange {
	changes := []fieldChange{}
	value := func(list []member, name string) json.RawMessage {
		for _, m := range list {
			if m.name == name {
				return m.value
			}
		}
		return nil
	}
	for _, m := range a {
		if to := value(b, m.name); string(to) != string(m.value) {
			changes = append(changes, hide(fieldChange{m.name, m.value, to}))
		}
	}
	for _, m := range b {
		if value(a, m.name) == nil {
			changes = append(changes, hide(fieldChange{m.name, nil, m.value}))
		}
	}
	return changes
}

// hide keeps password hashes off the screen: that they differ is enough.
func hide(f fieldChange) fieldChange {
	if f.Field != "password_hash" {
		return f
	}
	if f.From != nil {
		f.From = quoted("(hidden)")
	}
	if f.To != nil {
		f.To = quoted("(hidden)")
	}
	return f
}

// writeChanges prints a row for each changed value.
func writeChanges(w io.Writer, changes []change, a, b string) {
	if len(changes) == 0 {
		return
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintf(table, "KIND\tKEY\tCHANGE\tFIELD\t%s\t%s\n", a, b)
	for _, c := range changes {
		if len(c.Fields) == 0 {
			fmt.Fprintf(table, "%s\t%s\t%s\t\t\t\n", c.Kind, c.Key, c.Change)
		}
		for _, f := range c.Fields {
			fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", c.Kind, c.Key, c.Change, f.Field, shown(f.From), shown(f.To))
		}
	}
	table.Flush()
}

// shown is a value for people: a text without quotes, - for none.
func shown(value json.RawMessage) string {
	if value == nil {
		return "-"
	}
	if text, err := jsontext.AppendUnquote(nil, value); err == nil {
		return strings.NewReplacer("\n", `\n`, "\t", `\t`, "\r", `\r`).Replace(string(text))
	}
	return string(value)
}
