package silverquant

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/simplifiedchinese"
)

// Encoding is how a file's text is stored. Python's open writes the locale's:
// GBK on Chinese Windows, UTF-8 elsewhere.
type Encoding string

// The encodings. GBK is read and written as GB18030, which extends it to all
// of Unicode, so that no name is lost.
const (
	UTF8 Encoding = "utf-8"
	GBK  Encoding = "gbk"
)

var byteOrderMark = []byte("\xef\xbb\xbf")

// Encode turns UTF-8 text into e's bytes. The error tells that they would read
// back as other text, as private-use characters do in GBK.
func (e Encoding) Encode(text []byte) ([]byte, error) {
	if e != GBK {
		return text, nil
	}
	out, err := simplifiedchinese.GB18030.NewEncoder().Bytes(text)
	if err != nil {
		return nil, fmt.Errorf("encode as gbk: %w", err)
	}
	if back, err := simplifiedchinese.GB18030.NewDecoder().Bytes(out); err != nil || !bytes.Equal(back, text) {
		return nil, errors.New("encode as gbk: the text has a character that gbk cannot hold; utf-8 can")
	}
	return out, nil
}

// DetectEncoding reads all of r and seeks back to its start: text that is
// valid UTF-8, but for a last character cut short, is UTF8, all else GBK.
func DetectEncoding(r io.ReadSeeker) (Encoding, error) {
	found := UTF8
	buf := bufio.NewReaderSize(r, 64<<10)
	for {
		c, size, err := buf.ReadRune()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		if c == utf8.RuneError && size == 1 {
			if !cutShort(buf) {
				found = GBK
			}
			break
		}
	}
	_, err := r.Seek(0, io.SeekStart)
	return found, err
}

// cutShort tells whether the byte just read begins a character that the end of
// the file cuts short.
func cutShort(buf *bufio.Reader) bool {
	if buf.UnreadRune() != nil {
		return false
	}
	rest, _ := buf.Peek(utf8.UTFMax)
	return len(rest) < utf8.UTFMax && !utf8.FullRune(rest)
}

// decoder is r's text as UTF-8, without a byte order mark.
func decoder(r io.ReadSeeker) (*bufio.Reader, error) {
	enc, err := DetectEncoding(r)
	if err != nil {
		return nil, err
	}
	if enc == GBK {
		return bufio.NewReaderSize(simplifiedchinese.GB18030.NewDecoder().Reader(r), 64<<10), nil
	}
	buf := bufio.NewReaderSize(r, 64<<10)
	if mark, err := buf.Peek(len(byteOrderMark)); err == nil && bytes.Equal(mark, byteOrderMark) {
		_, _ = buf.Discard(len(byteOrderMark))
	}
	return buf, nil
}

// decodeRow is a row's text as UTF-8. Each row is in an encoding of its own: a
// strategy may have moved to another machine, and one bad byte must not change
// how the others are read. No row of deal_hist.csv in GBK is valid UTF-8: the
// order words are not.
func decodeRow(raw string) (text, reason string) {
	if utf8.ValidString(raw) {
		return raw, ""
	}
	text, err := simplifiedchinese.GB18030.NewDecoder().String(raw)
	if err == nil && strings.ContainsRune(text, utf8.RuneError) {
		// The decoder writes it for what it cannot read; GB18030 has it, too.
		var back string
		if back, err = simplifiedchinese.GB18030.NewEncoder().String(text); err == nil && back != raw {
			err = errors.New("another text")
		}
	}
	if err != nil {
		return raw, "is neither UTF-8 nor GBK"
	}
	return text, ""
}

// decodeAll is the whole text as UTF-8, without a byte order mark.
func decodeAll(raw []byte) ([]byte, error) {
	buf, err := decoder(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(buf)
}
