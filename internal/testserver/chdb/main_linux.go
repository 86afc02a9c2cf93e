// Command chdb runs ClickHouse out of libchdb.so: the engine with its own
// network servers, in this process. The first argument is the library's path,
// the others are clickhouse-local's, --interactive among them. The engine shuts
// down in order when the input ends. It is a program of its own so that a test
// can kill the engine; build it with CGO_ENABLED=0.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"

	"github.com/ebitengine/purego"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chdb:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return errors.New("usage: chdb LIBRARY [ARGUMENT-OF-CLICKHOUSE-LOCAL ...]")
	}
	// As ClickHouse's own main does: else writing to a client that has gone
	// ends the process.
	signal.Ignore(syscall.SIGPIPE)
	if err := becomeInteractive(); err != nil {
		return fmt.Errorf("take a terminal as input: %w", err)
	}
	library, err := purego.Dlopen(args[0], purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		return err
	}
	var setSignalHandlers func(enabled int32)
	purego.RegisterLibFunc(&setSignalHandlers, library, "chdb_set_signal_handlers_enabled")
	setSignalHandlers(0) // the Go runtime has its own
	var query func(argc int32, argv []*byte) uintptr
	purego.RegisterLibFunc(&query, library, "query_stable_v2")
	args[0] = "clickhouse"
	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range args {
		text, err := syscall.BytePtrFromString(arg)
		if err != nil {
			return err
		}
		argv = append(argv, text)
	}
	runtime.LockOSThread() // where the engine starts, it stays
	query(int32(len(args)), append(argv, nil))
	return nil
}
