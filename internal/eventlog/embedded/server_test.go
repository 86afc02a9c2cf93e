package embedded_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
)

func start(t *testing.T, dir, listen string) (*embedded.Server, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	s, err := embedded.Start(ctx, embedded.Options{Dir: dir, Listen: listen, Logger: slog.New(slog.DiscardHandler)})
	if err == nil {
		t.Cleanup(func() { require.NoError(t, s.Shutdown()) })
	}
	return s, err
}

func TestADataFolderHasOneServer(t *testing.T) {
	dir := t.TempDir()
	s, err := start(t, dir, "127.0.0.1:0")
	require.NoError(t, err)
	_, err = start(t, dir, "127.0.0.1:0")
	require.ErrorContains(t, err, dir)
	require.ErrorContains(t, err, "in use")
	require.NoError(t, s.Shutdown())
	require.NoError(t, s.Shutdown(), "once more does nothing")
	_, err = start(t, dir, "127.0.0.1:0")
	require.NoError(t, err)
}

func TestABusyAddressIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, taken.Close()) }()
	dir := t.TempDir()
	_, err = start(t, dir, taken.Addr().String())
	require.ErrorContains(t, err, taken.Addr().String())
	_, err = start(t, dir, "127.0.0.1:0")
	require.NoError(t, err, "the failed start let the folder go")
}

func TestAListenAddressThatIsNone(t *testing.T) {
	for _, listen := range []string{"", "4222", "127.0.0.1:x"} {
		_, err := start(t, t.TempDir(), listen)
		require.ErrorContains(t, err, "listen address", listen)
	}
}

func TestAnyoneMayTalkButNotEnterTheLogsAccount(t *testing.T) {
	s, err := start(t, t.TempDir(), "127.0.0.1:0")
	require.NoError(t, err)
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	require.EqualValues(t, embedded.MaxPayload, nc.MaxPayload())
	sub, err := nc.SubscribeSync("hello")
	require.NoError(t, err)
	require.NoError(t, nc.Publish("hello", []byte("x")))
	_, err = sub.NextMsg(5 * time.Second)
	require.NoError(t, err)

	_, err = nats.Connect(s.ClientURL(), nats.UserInfo("appender", ""))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	js, err := jetstream.New(nc)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "MINE", Subjects: []string{"mine"}})
	require.Error(t, err, "only the log has JetStream")
}

func TestTheServersLinesAreLogged(t *testing.T) {
	var out strings.Builder
	logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s, err := embedded.Start(context.Background(), embedded.Options{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: logger})
	require.NoError(t, err)
	require.NoError(t, s.Shutdown())
	require.Contains(t, out.String(), "level=DEBUG")
	require.Contains(t, out.String(), "Listening for client connections")
}

// The writer's connection does not come back: its owner opens a new Writer.
func TestTheWritersConnectionDiesForGood(t *testing.T) {
	dir := t.TempDir()
	s, err := start(t, dir, "127.0.0.1:0")
	require.NoError(t, err)
	nc, err := s.WriterConn()
	require.NoError(t, err)
	w, err := eventlog.NewWriter(context.Background(), eventlog.WriterConfig{Conn: nc, Anchor: dir + "/anchor"})
	require.NoError(t, err)
	require.NoError(t, s.Shutdown())
	select {
	case <-w.Failed():
	case <-time.After(30 * time.Second):
		require.Fail(t, "the writer did not notice")
	}
	require.ErrorIs(t, w.Err(), eventlog.ErrUnreachable)
	require.NoError(t, w.Close(context.Background()))
	require.True(t, nc.IsClosed())
}
