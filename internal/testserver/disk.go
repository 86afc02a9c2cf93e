package testserver

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// FillDisk leaves no byte free on the disk of a server with a Quota, or too few
// for the server to begin anything where its engine does not bear a write that
// fails halfway. The server may free some itself; call it again to fill that, too.
func (s *Server) FillDisk() {
	s.t.Helper()
	// The bulk takes a while; what must stay free is asked when little is left.
	for _, margin := range []int64{32 << 20, 0} {
		spare := int64(0)
		if s.engine.spare != nil {
			var err error
			if spare, err = s.engine.spare(s); err != nil {
				s.t.Fatalf("ask %s what its disk must keep free: %v", s.engine.name, err)
			}
		}
		if err := s.onDisk(func(path string) error { return fill(path, spare+margin) }); err != nil {
			s.t.Fatalf("fill the disk of %s: %v", s.engine.name, err)
		}
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

// fill lets the filler grow until its disk has the given number of bytes free.
func fill(path string, spare int64) error {
	filler, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer filler.Close()
	block := bytes.Repeat([]byte{'.'}, 1<<20)
	for {
		free, err := freeBytes(filepath.Dir(path))
		if err != nil || free <= spare {
			return err
		}
		_, err = filler.Write(block[:min(int64(len(block)), free-spare)])
		if err != nil && !errors.Is(err, syscall.ENOSPC) { // the server took some meanwhile
			return err
		}
	}
}
