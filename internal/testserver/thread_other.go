//go:build !linux

package testserver

import (
	"errors"
	"os/exec"
)

// thread is a place to start servers from; only Linux has a use for it.
type thread struct{}

func newThread() thread { return thread{} }

func shared() thread { return thread{} }

func (thread) do(f func() error) error { return f() }

func (thread) end() {}

func (thread) mount(string, int64) error {
	return errors.New("a disk of limited size is there on Linux only")
}

// bind does nothing: only Linux can bind a child's life to this process.
func bind(*exec.Cmd) {}

func awaitStop(int) error { return nil }

func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }
