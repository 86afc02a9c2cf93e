package eventlog_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// benchEvent is a trade as strategies publish it, 429 bytes with its line feed.
var benchEvent = func() []byte {
	e := `{"specversion":"1.0","id":"0197a3b2-7c1d-7e44-9a51-3f2b8c6d0e11","source":"strategy/wencai_v1","type":"trade.recorded.v1",` +
		`"subject":"account/55009728","time":"2026-03-02T09:31:07.123+08:00","data":{"account_id":"55009728","stock_code":"600000.SH",` +
		`"stock_name":"PF Bank","order_type":"buy_trade","price":"8.300","volume":1200,"amount":"9960.00","strategy_name":"wencai_v1",` +
		`"traded_at":"2026-03-02T09:31:07+08:00","remark":"`
	return fmt.Appendf(nil, "%s%s\"}}\n", e, bytes.Repeat([]byte{'x'}, 429-len(e)-4))
}()

func reportEvents(b *testing.B, events int) {
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

// rawStream is a stream without chain or numbers on the same kind of server.
func rawStream(b *testing.B) (*nats.Conn, jetstream.JetStream) {
	nc, err := startNode(b).server.WriterConn()
	require.NoError(b, err)
	b.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	require.NoError(b, err)
	_, err = js.CreateStream(background(b), jetstream.StreamConfig{Name: "RAW", Subjects: []string{"raw"}, AllowAtomicPublish: true})
	require.NoError(b, err)
	return nc, js
}

func BenchmarkRawPublish(b *testing.B) {
	_, js := rawStream(b)
	for b.Loop() {
		_, err := js.Publish(context.Background(), "raw", benchEvent)
		require.NoError(b, err)
	}
	reportEvents(b, b.N)
}

func BenchmarkRawFrames500(b *testing.B) {
	_, js := rawStream(b)
	frame := bytes.Repeat(benchEvent, 500)
	for b.Loop() {
		_, err := js.PublishMsg(context.Background(), &nats.Msg{Subject: "raw", Data: frame})
		require.NoError(b, err)
	}
	reportEvents(b, b.N*500)
}

func BenchmarkRawAtomicBatch1000(b *testing.B) {
	nc, js := rawStream(b)
	for n := 0; b.Loop(); n++ {
		header := func(i int) nats.Header {
			return nats.Header{"Nats-Batch-Id": {strconv.Itoa(n)}, "Nats-Batch-Sequence": {strconv.Itoa(i)}}
		}
		for i := 1; i < 1000; i++ {
			require.NoError(b, nc.PublishMsg(&nats.Msg{Subject: "raw", Header: header(i), Data: benchEvent}))
		}
		last := header(1000)
		last.Set("Nats-Batch-Commit", "1")
		_, err := js.PublishMsg(context.Background(), &nats.Msg{Subject: "raw", Header: last, Data: benchEvent})
		require.NoError(b, err)
	}
	s, err := js.Stream(background(b), "RAW")
	require.NoError(b, err)
	require.Equal(b, uint64(b.N*1000), s.CachedInfo().State.LastSeq)
	reportEvents(b, b.N*1000)
}

func BenchmarkPlainFsync(b *testing.B) {
	for _, size := range []int{4 << 10, 200 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			f, err := os.Create(filepath.Join(b.TempDir(), "file"))
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, f.Close()) })
			block := make([]byte, size)
			for b.Loop() {
				_, err := f.Write(block)
				require.NoError(b, err)
				require.NoError(b, f.Sync())
			}
			reportEvents(b, b.N*(size/len(benchEvent)))
		})
	}
}

func BenchmarkWriter(b *testing.B) {
	for _, count := range []int{1, 500, 1000} {
		b.Run(fmt.Sprintf("frames of %d", count), func(b *testing.B) {
			w := startNode(b).writer(b)
			frame := bytes.Repeat(benchEvent, count)
			for b.Loop() {
				p, err := w.Begin(frame, count)
				require.NoError(b, err)
				_, err = p.Wait(context.Background())
				require.NoError(b, err)
			}
			reportEvents(b, b.N*count)
		})
	}
}

func BenchmarkReader(b *testing.B) {
	n := startNode(b)
	w := n.writer(b)
	frame := bytes.Repeat(benchEvent, 500)
	const frames = 1000
	for range frames {
		_, err := w.Begin(frame, 500)
		require.NoError(b, err)
	}
	closeWriter(b, w)
	l := n.open(b)
	ctx := context.Background()
	for b.Loop() {
		r, err := l.Read(ctx, eventlog.Checkpoint{}, eventlog.ReadOptions{})
		require.NoError(b, err)
		events := 0
		for {
			f, err := r.Next(ctx)
			if errors.Is(err, io.EOF) {
				break
			}
			require.NoError(b, err)
			events += f.Count
		}
		require.Equal(b, frames*500, events)
		require.NoError(b, r.Close())
	}
	reportEvents(b, b.N*frames*500)
}

// BenchmarkSeek opens a Reader in the middle of 20,000 frames.
func BenchmarkSeek(b *testing.B) {
	n := startNode(b)
	w := n.writer(b)
	const frames, count = 20_000, 10
	var middle eventlog.Checkpoint
	for i := range frames {
		p, err := w.Begin(bytes.Repeat(benchEvent, count), count)
		require.NoError(b, err)
		f, err := p.Wait(context.Background())
		require.NoError(b, err)
		if i == frames/3 {
			middle = eventlog.Checkpoint{Sequence: f.First, Chain: f.Chain}
		}
	}
	l := n.open(b)
	ctx := context.Background()
	for b.Loop() {
		r, err := l.Read(ctx, middle, eventlog.ReadOptions{})
		require.NoError(b, err)
		_, err = r.Next(ctx)
		require.NoError(b, err)
		require.NoError(b, r.Close())
	}
}
