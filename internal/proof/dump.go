// Package proof holds what a tier contains against the fold of the log, row by
// row, in bounded memory: the tier's rows are put on disk as of one instant and
// compared, part by part, with a book that is folded for that part alone.
package proof

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Dump is the contents of a tier as of one instant, in a temporary file.
type Dump struct {
	// At is the checkpoint of that instant.
	At eventlog.Checkpoint
	// Rows is how many there are, Bytes how large they are in the file.
	Rows  int
	Bytes int64

	sum  hash.Hash
	file *os.File
}

// Take dumps a tier into a temporary file in os.TempDir. Close it.
func Take(ctx context.Context, tier projector.Tier) (*Dump, error) {
	file, err := os.CreateTemp("", "tapedeck-dump-*")
	if err != nil {
		return nil, fmt.Errorf("proof: dump %s: %w", tier.Name(), err)
	}
	// Where the system allows it the file has no name from here on, so that not
	// even kill -9 leaves it behind; elsewhere Close removes it.
	_ = os.Remove(file.Name())
	d := &Dump{sum: sha256.New(), file: file}
	out := bufio.NewWriterSize(file, 1<<16)
	var buffer []byte
	d.At, err = tier.Dump(ctx, func(r book.Row) error {
		buffer = buffer[:0]
		for _, part := range []string{string(r.Kind), r.Key, r.Value} {
			buffer = binary.AppendUvarint(buffer, uint64(len(part)))
			buffer = append(buffer, part...)
		}
		d.Rows++
		d.Bytes += int64(len(buffer))
		d.sum.Write(buffer)
		_, err := out.Write(buffer)
		return err
	})
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("proof: dump %s: %w", tier.Name(), err), d.Close())
	}
	return d, nil
}

// Digest is the hex SHA-256 over all rows in order: equal contents of tiers
// that hold the same kinds have equal digests.
func (d *Dump) Digest() string { return hex.EncodeToString(d.sum.Sum(nil)) }

// Close drops the file.
func (d *Dump) Close() error {
	err := d.file.Close()
	if removal := os.Remove(d.file.Name()); removal != nil && !errors.Is(removal, os.ErrNotExist) {
		err = errors.Join(err, removal)
	}
	if err != nil {
		return fmt.Errorf("proof: drop dump: %w", err)
	}
	return nil
}

// reader reads the rows of a Dump in order.
type reader struct {
	in  *bufio.Reader
	row book.Row
	// ok is false after the last row.
	ok  bool
	err error

	buffer []byte
}

func (d *Dump) read() *reader {
	return &reader{in: bufio.NewReaderSize(io.NewSectionReader(d.file, 0, d.Bytes), 1<<16)}
}

// next moves on to the next row that the part holds, which is told by kind and
// key.
func (r *reader) next(holds func(book.Row) bool) {
	for r.ok = false; r.err == nil; {
		if _, err := r.in.Peek(1); errors.Is(err, io.EOF) {
			return
		}
		if kind := r.bytes(); string(kind) != string(r.row.Kind) {
			r.row.Kind = book.Kind(kind)
		}
		r.row.Key, r.row.Value = string(r.bytes()), ""
		if r.err == nil && !holds(r.row) {
			r.skip()
			continue
		}
		r.row.Value = string(r.bytes())
		r.ok = r.err == nil
		return
	}
}

// bytes is the next part of a row, until it is called again.
func (r *reader) bytes() []byte {
	size := r.size()
	r.buffer = slices.Grow(r.buffer[:0], size)[:size]
	if r.err == nil {
		_, err := io.ReadFull(r.in, r.buffer)
		r.failed(err)
	}
	return r.buffer
}

// skip passes the next part of a row.
func (r *reader) skip() {
	_, err := r.in.Discard(r.size())
	r.failed(err)
}

func (r *reader) size() int {
	if r.err != nil {
		return 0
	}
	size, err := binary.ReadUvarint(r.in)
	r.failed(err)
	return int(size)
}

func (r *reader) failed(err error) {
	if err != nil && r.err == nil {
		r.err = fmt.Errorf("proof: read dump: %w", err)
	}
}
