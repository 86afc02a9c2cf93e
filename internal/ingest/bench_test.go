package ingest

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog/embedded"
)

// benchLine is a trade of 430 bytes, as strategies send them.
func benchLine(dst []byte, id uint64) []byte {
	return fmt.Appendf(dst, `{"specversion":"1.0","id":"bench-%016d","source":"strategy/wencai_v1","type":"trade.recorded.v1","subject":"account/55009728","time":"2025-01-02T09:31:02.123456+08:00","data":{"account_id":"55009728","stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price":"8.300","volume":12000,"amount":"99600.00","remark":"问财选股买入","traded_at":"2025-01-02T09:31:02.123456+08:00","order_id":"%016d"}}`+"\n", id, id)
}

// rates collects what the sub-benchmarks measured in one run.
type rates struct {
	names []string
	rate  map[string]float64       // events a second
	delay map[string]time.Duration // median of a commit
}

// measure runs work b.N times over some clients; work appends count events.
func (r *rates) measure(b *testing.B, name string, clients, count int, work func(n uint64) error) {
	b.Run(name, func(b *testing.B) {
		var next atomic.Int64
		delays := make([][]time.Duration, clients)
		failures := make(chan error, clients)
		var wg sync.WaitGroup
		b.ResetTimer()
		started := time.Now()
		for c := range clients {
			wg.Go(func() {
				for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
					begun := time.Now()
					if err := work(ids64.Add(1)); err != nil {
						failures <- err
						return
					}
					delays[c] = append(delays[c], time.Since(begun))
				}
			})
		}
		wg.Wait()
		took := time.Since(started)
		b.StopTimer()
		close(failures)
		for err := range failures {
			b.Fatal(err)
		}
		all := slices.Concat(delays...)
		slices.Sort(all)
		if r.rate[name] == 0 {
			r.names = append(r.names, name)
		}
		r.rate[name] = float64(count) * float64(b.N) / took.Seconds()
		r.delay[name] = all[len(all)/2]
		b.ReportMetric(r.rate[name], "events/s")
		b.ReportMetric(float64(r.delay[name].Microseconds()), "p50-µs")
	})
}

var ids64 atomic.Uint64

// BenchmarkIngest measures both doors beside the raw log in the same run.
func BenchmarkIngest(b *testing.B) {
	r := &rates{rate: make(map[string]float64), delay: make(map[string]time.Duration)}
	benchRaw(b, r)

	s := start(b, b.TempDir())
	register(b, s)
	r.measure(b, "http ndjson of 1000, 8 clients", 8, 1000, publisher(s, 8, 1000))
	r.measure(b, "http one event, 64 clients", 64, 1, publisher(s, 64, 1))
	r.measure(b, "http one event, 1 client", 1, 1, publisher(s, 1, 1))
	r.table()
}

// publisher sends requests of count events over as many connections as there
// are clients. It speaks plain HTTP/1.1 on them, because net/http's client
// costs as much as the server that is to be measured.
func publisher(s *Service, clients, count int) func(n uint64) error {
	idle := make(chan *benchConn, clients)
	for range clients {
		idle <- &benchConn{}
	}
	return func(n uint64) error {
		c := <-idle
		defer func() { idle <- c }()
		return c.publish(s.HTTPAddress(), n, count)
	}
}

type benchConn struct {
	conn    net.Conn
	in      *bufio.Reader
	body    []byte
	request []byte
}

