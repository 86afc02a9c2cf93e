package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// becomeInteractive puts a pseudo-terminal in the place of the standard input,
// and hangs it up when the real input ends.
//
// Without a terminal clickhouse-local takes any exception of a connection's
// thread for its own end: a client that resets its connection, or logs in with
// a wrong password, aborts the engine (ClickHouse issue 115666, mended after
// 26.7). ClickHouse's server does not.
func becomeInteractive() error {
	input, err := unix.FcntlInt(0, unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return err
	}
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open /dev/ptmx: %w", err)
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return fmt.Errorf("unlock it: %w", err)
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return fmt.Errorf("number it: %w", err)
	}
	slave, err := unix.Open(fmt.Sprintf("/dev/pts/%d", number), unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open its other end: %w", err)
	}
	defer unix.Close(slave)
	if err := unix.Dup3(slave, 0, 0); err != nil {
		return err
	}
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(uintptr(input), "input")) // an error is an end, too
		unix.Close(master)
	}()
	return nil
}
