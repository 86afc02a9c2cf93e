package eventlog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

// anchor is a small file outside the log that remembers the last acknowledged
// frame, so that a log cut short is noticed before its sequences are used
// again. Each update is one write in place of a few bytes that lie in one disk
// sector: a kill -9 leaves the old contents or the new. A power cut can leave
// older contents, which proves less but is never wrong.
type anchor struct {
	file *os.File
}

const anchorForm = "tapedeck anchor v1 %020d %s"

// openAnchor reads the anchor at path. found is false when there is none;
// then it makes one for the empty log.
func openAnchor(path string) (a *anchor, at Checkpoint, found bool, err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		a, err := createAnchor(path)
		return a, Checkpoint{}, false, err
	}
	if err != nil {
		return nil, at, false, fmt.Errorf("eventlog: open anchor: %w", err)
	}
	want := len(formatAnchor(Checkpoint{}))
	buf := make([]byte, want+1)
	n, _ := file.ReadAt(buf, 0) // a short file fails the comparison below
	var chain string
	_, err = fmt.Sscanf(string(buf[:n]), anchorForm, &at.Sequence, &chain)
	if err == nil {
		at.Chain, err = ParseChain(chain)
	}
	if err == nil && string(buf[:n]) != string(formatAnchor(at)) {
		err = errors.New("checksum differs")
	}
	if err != nil {
		return nil, at, false, errors.Join(fmt.Errorf("eventlog: anchor %s is damaged: %w; "+
			"when `replay audit` finds the log sound and complete, remove this file and start again", path, err), file.Close())
	}
	return &anchor{file: file}, at, true, nil
}

// createAnchor makes the file appear whole or not at all.
func createAnchor(path string) (*anchor, error) {
	if err := durable.WriteFile(path, formatAnchor(Checkpoint{}), 0o600); err != nil {
		return nil, fmt.Errorf("eventlog: create anchor: %w", err)
	}
	file, err := os.OpenFile(filepath.Clean(path), os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("eventlog: open anchor: %w", err)
	}
	return &anchor{file: file}, nil
}

func formatAnchor(at Checkpoint) []byte {
	text := fmt.Sprintf(anchorForm, at.Sequence, at.Chain)
	return fmt.Appendf(nil, "%s %08x\n", text, crc32.ChecksumIEEE([]byte(text)))
}

// move writes the new place; it does not sync.
func (a *anchor) move(at Checkpoint) error {
	if _, err := a.file.WriteAt(formatAnchor(at), 0); err != nil {
		return fmt.Errorf("eventlog: move anchor to sequence %d: %w", at.Sequence, err)
	}
	return nil
}

func (a *anchor) close() error {
	return errors.Join(a.file.Sync(), a.file.Close())
}
