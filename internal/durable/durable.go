// Package durable makes changes of files survive a crash: synced directories,
// files replaced whole or not at all, and locks that die with their process.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ErrLocked tells that another process, or another part of this one, has the
// lock.
var ErrLocked = errors.New("locked by another process")

// WriteFile replaces the file at path in one step: after a crash at any instant
// it is the old one or the new one, on disk. It writes path + ".tmp" on the way,
// which a crash may leave behind and the next WriteFile replaces. One writer at
// a time.
func WriteFile(path string, content []byte, mode fs.FileMode) error {
	temporary := path + ".tmp"
	f, err := os.OpenFile(filepath.Clean(temporary), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return Rename(temporary, path)
}

// Rename puts a synced file into another's place, for good.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}
