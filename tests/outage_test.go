package tests

import (
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// newSeededMarket is a market whose events follow from the test's seed.
func newSeededMarket(random *rand.Rand) *market {
	return newMarket(rand.New(rand.NewPCG(random.Uint64(), 0)))
}

// calm waits until a projector follows the log within a second.
func (p *projector) calm(t testing.TB) {
	t.Helper()
	require.Eventually(t, p.isCalm, 30*time.Second, 50*time.Millisecond, "%s does not recover", p.name)
}

func (p *projector) isCalm() bool {
	_, ready := p.readiness()
	age, ok := p.scrape("lag_seconds")
	return ready && ok && age < 1
}

// TestDatabaseHangs stops databases (SIGSTOP) while 500 events a second flow.
// Their projectors' lag tells so in events and seconds, all other tiers follow
// the log within a second, and all is well again by itself when they go on.
func TestDatabaseHangs(t *testing.T) {
	random := newRandom(t)
	d := newDeck(t)
	m := newSeededMarket(random)
	projectors := d.project(t)
	flow := d.publish(m, random, 500)
	hang := func(seconds float64, names ...string) {
		for _, p := range projectors {
			p.calm(t)
		}
		hanging := map[string]bool{}
		for _, name := range names {
			d.named(name).server.Pause()
			hanging[name] = true
		}
		said, others := map[string]string{}, map[string][]float64{}
		began := time.Now()
		for time.Since(began).Seconds() < seconds {
			<-time.After(200 * time.Millisecond)
			for _, p := range projectors {
				age, ok := p.scrape("lag_seconds")
				require.True(t, ok, p.name)
				text, ready := p.readiness()
				if !hanging[p.tier.name] {
					others[p.name] = append(others[p.name], age)
					require.True(t, ready, "%s: %s", p.name, text)
				} else if !ready {
					said[p.tier.name] = text
				}
			}
		}
		for _, p := range projectors {
			if !hanging[p.tier.name] {
				continue
			}
			age, _ := p.scrape("lag_seconds")
			events, _ := p.scrape("lag_events")
			t.Logf("%s hung for %.0f s: lag %.0f events, %.1f s; readiness: %q", p.tier.name, seconds, events, age, said[p.tier.name])
			require.InDelta(t, seconds, age, 2, "lag in seconds")
			require.InDelta(t, 500*seconds, events, 500*seconds/4+1000, "lag in events")
			if seconds > 15 {
				require.Contains(t, said[p.tier.name], p.tier.name, "readiness says what hangs")
			}
		}
		for _, p := range projectors {
			ages := others[p.name]
			if hanging[p.tier.name] {
				continue
			}
			slices.Sort(ages)
			t.Logf("%s while %v hangs: lag %.2f s, at most %.2f s", p.name, names, ages[len(ages)/2], ages[len(ages)-1])
			require.Less(t, ages[len(ages)/2], 1.0, "%s falls behind while %v hangs", p.name, names)
			p.calm(t) // a busy machine may hold it up for a moment, what hangs must not
		}
		for name := range hanging {
			d.named(name).server.Resume()
		}
		for _, p := range projectors {
			p.calm(t)
		}
	}
	hang(20, "mysql")
	hang(5, "redis", "clickhouse")
	flow.end(t, 0)
	d.settle(t, m, projectors...)
	alive(t, projectors)
}

// freeAddress is a free port below those of outgoing connections, so that it
// stays free until something of ours listens there.
func freeAddress(t testing.TB, random *rand.Rand) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", 20000+random.IntN(12000))
		if listener, err := net.Listen("tcp", address); err == nil {
			require.NoError(t, listener.Close())
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// TestStartInAnyOrder starts projectors, databases and ingest in random order:
// first when nothing was ever there, then again after everything died at once.
func TestStartInAnyOrder(t *testing.T) {
	random := newRandom(t)
	data, http, nats := t.TempDir(), freeAddress(t, random), freeAddress(t, random)
	d := &deck{ingest: &ingest{url: "http://" + http, nats: "nats://" + nats}}
	m := newSeededMarket(random)
	projectors := make([]*projector, len(tierKinds))
	var steps []func()
	for i, kind := range tierKinds {
		r := newTier(t, kind)
		d.tiers = append(d.tiers, r)
		if r.server != nil {
			r.server.Stop() // what is left is a port and an empty database
			steps = append(steps, func() { t.Log("start", kind.name); r.server.Restart() })
		}
		steps = append(steps, func() {
			t.Log("start projector", kind.name)
			projectors[i] = r.project(t, d.ingest.nats)
		})
	}
	steps = append(steps, func() {
		t.Log("start ingest")
		d.ingest = startIngest(t, data, "--listen", http, "--nats-listen", nats)
		status, answer := d.ingest.post(t, "application/x-ndjson", m.next(3000))
		require.Equal(t, 200, status, "%s", answer)
	})
	for range 1 + torture(t) {
		random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps {
			step()
			anInstant(random, 300*time.Millisecond)
		}
		d.settle(t, m, projectors...)
		for _, p := range projectors {
			p.kill()
		}
		d.ingest.kill()
		for _, r := range d.tiers {
			if r.server != nil {
				r.server.Kill()
			}
		}
	}
}

// TestProjectorsSayWhatTheyWaitFor: each is started first of all, and tells in
// turn that the log and that its database is not there.
func TestProjectorsSayWhatTheyWaitFor(t *testing.T) {
	random := newRandom(t)
	http, nats := freeAddress(t, random), freeAddress(t, random)
	for _, kind := range tierKinds {
		if kind.server == nil {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			d := &deck{tiers: []*tier{newTier(t, kind)}}
			server := d.tiers[0].server
			server.Stop()
			p := d.tiers[0].project(t, "nats://"+nats)
			waits := func(what string) {
				t.Helper()
				require.Eventually(t, func() bool {
					text, ready := p.readiness()
					return !ready && strings.Contains(text, what)
				}, 20*time.Second, 50*time.Millisecond, "readiness never told of %q", what)
			}
			waits("open log")
			d.ingest = startIngest(t, t.TempDir(), "--listen", http, "--nats-listen", nats)
			waits("open tier")
			server.Restart()
			p.calm(t)
			m := newSeededMarket(random)
			status, answer := d.ingest.post(t, "application/x-ndjson", m.next(1000))
			require.Equal(t, 200, status, "%s", answer)
			d.settle(t, m, p)
			require.Zero(t, d.ingest.stop(t))
		})
	}
}

// answers tells whether a server still takes connections.
func answers(server *testserver.Server) bool {
	connection, err := net.Dial("tcp", server.Addr())
	if err != nil {
		return false
	}
	return connection.Close() == nil
}

// TestDiskFull fills the disks of all databases while events flow: their
// projectors wait and say so, and go on when there is room again. Redis, when it
// may lose nothing, and MariaDB end themselves then; who supervises them starts
// them again.
func TestDiskFull(t *testing.T) {
	random := newRandom(t)
	d := &deck{ingest: startIngest(t, t.TempDir())}
	for _, kind := range tierKinds {
		var options []testserver.Option
		if kind.server != nil {
			options = append(options, testserver.Quota(300<<20))
		}
		d.tiers = append(d.tiers, newTier(t, kind, options...))
	}
	m := newSeededMarket(random)
	m.padding = 20_000
	projectors := d.project(t)
	flow := d.publish(m, random, 1000)
	for _, p := range projectors {
		p.calm(t)
	}
	for _, p := range projectors {
		if p.tier.server == nil {
			continue
		}
		said := ""
		require.Eventually(t, func() bool {
			p.tier.server.FillDisk() // again: a server may give something back
			text, ready := p.readiness()
			said = text
			return !ready
		}, time.Minute, 100*time.Millisecond, "%s goes on without room", p.name)
		t.Logf("%s without room: %s", p.tier.name, said)
		require.Contains(t, said, p.tier.name)
	}
	alive(t, projectors)
	for _, r := range d.tiers {
		if r.server == nil {
			continue
		}
		r.server.FreeDisk()
	}
	for _, p := range projectors {
		require.Eventually(t, func() bool {
			if p.tier.server != nil && !answers(p.tier.server) {
				t.Logf("%s ended without room", p.tier.name)
				p.tier.server.Restart()
			}
			return p.isCalm()
		}, time.Minute, 50*time.Millisecond, "%s does not recover", p.name)
	}
	flow.end(t, 0)
	d.settle(t, m, projectors...)
	alive(t, projectors)
}

// TestTwoProjectors runs two projectors on every tier, then one when the other
// dies: no event twice, none missing.
func TestTwoProjectors(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	d := newDeck(t)
	m := newSeededMarket(random)
	first, second := d.project(t), d.project(t)
	flow := d.publish(m, random, 2000)
	anInstant(random, 5*time.Second)
	flow.end(t, 10_000*torture(t))
	d.settle(t, m, append(first, second...)...)
	alive(t, append(first, second...))

	flow = d.publish(m, random, 2000)
	for i := range first {
		anInstant(random, 300*time.Millisecond)
		pair := []*projector{first[i], second[i]}
		dies := random.IntN(2)
		pair[dies].kill()
		second[i] = pair[1-dies]
	}
	flow.end(t, 12_000*torture(t))
	d.settle(t, m, second...)
}

// TestEmptiedTier empties each database under its idle projector: it fills it
// again from the first event, without anyone asking.
func TestEmptiedTier(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	d := newDeck(t)
	m := newSeededMarket(random)
	projectors := d.project(t)
	flow := d.publish(m, random, 2000)
	flow.end(t, 5000)
	d.settle(t, m, projectors...)
	for _, p := range projectors {
		p.tier.empty(t, p.tier.url)
		require.Eventually(t, func() bool {
			at, ok := p.scrape("checkpoint_sequence")
			return ok && at < float64(m.made) || strings.Count(p.logText(), `"msg":"projecting"`) > 1
		}, 30*time.Second, 20*time.Millisecond, "%s never saw that its tier is empty", p.name)
	}
	d.settle(t, m, projectors...)
	alive(t, projectors)
}
