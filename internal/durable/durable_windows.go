package durable

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// SyncDir does nothing: Windows cannot sync a directory, NTFS journals renames
// itself.
func SyncDir(string) error { return nil }

// Lock waits for the one lock on path. Closing the file gives it back, and so
// does the kernel when the process dies.
func Lock(path string) (*os.File, error) { return lock(path, windows.LOCKFILE_EXCLUSIVE_LOCK) }

// TryLock is Lock that wraps ErrLocked instead of waiting.
func TryLock(path string) (*os.File, error) {
	return lock(path, windows.LOCKFILE_EXCLUSIVE_LOCK|windows.LOCKFILE_FAIL_IMMEDIATELY)
}

func lock(path string, how uint32) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = windows.LockFileEx(windows.Handle(f.Fd()), how, 0, 1, 0, &windows.Overlapped{})
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(&os.PathError{Op: "lock", Path: path, Err: err}, f.Close())
	}
	return f, nil
}
