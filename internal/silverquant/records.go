package silverquant

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// maxRecordLines bounds a record whose quoted field spans lines, so that one
// stray quote cannot swallow the rest of the file; maxLineBytes bounds a line.
const (
	maxRecordLines = 64
	maxLineBytes   = 64 << 10
)

// record is one row of a CSV file as it stands in the text.
type record struct {
	line int
	text string
	// fields is nil when reason says why the text is no row.
	fields []string
	reason string
}

// records reads the rows of RFC 4180 text. Unlike encoding/csv it resumes at
// the very next line after a bad one. The bytes of quote, comma and line end
// are part of no character in either encoding, so rows are found before they
// are decoded.
type records struct {
	r    *bufio.Reader
	line int
	// ahead are lines read in search of a closing quote, to be read again.
	ahead []string
}

func (rs *records) readLine() (string, error) {
	if len(rs.ahead) > 0 {
		text := rs.ahead[0]
		rs.ahead = rs.ahead[1:]
		return text, nil
	}
	var text []byte
	for {
		part, err := rs.r.ReadSlice('\n')
		if len(text) <= maxLineBytes {
			text = append(text, part...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && len(text) > 0:
			return string(text), nil
		default:
			return string(text), err
		}
	}
}

// next is the next row that is not blank, or io.EOF.
func (rs *records) next() (record, error) {
	for {
		text, err := rs.readLine()
		if err != nil {
			return record{}, err
		}
		if rs.line++; rs.line == 1 {
			text = strings.TrimPrefix(text, string(byteOrderMark))
		}
		if strings.TrimSpace(text) != "" {
			return rs.finish(record{line: rs.line, text: text}), nil
		}
	}
}

// finish joins a row that goes on over several lines and splits it.
func (rs *records) finish(rec record) record {
	first, joined := rec.text, rec.text
	var more []string
	for strings.Count(joined, `"`)%2 == 1 && len(more) < maxRecordLines && len(joined) <= maxLineBytes {
		text, err := rs.readLine()
		if err != nil {
			break
		}
		more = append(more, text)
		joined += text
	}
	if strings.Count(joined, `"`)%2 == 1 {
		rs.ahead = append(more, rs.ahead...)
		rec.text, rec.reason = first, "a quote is not closed"
		return rec
	}
	rs.line += len(more)
	rec.text = joined
	body, ended := strings.CutSuffix(joined, "\n")
	switch {
	case len(joined) > maxLineBytes:
		rec.reason = "the line is too long"
	case !ended:
		// A number at its end may have lost digits: do not believe it.
		rec.reason = "the last line has no line end: it may be half-written"
	default:
		if body, rec.reason = decodeRow(strings.TrimSuffix(body, "\r")); rec.reason == "" {
			rec.text = body
			rec.fields, rec.reason = splitFields(body)
		}
	}
	return rec
}

func splitFields(text string) (fields []string, reason string) {
	for {
		if !strings.HasPrefix(text, `"`) {
			field, rest, more := strings.Cut(text, ",")
			if strings.Contains(field, `"`) {
				return nil, "a quote stands inside an unquoted field"
			}
			fields = append(fields, field)
			if !more {
				return fields, ""
			}
			text = rest
			continue
		}
		var field strings.Builder
		text = text[1:]
		for {
			part, rest, _ := strings.Cut(text, `"`)
			field.WriteString(part)
			text = rest
			if !strings.HasPrefix(text, `"`) {
				break
			}
			field.WriteByte('"')
			text = text[1:]
		}
		fields = append(fields, field.String())
		switch {
		case text == "":
			return fields, ""
		case text[0] != ',':
			return nil, "text follows a closing quote"
		}
		text = text[1:]
	}
}

// appendField quotes as Python's csv.writer does: only where it must.
func appendField(dst []byte, field string) []byte {
	if !strings.ContainsAny(field, ",\"\r\n") {
		return append(dst, field...)
	}
	dst = append(dst, '"')
	dst = append(dst, strings.ReplaceAll(field, `"`, `""`)...)
	return append(dst, '"')
}
