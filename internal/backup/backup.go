// Package backup keeps copies of the log outside of it: a set is a folder of
// compressed segments and a manifest, to which each run appends what the log
// got since the last one. A set proves itself without a server. DESIGN.md
// beside this file tells what a crash leaves.
package backup

import (
	"errors"
	"fmt"
)

var (
	// ErrDamaged tells that a set is not what was written.
	ErrDamaged = errors.New("backup is damaged")
	// ErrNone tells that a folder holds no set.
	ErrNone = errors.New("no backup there")
	// ErrExists tells that a folder holds a set already.
	ErrExists = errors.New("there is a backup already")
	// ErrBusy tells that another process writes the set.
	ErrBusy = errors.New("another backup into it is running")
	// ErrOtherLog tells that the log does not go on where the set ends.
	ErrOtherLog = errors.New("the log does not continue the backup")
)

// damaged is an error that names the file and wraps ErrDamaged.
func damaged(path, format string, args ...any) error {
	return fmt.Errorf("%w: %s: %w", ErrDamaged, path, fmt.Errorf(format, args...))
}
