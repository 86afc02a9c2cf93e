package projector_test

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// BenchmarkReadDecodeFold plays a log of trades, in frames of 500, into the
// memory tier: every frame proved, every event decoded and folded.
func BenchmarkReadDecodeFold(b *testing.B) {
	const frames, perFrame = 400, 500
	dir := b.TempDir()
	server, err := embedded.Start(b.Context(), embedded.Options{Dir: dir, Listen: "127.0.0.1:0"})
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, server.Shutdown()) })
	conn, err := server.WriterConn()
	require.NoError(b, err)
	writer, err := eventlog.NewWriter(b.Context(), eventlog.WriterConfig{Conn: conn, Anchor: filepath.Join(dir, "anchor")})
	require.NoError(b, err)
	for f := range frames {
		var payload bytes.Buffer
		for e := range perFrame {
			fmt.Fprintf(&payload, `{"specversion":"1.0","id":"bench-%08d","source":"strategy/wencai_v1","type":"trade.recorded.v1","subject":"account/55009728","time":"2025-01-02T10:20:08+08:00","data":{"account_id":"55009728","stock_code":"603390.SH","stock_name":"通达电气","order_type":"buy_order","price":"12.430","volume":1600,"amount":"19888.00","strategy_name":"问财选股9728","remark":"问财选股","traded_at":"2025-01-02T10:20:08+08:00"}}`+"\n", f*perFrame+e)
		}
		pending, err := writer.Begin(payload.Bytes(), perFrame)
		require.NoError(b, err)
		_, err = pending.Wait(b.Context())
		require.NoError(b, err)
	}
	require.NoError(b, writer.Close(b.Context()))
	log, err := eventlog.Open(b.Context(), eventlog.Config{URL: server.ClientURL()})
	require.NoError(b, err)
	defer log.Close()
	b.ResetTimer()
	for b.Loop() {
		reader, err := log.Read(context.Background(), eventlog.Checkpoint{}, eventlog.ReadOptions{})
		require.NoError(b, err)
		at, err := projector.Player{}.Play(b.Context(), reader, memory.New(nil), eventlog.Checkpoint{})
		require.NoError(b, err)
		require.EqualValues(b, frames*perFrame, at.Sequence)
		require.NoError(b, reader.Close())
	}
	b.ReportMetric(float64(frames*perFrame*b.N)/b.Elapsed().Seconds(), "events/s")
}
