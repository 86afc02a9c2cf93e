package tests

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// torture multiplies the rounds of the tests that hurt processes and servers:
// TAPEDECK_TORTURE=20 makes a campaign of what is a minute by default.
func torture(t testing.TB) int {
	text := os.Getenv("TAPEDECK_TORTURE")
	if text == "" {
		return 1
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "TAPEDECK_TORTURE")
	require.Positive(t, n, "TAPEDECK_TORTURE")
	return n
}

// publisher publishes a market's events beside the test.
type publisher struct {
	market *market
	finish chan int
	done   chan error
}

// publish begins to publish so many events a second, in requests of random
// size.
func (d *deck) publish(m *market, random *rand.Rand, perSecond int) *publisher {
	const ticks = 50 // a second
	p := &publisher{m, make(chan int, 1), make(chan error, 1)}
	own := rand.New(rand.NewPCG(random.Uint64(), 0))
	go func() {
		ticker := time.NewTicker(time.Second / ticks)
		defer ticker.Stop()
		until := -1 // not known yet
		for until < 0 || m.made < until {
			n := 1 + own.IntN(max(1, 2*perSecond/ticks-1))
			if until >= 0 {
				n = min(until-m.made, 1000)
			}
			status, answer, err := d.ingest.send("application/x-ndjson", m.next(n))
			if err == nil && status != 200 {
				err = fmt.Errorf("status %d: %.500s", status, answer)
			}
			if err != nil {
				p.done <- err
				return
			}
			if until < 0 {
				select {
				case <-ticker.C:
				case until = <-p.finish:
				}
			}
		}
		p.done <- nil
	}()
	return p
}

// end stops once at least so many events were made in all.
func (p *publisher) end(t testing.TB, atLeast int) {
	t.Helper()
	p.finish <- atLeast
	require.NoError(t, <-p.done)
}

// anInstant lets up to d pass.
func anInstant(random *rand.Rand, d time.Duration) {
	<-time.After(time.Duration(random.Int64N(int64(d))))
}

// alive fails the test when a projector has ended.
func alive(t testing.TB, projectors []*projector) {
	t.Helper()
	for _, p := range projectors {
		select {
		case <-p.done:
			t.Fatalf("%s ended: %v", p.name, p.err)
		default:
		}
	}
}

// faults are what a network does to a database's connections.
var faults = []func(p *testserver.ProxyHandle, random *rand.Rand){
	func(p *testserver.ProxyHandle, random *rand.Rand) {
		p.Latency(time.Duration(random.IntN(500))*time.Millisecond, 20*time.Millisecond)
	},
	func(p *testserver.ProxyHandle, _ *rand.Rand) { p.Reset() },
	func(p *testserver.ProxyHandle, _ *rand.Rand) { p.Cut() },
	func(p *testserver.ProxyHandle, random *rand.Rand) {
		p.SlowClose(time.Duration(random.IntN(1000)) * time.Millisecond)
	},
}

// badDay is one scenario under three kinds of trouble.
type badDay struct {
	*deck
	random     *rand.Rand
	market     *market
	projectors []*projector
	proxies    []*testserver.ProxyHandle
	rounds     int
}

// TestBadDay: 200,000 events of every type flow into all tiers at once, while
// first the projectors are killed, then the databases, then the connections
// between them suffer. After each trouble every tier holds every event once.
func TestBadDay(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	day := &badDay{deck: newDeck(t), random: random, market: newSeededMarket(random), rounds: torture(t)}
	for _, r := range day.tiers {
		if r.server != nil {
			proxy := testserver.Proxy(t, r.server)
			day.proxies, r.via = append(day.proxies, proxy), proxy.URL()
		}
	}
	day.projectors = day.project(t)
	for _, trouble := range []struct {
		name  string
		until int // events in all
		make  func(t testing.TB)
	}{
		{"projectors killed", 80_000, day.killProjectors},
		{"databases killed", 140_000, day.killDatabases},
		{"connections suffering", 200_000, day.hurtConnections},
	} {
		began := time.Now()
		flow := day.publish(day.market, random, 2500)
		trouble.make(t)
		troubled := time.Since(began)
		flow.end(t, trouble.until*day.rounds)
		day.settle(t, day.market, day.projectors...)
		alive(t, day.projectors)
		t.Logf("%s for %.1f s, as the fold %.1f s later, after %d events", trouble.name, troubled.Seconds(), (time.Since(began) - troubled).Seconds(), day.market.made)
	}
}

// killProjectors kills each projector 30 times; once its tier loses all that it
// had while it is away.
func (day *badDay) killProjectors(t testing.TB) {
	const each = 30
	var kills []int
	for i := range day.projectors {
		kills = append(kills, slices.Repeat([]int{i}, each*day.rounds)...)
	}
	day.random.Shuffle(len(kills), func(i, j int) { kills[i], kills[j] = kills[j], kills[i] })
	killed := make([]int, len(day.projectors))
	for _, i := range kills {
		anInstant(day.random, 200*time.Millisecond)
		r := day.projectors[i].tier
		day.projectors[i].kill()
		if killed[i]++; killed[i] == each/2 {
			r.empty(t, r.url)
		}
		day.projectors[i] = r.project(t, day.ingest.nats)
	}
}

// killDatabases kills and restarts each database 10 times.
func (day *badDay) killDatabases(t testing.TB) {
	for range 10 * day.rounds {
		for _, i := range day.random.Perm(len(day.tiers)) {
			if server := day.tiers[i].server; server != nil {
				anInstant(day.random, 300*time.Millisecond)
				server.Kill()
			}
		}
		for _, i := range day.random.Perm(len(day.tiers)) {
			if server := day.tiers[i].server; server != nil {
				server.Restart()
			}
		}
	}
}

// hurtConnections lets one fault after another befall the connections; some
// meet.
func (day *badDay) hurtConnections(t testing.TB) {
	for range 60 * day.rounds {
		proxy := day.proxies[day.random.IntN(len(day.proxies))]
		if day.random.IntN(2) == 0 {
			proxy.Heal()
		}
		faults[day.random.IntN(len(faults))](proxy, day.random)
		anInstant(day.random, 600*time.Millisecond)
	}
	for _, proxy := range day.proxies {
		proxy.Heal()
	}
}
