// Command chdb runs ClickHouse out of libchdb.so: the engine with its own
// network servers, in this process. The first argument is the library's path,
// the others are clickhouse-local's. It is a program of its own so that a test
// can kill the engine; build it with CGO_ENABLED=0.
package main

import (
	"fmt"
	"os"
	"runtime"

	"github.com/ebitengine/purego"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: chdb /path/to/libchdb.so [argument of clickhouse-local]...")
		os.Exit(2)
	}
	// The engine stays on the thread that it was started on.
	runtime.LockOSThread()
	library, err := purego.Dlopen(os.Args[1], purego.RTLD_NOW|purego.RTLD_GLOBAL)
	if err != nil {
		fmt.Fprintln(os.Stderr, "chdb:", err)
		os.Exit(1)
	}
	var setSignalHandlers func(enabled int32)
	purego.RegisterLibFunc(&setSignalHandlers, library, "chdb_set_signal_handlers_enabled")
	// The Go runtime has handlers of its own.
	setSignalHandlers(0)
	var query func(argc int32, argv []*byte) uintptr
	purego.RegisterLibFunc(&query, library, "query_stable_v2")
	args := append([]string{"clickhouse"}, os.Args[2:]...)
	argv := make([]*byte, 0, len(args)+1)
	for _, arg := range args {
		argv = append(argv, cString(arg))
	}
	query(int32(len(args)), append(argv, nil))
}

func cString(text string) *byte {
	bytes := append([]byte(text), 0)
	return &bytes[0]
}
