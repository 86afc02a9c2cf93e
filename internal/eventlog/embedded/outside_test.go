package embedded_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// outside starts an ordinary NATS cluster of the given size, without accounts.
func outside(t *testing.T, size int) []*server.Server {
	t.Helper()
	routes := make([]*url.URL, size)
	for i := range routes {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		routes[i] = &url.URL{Scheme: "nats", Host: l.Addr().String()}
		require.NoError(t, l.Close())
	}
	servers := make([]*server.Server, size)
	for i := range servers {
		o := &server.Options{
			ServerName: fmt.Sprint("node", i), Host: "127.0.0.1", Port: server.RANDOM_PORT,
			JetStream: true, StoreDir: t.TempDir(), SyncAlways: true, NoLog: true, NoSigs: true,
		}
		if size > 1 {
			_, port, err := net.SplitHostPort(routes[i].Host)
			require.NoError(t, err)
			o.Cluster = server.ClusterOpts{Name: "outside", Host: "127.0.0.1"}
			_, err = fmt.Sscan(port, &o.Cluster.Port)
			require.NoError(t, err)
			o.Routes = routes
		}
		s, err := server.NewServer(o)
		require.NoError(t, err)
		s.Start()
		t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
		servers[i] = s
	}
	require.Eventually(t, func() bool {
		ready, leaders := true, 0
		for _, s := range servers {
			ready = ready && s.ReadyForConnections(time.Second) && (size == 1 || s.JetStreamIsCurrent())
			if size > 1 && s.JetStreamIsLeader() && len(s.JetStreamClusterPeers()) == size {
				leaders++
			}
		}
		return ready && (size == 1 || leaders == 1)
	}, 30*time.Second, 20*time.Millisecond)
	return servers
}

// The same log on somebody's own servers, one or three: written, read, fenced,
// and found to be gone.
func TestAnOutsideNATS(t *testing.T) {
	for _, size := range []int{1, 3} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			servers := outside(t, size)
			ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
			defer cancel()
			quiet := slog.New(slog.DiscardHandler)
			anchor := filepath.Join(t.TempDir(), "anchor")
			config := eventlog.Config{URL: servers[0].ClientURL(), Logger: quiet}
			for _, s := range servers[1:] {
				config.URL += "," + s.ClientURL()
			}
			newWriter := func() *eventlog.Writer {
				var w *eventlog.Writer
				require.Eventually(t, func() (done bool) {
					var err error
					w, err = eventlog.NewWriter(ctx, eventlog.WriterConfig{Config: config, Anchor: anchor, Replicas: size})
					if err != nil {
						require.ErrorIs(t, err, eventlog.ErrUnreachable)
					}
					return err == nil
				}, 30*time.Second, 50*time.Millisecond)
				return w
			}
			add := func(w *eventlog.Writer) error {
				p, err := w.Begin([]byte("{\"a\":1}\n{\"a\":2}\n"), 2)
				if err == nil {
					_, err = p.Wait(ctx)
				}
				return err
			}
			old := newWriter()
			// A cluster may need a moment to tell all its servers of a new stream.
			for err := add(old); err != nil; err = add(old) {
				require.ErrorIs(t, err, eventlog.ErrUnreachable)
				_ = old.Close(ctx) // it failed
				old = newWriter()
			}
			for range 99 {
				require.NoError(t, add(old))
			}
			young := newWriter()
			require.NoError(t, add(young))
			require.ErrorIs(t, add(old), eventlog.ErrFenced)
			require.NoError(t, old.Close(ctx))

			l, err := eventlog.Open(ctx, config)
			require.NoError(t, err)
			defer func() { require.NoError(t, l.Close()) }()
			if size > 1 { // one server less: the log goes on
				servers[0].Shutdown()
				for range 50 {
					if add(young) != nil {
						require.NoError(t, young.Close(ctx))
						young = newWriter()
					}
				}
			}
			info := young.Info()
			require.NoError(t, young.Close(ctx))
			r, err := l.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{})
			require.NoError(t, err)
			var last eventlog.Frame
			for {
				f, err := r.Next(ctx)
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
				last = f
			}
			require.NoError(t, r.Close())
			require.Equal(t, info.Last, last.Last())
			require.Equal(t, info.Chain, last.Chain)

			_, err = l.Read(ctx, eventlog.Checkpoint{Sequence: info.Last + 5}, eventlog.ReadOptions{})
			var corrupt *eventlog.CorruptError
			require.ErrorAs(t, err, &corrupt)
			require.Equal(t, info.Last+1, corrupt.Sequence)
		})
	}
}
