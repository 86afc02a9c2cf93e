//go:build unix

package testserver

import "syscall"

func (s *Server) terminateProcess() error { return s.process.Process.Signal(syscall.SIGTERM) }
func (s *Server) suspendProcess() error   { return s.process.Process.Signal(syscall.SIGSTOP) }
func (s *Server) continueProcess() error  { return s.process.Process.Signal(syscall.SIGCONT) }
