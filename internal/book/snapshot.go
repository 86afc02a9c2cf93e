package book

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"io"
	"os"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

// A snapshot file is, integers big-endian:
//
//	magic "tapedeck book\r\n\x00"  16 bytes
//	version                         4
//	flags, bit 0: History           4
//	sequence                        8
//	chain                          32
//	length of state                 8
//	length of extra                 8
//	state                             rows: kind, key, value, each as uvarint length and bytes
//	extra
//	SHA-256 of all before          32
const (
	snapshotMagic   = "tapedeck book\r\n\x00"
	snapshotVersion = 1
	snapshotHeader  = len(snapshotMagic) + 4 + 4 + 8 + sha256.Size + 8 + 8
	flagHistory     = 1
)

// Snapshot is a Book frozen at a sequence, for a fast restart.
type Snapshot struct {
	// Sequence is the last event in it; Chain the chain value of the frame
	// that holds it.
	Sequence uint64
	Chain    [sha256.Size]byte
	// Extra is the owner's own section, carried as it is.
	Extra []byte

	keep  Keep
	state []byte
}

// SnapshotError tells that a snapshot file cannot be used: damaged, cut short,
// or of another version. The log still holds everything: rebuild from it.
type SnapshotError struct {
	Path   string
	Reason string
}

func (e *SnapshotError) Error() string {
	return fmt.Sprintf("book: snapshot %s: %s", e.Path, e.Reason)
}

// Snapshot copies the state, so the Book may go on while the copy is written.
func (b *Book) Snapshot(sequence uint64, chain [sha256.Size]byte) *Snapshot {
	s := &Snapshot{Sequence: sequence, Chain: chain, keep: b.keep}
	err := b.Rows(AllKinds(), func(r Row) error {
		for _, part := range [...]string{string(r.Kind), r.Key, r.Value} {
			s.state = binary.AppendUvarint(s.state, uint64(len(part)))
			s.state = append(s.state, part...)
		}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("book: snapshot: %v", err)) // AllKinds names a kind that Rows does not know
	}
	return s
}

// Book builds the Book that was frozen.
func (s *Snapshot) Book() (*Book, error) {
	b := New(s.keep)
	in := bytes.NewReader(s.state)
	for in.Len() > 0 {
		var parts [3]string
		for i := range parts {
			n, err := binary.ReadUvarint(in)
			if err != nil || n > uint64(in.Len()) {
				return nil, fmt.Errorf("book: snapshot: a row is cut short")
			}
			at := len(s.state) - in.Len()
			parts[i] = string(s.state[at : at+int(n)])
			if _, err := in.Seek(int64(n), io.SeekCurrent); err != nil {
				return nil, fmt.Errorf("book: snapshot: %w", err)
			}
		}
		if err := b.Restore(Row{Kind(parts[0]), parts[1], parts[2]}); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// WriteFile replaces the file at path in one atomic step: after a crash at any
// instant it is the old one or the new one, on disk. It writes path + ".tmp" on
// the way, which a crash may leave behind and the next WriteFile replaces.
func (s *Snapshot) WriteFile(path string) error {
	tmp := path + ".tmp"
	if err := s.writeSynced(tmp); err != nil {
		return fmt.Errorf("book: write snapshot: %w", err)
	}
	if err := durable.Rename(tmp, path); err != nil {
		return fmt.Errorf("book: write snapshot: %w", err)
	}
	return nil
}

func (s *Snapshot) writeSynced(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	sum := sha256.New()
	err = s.writeTo(f, sum)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}

func (s *Snapshot) writeTo(w io.Writer, sum hash.Hash) error {
	body := io.MultiWriter(w, sum)
	for _, part := range [][]byte{s.header(), s.state, s.Extra} {
		if _, err := body.Write(part); err != nil {
			return err
		}
	}
	_, err := w.Write(sum.Sum(nil))
	return err
}

func (s *Snapshot) header() []byte {
	h := append(make([]byte, 0, snapshotHeader), snapshotMagic...)
	h = binary.BigEndian.AppendUint32(h, snapshotVersion)
	var flags uint32
	if s.keep.History {
		flags |= flagHistory
	}
	h = binary.BigEndian.AppendUint32(h, flags)
	h = binary.BigEndian.AppendUint64(h, s.Sequence)
	h = append(h, s.Chain[:]...)
	h = binary.BigEndian.AppendUint64(h, uint64(len(s.state)))
	return binary.BigEndian.AppendUint64(h, uint64(len(s.Extra)))
}

// ReadFile reads and proves a file of WriteFile. The error is a
// *SnapshotError, or wraps the file system's (fs.ErrNotExist when there is
// none).
func ReadFile(path string) (*Snapshot, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("book: read snapshot: %w", err)
	}
	s, reason := parseSnapshot(data)
	if reason != "" {
		return nil, &SnapshotError{Path: path, Reason: reason}
	}
	return s, nil
}

// parseSnapshot takes a file apart; its sections stay parts of data. A reason
// says why it cannot.
func parseSnapshot(data []byte) (s *Snapshot, reason string) {
	if !bytes.HasPrefix(data, []byte(snapshotMagic)) {
		return nil, "is not a snapshot"
	}
	if len(data) < snapshotHeader+sha256.Size {
		return nil, "is cut short"
	}
	rest := data[len(snapshotMagic):]
	if v := binary.BigEndian.Uint32(rest); v != snapshotVersion {
		return nil, fmt.Sprintf("has version %d, this program reads %d", v, snapshotVersion)
	}
	s = &Snapshot{
		Sequence: binary.BigEndian.Uint64(rest[8:]),
		Chain:    [sha256.Size]byte(rest[16:]),
		keep:     Keep{History: binary.BigEndian.Uint32(rest[4:])&flagHistory != 0},
	}
	body, sum := data[:len(data)-sha256.Size], data[len(data)-sha256.Size:]
	states := binary.BigEndian.Uint64(rest[16+sha256.Size:])
	extras := binary.BigEndian.Uint64(rest[24+sha256.Size:])
	sections := body[snapshotHeader:]
	if states > uint64(len(sections)) || extras != uint64(len(sections))-states {
		return nil, fmt.Sprintf("is cut short or has bytes to spare: %d bytes", len(data))
	}
	if sha256.Sum256(body) != [sha256.Size]byte(sum) {
		return nil, "is damaged: its SHA-256 does not match"
	}
	s.state, s.Extra = sections[:states:states], sections[states:]
	return s, ""
}
