package file

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

const (
	manifestFile = "MANIFEST.json"
	// journalFile is the change that is being made: once it is there, the
	// change counts as made.
	journalFile = "MANIFEST.next"
	// format is the layout's version. Format 1 had no holds and no plans: a
	// program of that time would pass a hold, so it must refuse what this one
	// writes. This one reads both and writes its own.
	format       = 2
	oldestFormat = 1
)

// manifest says what the folder holds and how far it is.
type manifest struct {
	Format   int    `json:"format"`
	Sequence uint64 `json:"sequence"`
	Chain    string `json:"chain"`
	// Time is when the manifest was written, UTC.
	Time time.Time `json:"time"`
	// Encoding is that of the deal_hist.csv files.
	Encoding silverquant.Encoding `json:"encoding"`
	// Bound is set in a snapshot that left events out; see Options.Bound.
	Bound string `json:"bound,omitzero"`
	// Hold is projector.Hold's text.
	Hold string `json:"hold,omitzero"`
	// Plan is set in a shadow: what it is to become.
	Plan string `json:"plan,omitzero"`
	// Promoting is set in a directory that is on its way into the live one's
	// place: see promote.go.
	Promoting bool `json:"promoting,omitzero"`
	// Files are by slash-separated path. Whoever changes them makes a new map.
	Files map[string]entry `json:"files"`
}

type entry struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

func (m manifest) checkpoint() (eventlog.Checkpoint, error) {
	chain, err := eventlog.ParseChain(m.Chain)
	return eventlog.Checkpoint{Sequence: m.Sequence, Chain: chain}, err
}

// vouchesFor tells whether m stands for the same contents as another.
func (m manifest) vouchesFor(o manifest) bool {
	return m.Sequence == o.Sequence && m.Chain == o.Chain && m.Encoding == o.Encoding && m.Bound == o.Bound && maps.Equal(m.Files, o.Files)
}

// next is the manifest of this program's next write.
func (m manifest) next() manifest {
	m.Format, m.Time, m.Promoting = format, time.Now().UTC().Truncate(time.Millisecond), false
	return m
}

func (m manifest) encode() ([]byte, error) {
	return json.Marshal(m, json.Deterministic(true), jsontext.WithIndent("  "))
}

// folder is a directory with a manifest.
type folder struct {
	dir  string
	disk disk
	// last spares parsing a manifest again; it may be nil.
	last *lastManifest
}

// lastManifest is a manifest with the text that it was parsed from. With
// thousands of stocks that is most of a megabyte, and an idle tier looks at it
// every two seconds.
type lastManifest struct {
	mu   sync.Mutex
	raw  []byte
	says manifest
}

func (l *lastManifest) of(raw []byte) (manifest, bool) {
	if l == nil {
		return manifest{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.says, l.raw != nil && bytes.Equal(l.raw, raw)
}

func (l *lastManifest) remember(raw []byte, m manifest) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.raw, l.says = raw, m
}

func (f folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// readManifest reads the manifest, if there is one.
func (f folder) readManifest() (m manifest, found bool, err error) {
	raw, err := os.ReadFile(f.path(manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, false, nil
	}
	if err != nil {
		return m, false, err
	}
	if known, ok := f.last.of(raw); ok {
		return known, true, nil
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return manifest{}, true, f.damaged(manifestFile, err.Error())
	}
	if err := m.known(); err != nil {
		return manifest{}, true, err
	}
	if _, err := m.checkpoint(); err != nil || m.Format < oldestFormat || m.Files == nil {
		return manifest{}, true, f.damaged(manifestFile, "format, chain or files are missing")
	}
	f.last.remember(raw, m)
	return m, true, nil
}

// known refuses what a newer program wrote.
func (m manifest) known() error {
	if m.Format > format {
		return fmt.Errorf("%s has format %d, this program knows %d to %d: use the newer program, or rebuild with this one: %w",
			manifestFile, m.Format, oldestFormat, format, projector.ErrRefused)
	}
	return nil
}

// putManifest changes nothing but the manifest, in one step.
func (f folder) putManifest(m manifest) error {
	raw, err := m.encode()
	if err != nil {
		return err
	}
	if err := f.make(); err != nil {
		return err
	}
	if err := f.replace(manifestFile, raw, 0o644); err != nil {
		return err
	}
	return f.disk.SyncDir(f.dir)
}

// make makes the directory.
func (f folder) make() error {
	if err := f.disk.MakeDir(f.dir); err != nil {
		return err
	}
	return f.disk.SyncDir(filepath.Dir(f.dir))
}

// DamagedError tells that a file is not what the tier wrote.
type DamagedError struct {
	// Path is the file; Reason says what was found.
	Path, Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %s; run: replay rebuild --tier file", e.Path, e.Reason)
}

// Unwrap says that trying again does not help: a person repairs or rebuilds.
func (e *DamagedError) Unwrap() error { return projector.ErrRefused }

func (f folder) damaged(name, reason string) error {
	return &DamagedError{Path: f.path(name), Reason: reason}
}

// proveFile holds a file against its entry and returns the hash's state. What
// an append-grown file holds beyond its entry is cut off: no commit vouches
// for it.
func (f folder) proveFile(name string, want entry) (hash.Hash, error) {
	file, err := os.Open(f.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, f.damaged(name, "it is missing")
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	h := sha256.New()
	size, err := io.Copy(h, io.LimitReader(file, want.Size))
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if size != want.Size || sumText(h) != want.SHA256 || (info.Size() > want.Size && !appended(name)) {
		return nil, f.damaged(name, fmt.Sprintf("its %d bytes do not have the SHA-256 that %s names", info.Size(), manifestFile))
	}
	if info.Size() > want.Size {
		if err := f.disk.AppendAt(f.path(name), want.Size, nil); err != nil {
			return nil, err
		}
	}
	return h, nil
}

func appended(name string) bool { return path.Base(name) == silverquant.DealsFile }

func sumText(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func entryOf(data []byte) entry {
	sum := sha256.Sum256(data)
	return entry{Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}
