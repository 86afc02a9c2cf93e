//go:build !windows

package embedded

import (
	"os"
	"syscall"
)

// lockFile holds the file until it is closed or the process ends.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close() // nothing was written
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return f, nil
}
