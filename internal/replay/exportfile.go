package replay

import (
	"bufio"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

// stdout is the --out that stands for standard output.
const stdout = "-"

// exportFile is a file that appears under its name whole or not at all: it is
// written beside its place, synced, and renamed into it. A kill -9 leaves at
// most FILE.exporting, which the next export of that name removes.
type exportFile struct {
	path, building string // empty for standard output
	force          bool
	file           *os.File
	sum            hash.Hash
	bytes          int64
	buffer         *bufio.Writer
	gzip           *gzip.Writer // nil unless the name asks for it
}

// createExport begins a file, or writes to out for the name "-".
func createExport(path string, out io.Writer, force bool) (*exportFile, error) {
	f := &exportFile{force: force, sum: sha256.New()}
	if path != stdout {
		f.path, f.building = path, path+".exporting"
		if err := f.mayReplace(); err != nil {
			return nil, err
		}
		if err := os.Remove(f.building); err != nil && !os.IsNotExist(err) {
			return nil, usage("--out: clear what an earlier export left: %v", err)
		}
		// An export holds whatever the log does, password hashes too.
		file, err := os.OpenFile(f.building, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, usage("--out: %v", err)
		}
		f.file, out = file, file
	}
	f.buffer = bufio.NewWriterSize(io.MultiWriter(out, f.sum, (*counter)(&f.bytes)), 1<<18)
	if strings.HasSuffix(path, ".gz") {
		f.gzip = gzip.NewWriter(f.buffer)
	}
	return f, nil
}

type counter int64

func (c *counter) Write(b []byte) (int, error) {
	*c += counter(len(b))
	return len(b), nil
}

func (f *exportFile) mayReplace() error {
	stat, err := os.Lstat(f.path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return usage("--out: %v", err)
	case stat.IsDir():
		return usage("--out %s is a folder: name a file", f.path)
	case !f.force:
		return usage("--out %s exists: name another file, or replace it with --force", f.path)
	}
	return nil
}

func (f *exportFile) Write(b []byte) (int, error) {
	if f.gzip != nil {
		return f.gzip.Write(b)
	}
	return f.buffer.Write(b)
}

// commit puts the file in place and tells its size and SHA-256.
func (f *exportFile) commit() (int64, string, error) {
	if f.gzip != nil {
		if err := f.gzip.Close(); err != nil {
			return 0, "", err
		}
	}
	if err := f.buffer.Flush(); err != nil {
		return 0, "", err
	}
	if f.file != nil {
		if err := f.place(); err != nil {
			return 0, "", err
		}
	}
	return f.bytes, hex.EncodeToString(f.sum.Sum(nil)), nil
}

func (f *exportFile) place() error {
	ours, err := f.file.Stat()
	if err != nil {
		return err
	}
	err = errors.Join(f.file.Sync(), f.file.Close())
	f.file = nil
	if err != nil {
		return errors.Join(err, os.Remove(f.building))
	}
	there, err := os.Lstat(f.building)
	if err != nil || !os.SameFile(ours, there) {
		return fmt.Errorf("%s is another export's now: two must not write one file", f.building)
	}
	if err := f.mayReplace(); err != nil {
		return errors.Join(err, os.Remove(f.building))
	}
	if err := os.Rename(f.building, f.path); err != nil {
		return errors.Join(err, os.Remove(f.building))
	}
	return durable.SyncDir(filepath.Dir(f.path))
}

// discard leaves nothing behind, unless commit came first.
func (f *exportFile) discard() {
	if f.file == nil {
		return
	}
	f.file.Close()
	_ = os.Remove(f.building) // the next export of this name tries again
}
