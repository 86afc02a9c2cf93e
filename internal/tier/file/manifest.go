package file

import (
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
	"slices"
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
	// format is the layout's version.
	format = 1
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
	// Files are by slash-separated path.
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

func (m manifest) encode() ([]byte, error) {
	return json.Marshal(m, json.Deterministic(true), jsontext.WithIndent("  "))
}

// journal is one change of the folder, with all that it takes to make it.
type journal struct {
	Manifest manifest `json:"manifest"`
	Changes  []change `json:"changes"`
}

// change is the new content of one file, or what is appended to it.
type change struct {
	Path   string `json:"path"`
	Append bool   `json:"append,omitzero"`
	// Offset is where Data goes when Append is set.
	Offset int64  `json:"offset,omitzero"`
	Data   []byte `json:"data"`
}

// mode keeps what is not for everyone from them.
func (c change) mode() fs.FileMode {
	if c.Path == usersFile || c.Path == userRolesFile {
		return 0o600
	}
	return 0o644
}

// folder is a directory with a manifest.
type folder struct {
	dir  string
	disk disk
}

func (f folder) path(name string) string { return filepath.Join(f.dir, filepath.FromSlash(name)) }

// commit makes a change durable and then plays it.
func (f folder) commit(j journal) error {
	raw, err := json.Marshal(j, json.Deterministic(true))
	if err != nil {
		return err
	}
	if err := f.disk.MakeDir(f.dir); err != nil {
		return err
	}
	if err := f.disk.SyncDir(filepath.Dir(f.dir)); err != nil {
		return err
	}
	// The journal may hold password hashes.
	if err := f.replace(journalFile, raw, 0o600); err != nil {
		return err
	}
	if err := f.disk.SyncDir(f.dir); err != nil {
		return err
	}
	return f.play(j)
}

// play makes the changes of a committed journal. It may be stopped at any
// point and played again.
func (f folder) play(j journal) error {
	dirs := make(map[string]bool)
	for _, c := range j.Changes {
		dir := f.path(path.Dir(c.Path))
		if !dirs[dir] {
			if err := f.disk.MakeDir(dir); err != nil {
				return err
			}
			dirs[dir] = true
		}
		var err error
		if c.Append && c.Offset > 0 {
			err = f.disk.AppendAt(f.path(c.Path), c.Offset, c.Data)
		} else {
			err = f.replace(c.Path, c.Data, c.mode())
		}
		if err != nil {
			return err
		}
	}
	raw, err := j.Manifest.encode()
	if err != nil {
		return err
	}
	dirs[f.dir] = true
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := f.disk.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := f.replace(manifestFile, raw, 0o644); err != nil {
		return err
	}
	if err := f.disk.SyncDir(f.dir); err != nil {
		return err
	}
	return f.disk.Remove(f.path(journalFile))
}

// replace puts a file in place by rename, so that nobody reads half of it.
func (f folder) replace(name string, data []byte, mode fs.FileMode) error {
	tmp := f.path(name) + ".tmp"
	if err := f.disk.Write(tmp, data, mode); err != nil {
		return err
	}
	return f.disk.Rename(tmp, f.path(name))
}

// recover finishes a committed change that a crash cut off.
func (f folder) recover() error {
	raw, err := os.ReadFile(f.path(journalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var j journal
	if err := json.Unmarshal(raw, &j); err != nil {
		return f.damaged(journalFile, err.Error())
	}
	return f.play(j)
}

// readManifest returns the manifest's text, nil when there is none.
func (f folder) readManifest() (m manifest, raw []byte, err error) {
	raw, err = os.ReadFile(f.path(manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil, nil
	}
	if err != nil {
		return m, nil, err
	}
	if err := json.Unmarshal(raw, &m); err != nil {
		return m, nil, f.damaged(manifestFile, err.Error())
	}
	if m.Format != format {
		return m, nil, fmt.Errorf("%s: format %d, this program knows %d: %w", manifestFile, m.Format, format, projector.ErrRefused)
	}
	if _, err := m.checkpoint(); err != nil {
		return m, nil, f.damaged(manifestFile, err.Error())
	}
	return m, raw, nil
}

// DamagedError tells that a file is not what the tier wrote.
type DamagedError struct {
	// Path is the file; Reason says what was found.
	Path, Reason string
}

func (e *DamagedError) Error() string {
	return fmt.Sprintf("%s is damaged: %s; run: replay rebuild --tier file", e.Path, e.Reason)
}

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
