// Package testserver starts real, private database servers for tests and
// benchmarks: each on its own free port and in its own folder, ready when the
// constructor returns, gone when the test ends (on Linux also when the test
// process is killed). A missing server fails the test with the command that
// installs it; nothing is ever skipped.
package testserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// T is what a server needs of its test; testing.TB has it all. It is an
// interface of its own so that a command can run private servers as well.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	TempDir() string
	Cleanup(f func())
}

const (
	startTimeout = time.Minute
	pollInterval = 10 * time.Millisecond
	// Ports are taken from below the range that systems hand out to outgoing
	// connections: while a server is down for Restart nobody else gets its port.
	lowestPort, highestPort = 20000, 32000
	startAttempts           = 5
)

// errEnded is a process that ends before it is ready.
var errEnded = errors.New("it ended at once")

// engine is what differs between the kinds of servers.
type engine struct {
	name string
	// find returns the program's path, or an error that says how to get it.
	find func() (string, error)
	// ports is how many the server listens on.
	ports int
	// prepare, if any, is called before each start. It runs where the server
	// will: only there its disk can be seen.
	prepare func(s *Server) error
	args    func(s *Server) []string
	// url names the server at an address, which may be a proxy's.
	url func(addr string) string
	// ready returns nil once the server answers as it should.
	ready func(ctx context.Context, s *Server) error
	// spare, if any, is how many bytes FillDisk leaves free.
	spare func(s *Server) (int64, error)
	// stopsByStdin: the end of its input asks it to shut down, not SIGTERM.
	stopsByStdin bool
}

// binary finds a program that a package manager installs.
func binary(name, install string) func() (string, error) {
	return func() (string, error) {
		path, err := exec.LookPath(name)
		if err != nil {
			// Where Debian has servers, and not in everybody's PATH.
			path, err = exec.LookPath(filepath.Join("/usr/sbin", name))
		}
		if err != nil {
			return "", fmt.Errorf("%s is not installed; install it with: %s", name, install)
		}
		return path, nil
	}
}

// Server is one running server. Methods fail the test on errors and are for
// one goroutine at a time.
type Server struct {
	t        T
	engine   engine
	settings settings
	path     string
	// dir has the log and what else is not data; data may be a disk of its own
	// that only the thread sees.
	dir, data string
	ports     []int
	thread    thread

	process *exec.Cmd
	stdin   io.Closer
	exited  chan struct{}
	paused  bool
}

// start runs a server of the engine's kind and waits until it is ready.
func start(t T, settings settings, e engine) *Server {
	t.Helper()
	path, err := e.find()
	if err != nil {
		t.Fatalf("%v", err)
	}
	s := &Server{t: t, engine: e, settings: settings, path: path, thread: shared()}
	if err := s.makeFolders(); err != nil {
		t.Fatalf("%s: make its folders: %v", e.name, err)
	}
	t.Cleanup(s.Kill)
	for range startAttempts {
		// Between choosing a port and listening on it someone else may take it.
		s.ports = settings.choosePorts(t, e.ports)
		if err = s.launch(); err == nil {
			return s
		}
		if !errors.Is(err, errEnded) {
			break
		}
	}
	t.Fatalf("%s does not start: %v", e.name, err)
	return nil
}

func (s *Server) makeFolders() error {
	dir := s.settings.folder
	if dir == "" {
		dir = s.t.TempDir()
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
		return err
	}
	// Servers tell their folder without links: ready checks compare it.
	if s.dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	s.data = filepath.Join(s.dir, "data")
	if s.settings.quota == 0 {
		return nil
	}
	s.thread = newThread()
	s.t.Cleanup(s.thread.end)
	return s.thread.mount(s.data, s.settings.quota)
}

// URL is where clients find the server.
func (s *Server) URL() string { return s.engine.url(s.Addr()) }

