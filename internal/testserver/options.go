package testserver

import (
	"context"
	"net"
)

// Option is understood by every kind of server.
type Option func(*settings)

type settings struct {
	folder string
	ports  []int
	quota  int64
}

// Quota puts the server's data on a disk of its own of that many bytes, for
// FillDisk and FreeDisk. It survives Kill and Restart, not the test. It is
// memory, needs root, and exists on Linux only; elsewhere the test fails.
func Quota(bytes int64) Option { return func(s *settings) { s.quota = bytes } }

// Folder keeps the server's files in the given folder, made when it is not
// there, instead of one that goes with the test. What an earlier server left
// there is opened again.
func Folder(path string) Option { return func(s *settings) { s.folder = path } }

// Ports asks for these ports of 127.0.0.1 instead of free ones, in the order
// that the server's constructor tells.
func Ports(ports ...int) Option { return func(s *settings) { s.ports = ports } }

func (o Option) redis(c *redisConfig)           { o(&c.settings) }
func (o Option) mariaDB(c *mariaDBConfig)       { o(&c.settings) }
func (o Option) clickHouse(c *clickHouseConfig) { o(&c.settings) }

// choosePorts returns those asked for, or n free ones.
func (s settings) choosePorts(t T, n int) []int {
	t.Helper()
	if len(s.ports) == 0 {
		return freePorts(t, n)
	}
	if len(s.ports) != n {
		t.Fatalf("the server listens on %d ports, %d are given", n, len(s.ports))
	}
	for _, port := range s.ports {
		listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", address(port))
		if err != nil {
			t.Fatalf("port %d is not free: %v", port, err)
		}
		listener.Close()
	}
	return s.ports
}
