//go:build !unix

package testserver

import "errors"

func (s *Server) terminateProcess() error { return s.killProcess() }
func (s *Server) suspendProcess() error   { return errors.ErrUnsupported }
func (s *Server) continueProcess() error  { return errors.ErrUnsupported }
