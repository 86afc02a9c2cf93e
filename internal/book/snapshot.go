package book

import "fmt"

// Snapshot is a Book frozen at a sequence, for a fast restart.
type Snapshot struct {
	// Sequence is the last event in it; Chain the chain value of the frame
	// that holds it.
	Sequence uint64
	Chain    [32]byte
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
func (b *Book) Snapshot(sequence uint64, chain [32]byte) *Snapshot { panic("to be written") }

// WriteFile replaces the file at path in one atomic step: after a crash at any
// instant it is the old one or the new one, on disk. It writes path + ".tmp" on
// the way, which a crash may leave behind and the next WriteFile replaces.
func (s *Snapshot) WriteFile(path string) error { panic("to be written") }

// ReadFile reads and proves a file of WriteFile. The error is a
// *SnapshotError, or wraps the file system's (fs.ErrNotExist when there is
// none).
func ReadFile(path string) (*Snapshot, error) { panic("to be written") }

// Book builds the Book that was frozen.
func (s *Snapshot) Book() (*Book, error) { panic("to be written") }
