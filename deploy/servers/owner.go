package main

import (
	"fmt"
	"os"
)

// owner is what testserver has a test for: it ends what was begun.
type owner struct{ cleanups []func() }

func (o *owner) Helper() {}

func (o *owner) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }

func (o *owner) Logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// Fatalf ends the program, and what it began.
func (o *owner) Fatalf(format string, args ...any) {
	o.Logf("servers: "+format, args...)
	o.end()
	os.Exit(1)
}

// TempDir is not asked for by servers with a folder of their own.
func (o *owner) TempDir() string {
	dir, err := os.MkdirTemp("", "tapedeck-servers-")
	if err != nil {
		o.Fatalf("%v", err)
	}
	o.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// end runs what was left to do, the latest first, each once even when one of
// them fails.
func (o *owner) end() {
	for len(o.cleanups) > 0 {
		last := len(o.cleanups) - 1
		f := o.cleanups[last]
		o.cleanups = o.cleanups[:last]
		f()
	}
}
