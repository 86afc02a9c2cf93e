package testserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// thread is one thread of the operating system that runs what it is given, in
// turn. Two things belong to threads, not to processes: Pdeathsig fires when
// the thread that started the child ends, and a mount namespace is entered by
// one thread alone.
type thread chan func()

func newThread() thread {
	work := make(thread)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for f := range work {
			f()
		}
	}()
	return work
}

// shared is the thread of all servers without a quota; it lives as long as the
// process.
var shared = sync.OnceValue(newThread)

// do runs f on the thread. f must return: it must not fail the test itself.
func (th thread) do(f func() error) error {
	result := make(chan error)
	th <- func() { result <- f() }
	return <-result
}

// end lets the thread go, and with it its mounts and children. It must not be
// the shared one.
func (th thread) end() { close(th) }

// mount gives this thread, and what it starts, a tmpfs of the given size at
// dir. Nobody else sees it, and the kernel removes it with the last process in
// it: also when this one is killed.
func (th thread) mount(dir string, size int64) error {
	return th.do(func() error {
		err := unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			err = unix.Mount("tapedeck-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", size))
		}
		if errors.Is(err, unix.EPERM) {
			return errors.New("a disk of limited size is a tmpfs in a private mount namespace, " +
				"which needs root or CAP_SYS_ADMIN: run the tests as root, in a container with --cap-add SYS_ADMIN")
		}
		return err
	})
}

// bind makes the kernel kill the command's process when the thread that starts
// it ends, and keeps a terminal's Ctrl-C from it: who started it ends it.
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
}

// awaitStop waits until all threads of a child have stopped after a SIGSTOP,
// which each does in its own time: until then it may still answer.
func awaitStop(pid int) error {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED, nil)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// freeBytes is the free space of the disk that dir is on.
func freeBytes(dir string) (int64, error) {
	var disk unix.Statfs_t
	if err := unix.Statfs(dir, &disk); err != nil {
		return 0, &os.PathError{Op: "statfs", Path: dir, Err: err}
	}
	return int64(disk.Bavail) * disk.Bsize, nil
}
