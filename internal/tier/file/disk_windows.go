package file

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// syncDir does nothing: Windows cannot flush a directory, NTFS journals
// renames itself.
func syncDir(string) error { return nil }

// lock waits for the one lock on path and returns what gives it back. The
// kernel gives it back when the process dies.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	var at windows.Overlapped
	if err := windows.LockFileEx(windows.Handle(f.Fd()), windows.LOCKFILE_EXCLUSIVE_LOCK, 0, 1, 0, &at); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}