// Addr is the host and port of the server's main door.
func (s *Server) Addr() string { return address(s.ports[0]) }

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// Kill ends the server at once (SIGKILL), as a crash would. A server that is
// down already stays down.
func (s *Server) Kill() {
	s.t.Helper()
	s.end(s.killProcess)
}

// Stop lets the server shut down in order. A server that is down stays down.
func (s *Server) Stop() {
	s.t.Helper()
	s.Resume()
	if s.engine.stopsByStdin {
		s.end(func() error { return s.stdin.Close() })
	} else {
		s.end(s.terminateProcess)
	}
}

// Restart starts the server again on the same data and the same ports; one
// that runs is killed first. It returns when the server is ready.
func (s *Server) Restart() {
	s.t.Helper()
	s.Kill()
	if err := s.launch(); err != nil {
		s.t.Fatalf("%s does not start again: %v", s.engine.name, err)
	}
}

// Pause freezes the server (SIGSTOP): when it returns, connections stay open
// and nothing answers.
func (s *Server) Pause() {
	s.t.Helper()
	err := s.suspendProcess()
	if err == nil {
		err = awaitStop(s.process.Process.Pid)
	}
	if err != nil {
		s.t.Fatalf("pause %s: %v", s.engine.name, err)
	}
	s.paused = true
}

// Resume lets a paused server go on (SIGCONT).
func (s *Server) Resume() {
	s.t.Helper()
	if !s.paused {
		return
	}
	if err := s.continueProcess(); err != nil {
		s.t.Fatalf("resume %s: %v", s.engine.name, err)
	}
	s.paused = false
}

func (s *Server) end(signal func() error) {
	s.t.Helper()
	if s.process == nil {
		return
	}
	if err := signal(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Fatalf("end %s: %v", s.engine.name, err)
	}
	select {
	case <-s.exited:
	case <-time.After(startTimeout):
		s.t.Fatalf("%s does not end within %s", s.engine.name, startTimeout)
	}
	s.process, s.paused = nil, false
}

func (s *Server) killProcess() error { return s.process.Process.Kill() }

// launch runs the process and waits until it is ready, has ended or is late.
func (s *Server) launch() error {
	logPath := filepath.Join(s.dir, "server.log")
	logFile, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer logFile.Close()
	cmd := exec.CommandContext(context.Background(), s.path, s.engine.args(s)...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, logFile, logFile
	bind(cmd)
	if s.engine.stopsByStdin {
		if s.stdin, err = cmd.StdinPipe(); err != nil {
			return err
		}
	}
	err = s.thread.do(func() error {
		if s.engine.prepare != nil {
			if err := s.engine.prepare(s); err != nil {
				return fmt.Errorf("prepare its data: %w", err)
			}
		}
		return cmd.Start()
	})
	if err != nil {
		return err
	}
	exited := make(chan struct{})
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	s.process, s.exited = cmd, exited

	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		err := s.engine.ready(ctx, s)
		if err == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-exited:
			s.process = nil
			return fmt.Errorf("%w; its log: %s", errEnded, logTail(logPath))
		case <-ctx.Done():
			s.Kill()
			return fmt.Errorf("not ready within %s (%w); its log: %s", startTimeout, err, logTail(logPath))
		}
	}
}

func logTail(path string) []byte {
	text, err := os.ReadFile(path)
	if err != nil {
		return []byte(err.Error())
	}
	return bytes.TrimSpace(text[max(0, len(text)-2000):])
}

func freePorts(t T, n int) []int {
	t.Helper()
	ports := make([]int, 0, n)
	var config net.ListenConfig
	for range 1000 {
		port := lowestPort + rand.IntN(highestPort-lowestPort)
		listener, err := config.Listen(context.Background(), "tcp", address(port))
		if err != nil {
			continue
		}
		// Held until all are found, so that the same one is not found twice.
		defer listener.Close()
		if ports = append(ports, port); len(ports) == n {
			return ports
		}
	}
	t.Fatalf("no free port between %d and %d", lowestPort, highestPort)
	return nil
}
