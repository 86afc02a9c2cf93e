package backup

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/klauspost/compress/zstd"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// record is the line before a frame's payload in a segment. The number of
// events is the payload's number of lines, the chain value follows from all
// payloads before: neither is written down.
type record struct {
	First  uint64    `json:"first_sequence"`
	Logged time.Time `json:"logged"`
	// Bytes is the payload's length; it follows this line.
	Bytes int `json:"bytes"`
}

const (
	// maxPayload bounds what a damaged length can ask for.
	maxPayload = 64 << 20
	// maxLine is far more than a record's line needs.
	maxLine = 4 << 10
	// maxWindow bounds the memory that a damaged file can ask the decompressor for.
	maxWindow = 64 << 20
)

// encoder writes frames compressed.
type encoder struct {
	zstd *zstd.Encoder
}

func newEncoder(w io.Writer) (*encoder, error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
	return &encoder{z}, err
}

func (e *encoder) add(f eventlog.Frame) error {
	line, err := json.Marshal(record{f.First, f.Logged.UTC(), len(f.Payload)})
	if err != nil {
		return err
	}
	if _, err := e.zstd.Write(append(line, '\n')); err != nil {
		return err
	}
	_, err = e.zstd.Write(f.Payload)
	return err
}

func (e *encoder) Close() error { return e.zstd.Close() }

// decoder reads what an encoder wrote.
type decoder struct {
	zstd *zstd.Decoder
	in   *bufio.Reader
}

func newDecoder(r io.Reader) (*decoder, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return &decoder{z, bufio.NewReaderSize(z, maxLine)}, nil
}

// next is the next frame without its chain value; io.EOF at a clean end.
func (d *decoder) next() (eventlog.Frame, error) {
	var f eventlog.Frame
	line, err := d.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(line) == 0 {
		return f, io.EOF
	}
	if err != nil {
		return f, fmt.Errorf("a record's line: %w", unexpected(err))
	}
	var r record
	if err := json.Unmarshal(line, &r, json.RejectUnknownMembers(true)); err != nil {
		return f, fmt.Errorf("a record's line: %w", err)
	}
	if r.Bytes < 1 || r.Bytes > maxPayload {
		return f, fmt.Errorf("a payload of %d bytes", r.Bytes)
	}
	payload := make([]byte, r.Bytes)
	if _, err := io.ReadFull(d.in, payload); err != nil {
		return f, fmt.Errorf("a payload of %d bytes: %w", r.Bytes, unexpected(err))
	}
	count := bytes.Count(payload, []byte{'\n'})
	if payload[r.Bytes-1] != '\n' || count > eventlog.MaxFrameEvents {
		return f, fmt.Errorf("a payload that is no frame")
	}
	return eventlog.Frame{First: r.First, Count: count, Logged: r.Logged, Payload: payload}, nil
}

func (d *decoder) Close() { d.zstd.Close() }

// unexpected keeps an end in the middle from looking like a clean one.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
