package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// rebuildFlow is a log of one type of event, for the tier that it is replayed
// into.
type rebuildFlow struct {
	name, tier string
	// server starts the tier's database as deploy/compose.yaml does.
	server func(t testing.TB, options ...testserver.Option) *testserver.Server
	// events is how many there are at scale 1. Each counts as so many units, and
	// so many go into one request.
	events, units, request int
	unit                   string
	// masters are the lines that come first; event is the i-th after them.
	masters func() []string
	event   func(i int) string
	// raw brings the same rows to the same server by the plainest fast client,
	// and takes them away again. It returns how long the driver and the server
	// took: to make the values is not counted.
	raw func(b *testing.B, url string, events int) time.Duration
	// note, if any, reports more about what the rebuild left.
	note func(b *testing.B, url string, units int)
}

// rebuilt is what was measured of one flow: rates in units a second, peaks of
// resident memory in MB.
type rebuilt struct {
	what            string
	rate, raw       float64
	replay, servers int
}

// BenchmarkRebuild measures replay rebuild beside a running ingest: all of it,
// from the first event on the log through the shadow and its proof to the swap.
// In the same run the same rows go raw into the same server.
// TAPEDECK_BENCH_SCALE=0.05 is for a quick look.
func BenchmarkRebuild(b *testing.B) {
	scale := 1.0
	if text := os.Getenv("TAPEDECK_BENCH_SCALE"); text != "" {
		var err error
		scale, err = strconv.ParseFloat(text, 64)
		require.NoError(b, err)
	}
	var all []rebuilt
	for _, flow := range rebuildFlows {
		flow.events = max(flow.request, int(float64(flow.events)*scale))
		b.Run(flow.name, func(b *testing.B) { all = append(all, measureRebuild(b, flow)) })
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\n\trebuild /s\traw /s\tof raw\treplay MB\tservers MB")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%.0f\t%.0f\t%.2f\t%d\t%d\n", r.what, r.rate, r.raw, r.rate/r.raw, r.replay, r.servers)
	}
	fmt.Fprintln(w, "servers: ingest and the database; promised: everything together in under 4096 MB")
	require.NoError(b, w.Flush())
}

func measureRebuild(b *testing.B, flow rebuildFlow) rebuilt {
	kind := tierKinds[slices.IndexFunc(tierKinds, func(k tierKind) bool { return k.name == flow.tier })]
	kind.server = flow.server
	d := &deck{ingest: startIngest(b, b.TempDir()), tiers: []*tier{newTier(b, kind)}}
	url := d.tiers[0].url
	flow.fill(b, d.ingest)
	units := float64(flow.events * flow.units)
	r := rebuilt{what: fmt.Sprintf("%.0f %s of %s into %s", units, flow.unit, flow.name, flow.tier)}
	r.raw = units / flow.raw(b, url, flow.events).Seconds()
	for b.Loop() {
		began := time.Now()
		r.replay, r.servers = rebuildOnce(b, d, flow.tier)
		r.rate = units / time.Since(began).Seconds()
	}
	b.ReportMetric(r.rate, flow.unit+"/s")
	b.ReportMetric(r.raw, "raw-"+flow.unit+"/s")
	b.ReportMetric(r.rate/r.raw, "of-raw")
	b.ReportMetric(float64(r.replay), "replay-MB")
	b.ReportMetric(float64(r.servers), "servers-MB")
	if flow.note != nil {
		flow.note(b, url, int(units))
	}
	return r
}

// fill puts the flow on the log: eight clients, all of whose events must be
// accepted.
func (f rebuildFlow) fill(b *testing.B, in *ingest) {
	began := time.Now()
	send := func(lines []string) error {
		status, answer, err := in.send("application/x-ndjson", []byte(strings.Join(lines, "\n")))
		if err == nil && status != 200 {
			err = fmt.Errorf("status %d: %.500s", status, answer)
		}
		return err
	}
	masters := f.masters()
	if len(masters) > 0 {
		require.NoError(b, send(masters))
	}
	var next atomic.Int64
	var clients errgroup.Group
	for range 8 {
		clients.Go(func() error {
			for {
				from := int(next.Add(int64(f.request))) - f.request
				if from >= f.events {
					return nil
				}
				var lines []string
				for i := from; i < min(from+f.request, f.events); i++ {
					lines = append(lines, f.event(i))
				}
				if err := send(lines); err != nil {
					return err
				}
			}
		})
	}
	require.NoError(b, clients.Wait())
	info := in.log(b)
	require.EqualValues(b, len(masters)+f.events, info.Last)
	b.Logf("%d events, %d MB, on the log in %s", info.Last, info.Bytes>>20, time.Since(began).Round(time.Second))
}

// rebuildOnce runs the command and watches what it and the servers use.
func rebuildOnce(b *testing.B, d *deck, tier string) (replay, servers int) {
	cmd := exec.Command(filepath.Join(binaries, "replay"), "rebuild", "--tier", tier)
	cmd.Env = append(os.Environ(), d.env()...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(b, cmd.Start())
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case err := <-done:
			require.NoError(b, err, "%s", out.String())
			b.Logf("%s", out.String())
			return replay, servers
		case <-ticker.C:
			all, alive := childPeaks(b), 0
			if peak, ok := all[cmd.Process.Pid]; ok {
				replay = max(replay, peak)
			}
			delete(all, cmd.Process.Pid)
			for _, peak := range all {
				alive += peak
			}
			servers = max(servers, alive)
		}
	}
}

// childPeaks are the largest resident sets, in MB, that the processes started
// by this one had so far. Only Linux tells; elsewhere there are none.
func childPeaks(b *testing.B) map[int]int {
	peaks := map[int]int{}
	paths, err := filepath.Glob("/proc/[0-9]*/status")
	require.NoError(b, err)
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		field := map[string]int{}
		for line := range strings.Lines(string(text)) {
			name, rest, _ := strings.Cut(line, ":")
			if words := strings.Fields(rest); len(words) > 0 {
				if n, err := strconv.Atoi(words[0]); err == nil {
					field[name] = n
				}
			}
		}
		if field["PPid"] == os.Getpid() {
			peaks[field["Pid"]] = field["VmHWM"] / 1024
		}
	}
	return peaks
}