func (c *benchConn) publish(address string, n uint64, count int) (err error) {
	if c.conn == nil {
		if c.conn, err = net.Dial("tcp", address); err != nil {
			return err
		}
		c.in = bufio.NewReader(c.conn)
	}
	c.body = c.body[:0]
	for i := range count {
		c.body = benchLine(c.body, n*1000+uint64(i))
	}
	c.request = fmt.Appendf(c.request[:0], "POST /v1/events HTTP/1.1\r\nHost: bench\r\nContent-Type: application/x-ndjson\r\nContent-Length: %d\r\n\r\n", len(c.body))
	if _, err := c.conn.Write(append(c.request, c.body...)); err != nil {
		return err
	}
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

// benchRaw measures what the log itself can do.
func benchRaw(b *testing.B, r *rates) {
	ctx := context.Background()
	dir := b.TempDir()
	tape, err := embedded.Start(ctx, embedded.Options{Dir: dir, Listen: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	require.NoError(b, err)
	defer func() { require.NoError(b, tape.Shutdown()) }()

	conn, err := tape.WriterConn()
	require.NoError(b, err)
	writer, err := eventlog.NewWriter(ctx, eventlog.WriterConfig{
		Config: eventlog.Config{Logger: slog.New(slog.DiscardHandler)}, Conn: conn, Anchor: filepath.Join(dir, "anchor"),
	})
	require.NoError(b, err)
	var frame []byte
	for i := range 500 {
		frame = benchLine(frame, uint64(i))
	}
	var sending sync.Mutex
	r.measure(b, "raw frames of 500", 2, 500, func(uint64) error {
		sending.Lock()
		pending, err := writer.Begin(frame, 500)
		sending.Unlock()
		if err == nil {
			_, err = pending.Wait(ctx)
		}
		return err
	})
	require.NoError(b, writer.Close(ctx))

	benchJetStream(b, r, dir)
	file, err := os.Create(filepath.Join(dir, "fsync"))
	require.NoError(b, err)
	defer file.Close()
	page := make([]byte, 4096)
	r.measure(b, "raw fsync of 4 KiB", 1, 1, func(uint64) error {
		if _, err := file.Write(page); err != nil {
			return err
		}
		return file.Sync()
	})
}

// benchJetStream measures a stream of one event a message that syncs every
// write, as a strategy in a process of its own would use it: over TCP.
func benchJetStream(b *testing.B, r *rates, dir string) {
	ctx := context.Background()
	ns, err := server.NewServer(&server.Options{JetStream: true, SyncAlways: true, StoreDir: filepath.Join(dir, "raw"), Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true})
	require.NoError(b, err)
	go ns.Start()
	require.True(b, ns.ReadyForConnections(10*time.Second))
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	conn, err := nats.Connect(ns.ClientURL())
	require.NoError(b, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	require.NoError(b, err)
	_, err = js.CreateStream(ctx, jetstream.StreamConfig{Name: "RAW", Subjects: []string{"raw"}, AllowAtomicPublish: true})
	require.NoError(b, err)
	line := benchLine(nil, 0)
	r.measure(b, "raw js.Publish over TCP", 1, 1, func(uint64) error {
		_, err := js.Publish(ctx, "raw", line)
		return err
	})
	r.measure(b, "raw atomic batches of 1000", 1, 1000, func(n uint64) error {
		for i := 1; i <= 1000; i++ {
			m := &nats.Msg{Subject: "raw", Data: line, Header: nats.Header{
				"Nats-Batch-Id": {strconv.FormatUint(n, 10)}, "Nats-Batch-Sequence": {strconv.Itoa(i)},
			}}
			if i < 1000 {
				if err := conn.PublishMsg(m); err != nil {
					return err
				}
				continue
			}
			m.Header.Set("Nats-Batch-Commit", "1")
			answer, err := conn.RequestMsg(m, 10*time.Second)
			if err != nil {
				return err
			}
			if !bytes.Contains(answer.Data, []byte(`"count":1000`)) {
				return fmt.Errorf("batch refused: %s", answer.Data)
			}
		}
		return nil
	})
}

// table prints what was measured and the ratios that are promised.
func (r *rates) table() {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\n\tevents/s\tp50\tof raw frames\tof raw js.Publish")
	for _, name := range r.names {
		fmt.Fprintf(w, "%s\t%.0f\t%s\t%.2f\t%.1f\n", name, r.rate[name], r.delay[name].Round(time.Microsecond),
			r.rate[name]/r.rate["raw frames of 500"], r.rate[name]/r.rate["raw js.Publish over TCP"])
	}
	fmt.Fprintf(w, "a lone event's ack: %.2f × a raw js.Publish's (promised: 1.5 at most)\n",
		float64(r.delay["http one event, 1 client"])/float64(r.delay["raw js.Publish over TCP"]))
	fmt.Fprintln(w, "promised: ndjson from 8 clients ≥ 0.25 of raw frames and ≥ 30 of raw js.Publish; 64 clients ≥ 5 of raw js.Publish")
	w.Flush()
}
