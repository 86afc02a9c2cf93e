//go:build !linux

// Command chdb runs ClickHouse out of libchdb.so, on Linux only.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chdb: libchdb is there for Linux only")
	os.Exit(1)
}
