package file

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/go-json-experiment/json"
)

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

// commit makes a change durable and then plays it.
func (f folder) commit(j journal) error {
	raw, err := json.Marshal(j, json.Deterministic(true))
	if err != nil {
		return err
	}
	if err := f.make(); err != nil {
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
	dirs[f.dir] = true
	for _, dir := range slices.Sorted(maps.Keys(dirs)) {
		if err := f.disk.SyncDir(dir); err != nil {
			return err
		}
	}
	if err := f.putManifest(j.Manifest); err != nil {
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
	if err := j.Manifest.known(); err != nil {
		return err
	}
	return f.play(j)
}
