package file

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// The files that hold a whole kind each: a JSON object of row key to row
// value. Those of users are for their owner only.
const (
	accountsFile   = "accounts.json"
	strategiesFile = "strategies.json"
	bindingsFile   = "bindings.json"
	paramsFile     = "params.json"
	usersFile      = "users.json"
	userRolesFile  = "user_roles.json"
)

var relationOf = map[string]book.Kind{
	accountsFile: book.KindAccount, strategiesFile: book.KindStrategy, bindingsFile: book.KindBinding,
	paramsFile: book.KindParam, usersFile: book.KindUser, userRolesFile: book.KindUserRole,
}

// relationFile renders the file of one kind. Strings and numbers inside the
// values keep their very text, so that they read back byte for byte.
func relationFile(b *book.Book, name string) ([]byte, error) {
	out := []byte{'{'}
	err := b.Rows([]book.Kind{relationOf[name]}, func(r book.Row) error {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out, _ = jsontext.AppendQuote(out, r.Key)
		out = append(out, ':')
		if r.Value == "" {
			out = append(out, `""`...)
			return nil
		}
		out = append(out, r.Value...)
		return nil
	})
	if err != nil {
		return nil, err
	}
	value := jsontext.Value(append(out, '}'))
	if err := value.Indent(jsontext.WithIndent("    ")); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return append(value, '\n'), nil
}

// parseRelation is the inverse of relationFile.
func parseRelation(kind book.Kind, raw []byte) ([]book.Row, error) {
	dec := jsontext.NewDecoder(bytes.NewReader(raw), jsontext.AllowDuplicateNames(true))
	open, err := dec.ReadToken()
	if err != nil {
		return nil, err
	}
	if open.Kind() != '{' {
		return nil, errors.New("must be a JSON object")
	}
	var rows []book.Row
	for dec.PeekKind() == '"' {
		key, err := dec.ReadToken()
		if err != nil {
			return rows, err
		}
		row := book.Row{Kind: kind, Key: strings.Clone(key.String())}
		value, err := dec.ReadValue()
		if err != nil {
			return rows, err
		}
		value = value.Clone()
		if err := value.Compact(); err != nil {
			return rows, err
		}
		if row.Value = string(value); row.Value == `""` {
			row.Value = ""
		}
		rows = append(rows, row)
	}
	if _, err := dec.ReadToken(); err != nil {
		return rows, err
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return rows, errors.New("text follows the JSON object")
	}
	return rows, nil
}
