package testserver

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// FillDisk leaves no byte free on the disk of a server with a Quota. The
// server may free some itself; call it again to fill that, too.
func (s *Server) FillDisk() {
	s.t.Helper()
	if err := s.onDisk(fill); err != nil {
		s.t.Fatalf("fill the disk of %s: %v", s.engine.name, err)
	}
}

// FreeDisk gives back what FillDisk took.
func (s *Server) FreeDisk() {
	s.t.Helper()
	if err := s.onDisk(os.Remove); err != nil {
		s.t.Fatalf("free the disk of %s: %v", s.engine.name, err)
	}
}

// onDisk calls f with the filler's path, where that disk can be seen.
func (s *Server) onDisk(f func(path string) error) error {
	if s.settings.quota == 0 {
		return errors.New("it is not limited: start the server with a Quota")
	}
	return s.thread.do(func() error { return f(filepath.Join(s.data, "filler")) })
}

func fill(path string) error {
	filler, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer filler.Close()
	block := bytes.Repeat([]byte{'.'}, 1<<20)
	for err == nil {
		_, err = filler.Write(block) // the last one in part
	}
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	return err
}
