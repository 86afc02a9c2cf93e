//go:build !linux

package testserver

import "os/exec"

// startBound starts cmd; only Linux can bind its life to this process.
func startBound(cmd *exec.Cmd) error { return cmd.Start() }
