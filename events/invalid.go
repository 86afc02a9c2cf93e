package events

import (
	"errors"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// tooDeep is the rule of nesting.
var tooDeep = "must not be nested deeper than " + strconv.Itoa(MaxDepth) + " levels"

// invalid builds the error for a field that broke a rule.
func invalid(field, rule, value string) error {
	return &InvalidError{Field: field, Rule: rule, Value: shorten(value)}
}

// shorten keeps the first 64 runes of a value and drops what is no UTF-8.
func shorten(value string) string {
	const longest = 64
	value = strings.ToValidUTF8(value, "\uFFFD")
	if utf8.RuneCountInString(value) <= longest {
		return value
	}
	return string([]rune(value)[:longest]) + "…"
}

// syntaxError turns an error of the JSON reader into an *InvalidError. under
// is the path of what was being read, empty for the event itself.
func syntaxError(err error, under jsontext.Pointer) error {
	var syntax *jsontext.SyntacticError
	if !errors.As(err, &syntax) {
		return &InvalidError{Field: fieldPath(under), Rule: "must be one JSON object: it ends too early"}
	}
	field := fieldPath(under + syntax.JSONPointer)
	if strings.Count(string(under+syntax.JSONPointer), "/") > MaxDepth {
		return &InvalidError{Field: field, Rule: tooDeep}
	}
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &InvalidError{Field: field, Rule: "must not appear twice"}
	}
	return &InvalidError{Field: field, Rule: "must be valid JSON: " + syntax.Err.Error() +
		" at byte " + strconv.FormatInt(syntax.ByteOffset, 10)}
}

// fieldPath writes a JSON pointer as people write paths: data.bars[3].low. No
// path of the contract is longer than what is kept.
func fieldPath(p jsontext.Pointer) string {
	const longest = 5
	var b strings.Builder
	tokens := 0
	for token := range p.Tokens() {
		if tokens++; tokens > longest {
			b.WriteString("…")
			break
		}
		switch {
		case token != "" && allDigits(token):
			b.WriteString("[" + token + "]")
		case b.Len() > 0:
			b.WriteString("." + shorten(token))
		default:
			b.WriteString(shorten(token))
		}
	}
	return b.String()
}
