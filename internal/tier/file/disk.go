package file

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

// disk is every change that the tier makes to the file system, one step a
// call, so that tests can stop it after any of them.
type disk interface {
	// Write replaces or creates a file and fsyncs it.
	Write(path string, data []byte, mode fs.FileMode) error
	// AppendAt cuts a file, created when missing, at offset, writes data
	// behind and fsyncs it.
	AppendAt(path string, offset int64, data []byte) error
	Rename(from, to string) error
	// Exchange swaps two directories in one atomic step. The error is
	// errors.ErrUnsupported where the system has no such step.
	Exchange(a, b string) error
	// Remove removes a file or a whole directory; a missing one is fine.
	Remove(path string) error
	// MakeDir makes a directory with its parents; an existing one is fine.
	MakeDir(path string) error
	// SyncDir makes a directory's entries durable.
	SyncDir(path string) error
}

// osDisk is the operating system's.
type osDisk struct{}

func (osDisk) Write(path string, data []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	// An older file keeps its mode; what it is to hold may be secret.
	err = f.Chmod(mode)
	if err == nil {
		_, err = f.Write(data)
	}
	return finish(f, err)
}

func (osDisk) AppendAt(path string, offset int64, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() < offset {
		err = fmt.Errorf("%s has %d bytes, %d expected", path, info.Size(), offset)
	}
	if err == nil {
		err = f.Truncate(offset)
	}
	if err == nil {
		_, err = f.WriteAt(data, offset)
	}
	return finish(f, err)
}

func finish(f *os.File, err error) error {
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (osDisk) Rename(from, to string) error { return os.Rename(from, to) }

func (osDisk) Exchange(a, b string) error { return exchange(a, b) }

func (osDisk) Remove(path string) error { return os.RemoveAll(path) }

func (osDisk) MakeDir(path string) error { return os.MkdirAll(path, 0o755) }

func (osDisk) SyncDir(path string) error { return durable.SyncDir(path) }
