package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	// ManifestFile is what makes a folder a set.
	ManifestFile = "MANIFEST.json"

	format        = "tapedeck-backup/1"
	segmentSuffix = ".tape.zst"
)

// Manifest says what a set holds. It is written anew, in one step, whenever a
// segment is complete and when a run ends.
type Manifest struct {
	Format string `json:"format"`
	// Last is the last event's sequence, 0 in a set of an empty log; Chain is
	// the chain value there, Logged when it was logged.
	Last   uint64    `json:"last_sequence"`
	Chain  string    `json:"chain"`
	Logged time.Time `json:"logged,omitzero"`
	// Begun is when the set was begun. Time is when the last run began that
	// ended; zero before the first one has.
	Begun time.Time `json:"begun"`
	Time  time.Time `json:"time,omitzero"`
	// Segments are in log order, without gaps.
	Segments []Segment `json:"segments"`
	// Sum is the SHA-256 of the manifest with an empty Sum.
	Sum string `json:"sum"`
}

// Segment describes one file of frames.
type Segment struct {
	File string `json:"file"`
	// First and Last are event sequences.
	First  uint64 `json:"first_sequence"`
	Last   uint64 `json:"last_sequence"`
	Frames int    `json:"frames"`
	// Before is the chain value that the first frame links to, After the last
	// frame's.
	Before string `json:"chain_before"`
	After  string `json:"chain_after"`
	// Bytes is the file's size, SHA256 its hash.
	Bytes  int64     `json:"bytes"`
	SHA256 string    `json:"sha256"`
	Time   time.Time `json:"time"`
}

func segmentName(first, last uint64) string {
	return fmt.Sprintf("%020d-%020d%s", first, last, segmentSuffix)
}

// Checkpoint is where the set ends.
func (m *Manifest) Checkpoint() (eventlog.Checkpoint, error) {
	chain, err := eventlog.ParseChain(m.Chain)
	return eventlog.Checkpoint{Sequence: m.Last, Chain: chain}, err
}

// Bytes is what the segments occupy.
func (m *Manifest) Bytes() int64 {
	var sum int64
	for _, s := range m.Segments {
		sum += s.Bytes
	}
	return sum
}

// encode fills in Sum.
func (m *Manifest) encode() ([]byte, error) {
	m.Sum = ""
	bare, err := m.marshal()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(bare)
	m.Sum = hex.EncodeToString(sum[:])
	return m.marshal()
}

func (m *Manifest) marshal() ([]byte, error) {
	text, err := json.Marshal(m, json.Deterministic(true), jsontext.WithIndent("  "))
	return append(text, '\n'), err
}

// readManifest reads and checks the manifest of a set.
func readManifest(dir string) (*Manifest, error) {
	path := filepath.Join(dir, ManifestFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		segments, globErr := filepath.Glob(filepath.Join(dir, "*"+segmentSuffix))
		if globErr == nil && len(segments) > 0 {
			return nil, damaged(path, "it is missing beside %d segments", len(segments))
		}
		return nil, fmt.Errorf("%w: %w", ErrNone, err)
	}
	if err != nil {
		return nil, err
	}
	var m Manifest
	if err := json.Unmarshal(text, &m, json.RejectUnknownMembers(true)); err != nil {
		return nil, damaged(path, "%w", err)
	}
	if m.Format != format {
		return nil, fmt.Errorf("%s: format %q, this version reads %q", path, m.Format, format)
	}
	again, err := m.encode()
	if err != nil {
		return nil, damaged(path, "%w", err)
	}
	if !bytes.Equal(text, again) {
		return nil, damaged(path, "its sum is not that of its contents")
	}
	if err := m.check(); err != nil {
		return nil, damaged(path, "%w", err)
	}
	return &m, nil
}

// check holds the segments against each other.
func (m *Manifest) check() error {
	last, chain := uint64(0), eventlog.Chain{}.String()
	for _, s := range m.Segments {
		switch {
		case s.File != segmentName(s.First, s.Last):
			return fmt.Errorf("%q does not hold sequences %d to %d", s.File, s.First, s.Last)
		case s.First != last+1 || s.Last < s.First:
			return fmt.Errorf("%s follows sequence %d", s.File, last)
		case s.Before != chain:
			return fmt.Errorf("%s links to the chain %s, want %s", s.File, s.Before, chain)
		}
		if _, err := eventlog.ParseChain(s.After); err != nil {
			return fmt.Errorf("%s: %w", s.File, err)
		}
		last, chain = s.Last, s.After
	}
	if m.Last != last || m.Chain != chain {
		return fmt.Errorf("the set ends at %d %s, its segments at %d %s", m.Last, m.Chain, last, chain)
	}
	return nil
}
