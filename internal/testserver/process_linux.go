package testserver

import (
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// starter runs every start on one thread that lives as long as the process:
// Pdeathsig fires when the starting thread ends, not the process.
var starter = sync.OnceValue(func() chan<- func() {
	starts := make(chan func())
	go func() {
		runtime.LockOSThread()
		for start := range starts {
			start()
		}
	}()
	return starts
})

// startBound starts cmd so that the kernel kills it when this process dies.
func startBound(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	result := make(chan error)
	starter() <- func() { result <- cmd.Start() }
	return <-result
}
