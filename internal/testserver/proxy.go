package testserver

import (
	"bytes"
	"context"
	"slices"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/go-json-experiment/json"
	"github.com/rs/zerolog"
)

// ProxyHandle is a proxy before a server, that can do what networks do. Faults
// add up and last until Heal; connections that are open feel them, too. Methods
// fail the test on errors and are for one goroutine at a time.
type ProxyHandle struct {
	t      T
	server *Server
	proxy  *toxiproxy.Proxy
	faults map[string][]fault // by direction, in the order of the library's chain
}

// Proxy puts a proxy, in this process, before the server's main door. It stays
// there while the server is killed and restarted.
func Proxy(t T, server *Server) *ProxyHandle {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	listen := address(freePorts(t, 1)[0])
	p := &ProxyHandle{t: t, server: server, faults: make(map[string][]fault), proxy: toxiproxy.NewProxy(api, server.engine.name, listen, server.Addr())}
	if err := p.proxy.Start(); err != nil {
		t.Fatalf("start a proxy for %s: %v", server.engine.name, err)
	}
	t.Cleanup(p.proxy.Stop)
	return p
}

// URL is where clients find the server through the proxy.
func (p *ProxyHandle) URL() string { return p.server.engine.url(p.Addr()) }

// Addr is the proxy's host and port.
func (p *ProxyHandle) Addr() string { return p.proxy.Listen }

// Latency delays everything that the server sends by d, give or take up to
// jitter, in whole milliseconds.
func (p *ProxyHandle) Latency(d, jitter time.Duration) {
	p.t.Helper()
	p.add("latency", "downstream", map[string]int64{"latency": d.Milliseconds(), "jitter": jitter.Milliseconds()})
}

// Reset ends every connection as soon as something is sent on it, which is
// lost: new ones by a reset (RST), those open already by a close.
func (p *ProxyHandle) Reset() {
	p.t.Helper()
	p.add("reset_peer", "upstream", map[string]int64{"timeout": 0})
	p.add("reset_peer", "downstream", map[string]int64{"timeout": 0})
}

// Cut closes all connections and refuses new ones.
func (p *ProxyHandle) Cut() { p.proxy.Stop() }

// SlowClose makes each side learn of the other's closing only d later, in
// whole milliseconds.
func (p *ProxyHandle) SlowClose(d time.Duration) {
	p.t.Helper()
	p.add("slow_close", "upstream", map[string]int64{"delay": d.Milliseconds()})
	p.add("slow_close", "downstream", map[string]int64{"delay": d.Milliseconds()})
}

// Heal ends all faults. Connections that were closed stay so.
func (p *ProxyHandle) Heal() {
	p.t.Helper()
	for direction := range p.faults {
		p.end(direction, 0)
	}
	if p.proxy.Enabled {
		return
	}
	if err := p.proxy.Start(); err != nil {
		p.t.Fatalf("start the proxy for %s again: %v", p.server.engine.name, err)
	}
}

// fault is a toxic in one direction.
type fault struct {
	name string
	text []byte
}

// add puts a fault into a direction, in the place of an earlier one of its kind.
func (p *ProxyHandle) add(kind, direction string, attributes map[string]int64) {
	p.t.Helper()
	name := kind + "_" + direction
	text, err := json.Marshal(map[string]any{
		"name": name, "type": kind, "stream": direction, "toxicity": 1, "attributes": attributes,
	})
	if err != nil {
		p.t.Fatalf("fault %s: %v", name, err)
	}
	place := slices.IndexFunc(p.faults[direction], func(f fault) bool { return f.name == name })
	if place < 0 {
		place = len(p.faults[direction])
	}
	behind := p.end(direction, place) // not updated: the library would write what its connections read
	for _, f := range append([]fault{{name, text}}, behind[min(1, len(behind)):]...) {
		if _, err := p.proxy.Toxics.AddToxicJson(bytes.NewReader(f.text)); err != nil {
			p.t.Fatalf("fault %s: %v", f.name, err)
		}
		p.faults[direction] = append(p.faults[direction], f)
	}
}

// end ends the faults of a direction from a place on and returns them. It begins
// with the last: a connection that is closing keeps the toxics that it has been
// through (TODO in the library's ToxicLink.RemoveToxic), and one that is taken
// from before others leaves them where the library then misses one.
func (p *ProxyHandle) end(direction string, place int) []fault {
	p.t.Helper()
	ended := slices.Clone(p.faults[direction][place:])
	for _, f := range slices.Backward(ended) {
		if err := p.proxy.Toxics.RemoveToxic(context.Background(), f.name); err != nil {
			p.t.Fatalf("end fault %s: %v", f.name, err)
		}
	}
	p.faults[direction] = p.faults[direction][:place]
	return ended
}
