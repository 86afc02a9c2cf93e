package tests

import (
	"bufio"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// facts are counts and sums of a tier's contents, by what they are of.
type facts map[string]int64

// tierKind is what the tests must know of one tier: how to run its database
// and projector, how to look into it by other means than ours, and what a flow
// left in it.
type tierKind struct {
	name, setting string
	// server starts the tier's database; the file tier has none.
	server func(t testing.TB, options ...testserver.Option) *testserver.Server
	look   func(t testing.TB, url string) facts
	want   func(m *market) facts
	// empty makes the tier as if nothing was ever there.
	empty func(t testing.TB, url string)
}

var tierKinds = []tierKind{
	{"redis", "TAPEDECK_REDIS_URL", startRedis, lookRedis, wantRedis, emptyRedis},
	{"mysql", "TAPEDECK_MYSQL_DSN", startMariaDB, lookMySQL, wantMySQL, emptyMySQL},
	{"clickhouse", "TAPEDECK_CLICKHOUSE_DSN", startClickHouse, lookClickHouse, wantClickHouse, emptyClickHouse},
	{"file", "TAPEDECK_FILE_DIR", nil, lookFiles, wantFiles, emptyFiles},
}

// Each database is told to lose nothing that it acknowledged.
func startRedis(t testing.TB, options ...testserver.Option) *testserver.Server {
	all := []testserver.RedisOption{testserver.AOF("always")}
	for _, o := range options {
		all = append(all, o)
	}
	return testserver.Redis(t, all...)
}

func startMariaDB(t testing.TB, options ...testserver.Option) *testserver.Server {
	var all []testserver.MariaDBOption
	for _, o := range options {
		all = append(all, o)
	}
	return testserver.MariaDB(t, all...)
}

func startClickHouse(t testing.TB, options ...testserver.Option) *testserver.Server {
	var all []testserver.ClickHouseOption
	for _, o := range options {
		all = append(all, o)
	}
	return testserver.ClickHouse(t, all...)
}

// tier is one tier of a test with its projectors.
type tier struct {
	tierKind
	server *testserver.Server // nil for files
	url    string             // of the database itself, for whoever looks
	via    string             // where the projector finds it: url, or a proxy's
}

// deck is ingest with some tiers.
type deck struct {
	ingest *ingest
	tiers  []*tier
}

// newDeck starts ingest and the databases of all tiers.
func newDeck(t testing.TB) *deck {
	t.Helper()
	d := &deck{ingest: startIngest(t, t.TempDir())}
	for _, kind := range tierKinds {
		d.tiers = append(d.tiers, newTier(t, kind))
	}
	return d
}

func newTier(t testing.TB, kind tierKind, options ...testserver.Option) *tier {
	t.Helper()
	r := &tier{tierKind: kind, url: filepath.Join(t.TempDir(), "files")}
	if kind.server != nil {
		r.server = kind.server(t, options...)
		r.url = r.server.URL()
	}
	r.via = r.url
	return r
}

// named is the tier of that name.
func (d *deck) named(name string) *tier {
	return d.tiers[slices.IndexFunc(d.tiers, func(r *tier) bool { return r.name == name })]
}

// env names log and tiers for replay.
func (d *deck) env() []string {
	env := []string{"TAPEDECK_NATS_URL=" + d.ingest.nats, "TAPEDECK_INGEST_URL=" + d.ingest.url}
	for _, r := range d.tiers {
		env = append(env, r.setting+"="+r.url)
	}
	return env
}

// projector is a running projector with the tier that it fills.
type projector struct {
	*process
	tier    *tier
	metrics string
}

func (r *tier) project(t testing.TB, nats string) *projector {
	t.Helper()
	p := start(t, "projector-"+r.name, []string{"TAPEDECK_NATS_URL=" + nats, r.setting + "=" + r.via}, "--metrics", "127.0.0.1:0")
	return &projector{p, r, p.ready["metrics"].(string)}
}

// project starts a projector for every tier.
func (d *deck) project(t testing.TB) []*projector {
	t.Helper()
	var all []*projector
	for _, r := range d.tiers {
		all = append(all, r.project(t, d.ingest.nats))
	}
	return all
}

// scrape reads one of the projector's own metrics; ok tells that it is there.
func (p *projector) scrape(name string) (value float64, ok bool) {
	body, _, err := get(p.metrics)
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), "tapedeck_projector_"+name+"{"); found {
			_, number, _ := strings.Cut(rest, "} ")
			value, err = strconv.ParseFloat(number, 64)
			return value, err == nil
		}
	}
	return 0, false
}

// readiness is what /readyz says, and whether that is yes.
func (p *projector) readiness() (text string, ready bool) {
	text, status, err := get(strings.Replace(p.metrics, "/metrics", "/readyz", 1))
	if err != nil {
		return err.Error(), false
	}
	return text, status == http.StatusOK
}

func get(url string) (body string, status int, err error) {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	return string(text), answer.StatusCode, err
}

// await waits until it has applied the log up to a sequence.
func (p *projector) await(t testing.TB, sequence uint64, patience time.Duration) {
	t.Helper()
	require.Eventually(t, func() bool {
		at, ok := p.scrape("checkpoint_sequence")
		return ok && uint64(at) >= sequence
	}, patience, 20*time.Millisecond, "%s never reached sequence %d", p.name, sequence)
}

// settle waits until all projectors have applied the whole log, which must
// hold every event of the flow. Then every tier must hold what the flow left,
// counted by other means than ours, and replay must find it equal to the fold.
func (d *deck) settle(t testing.TB, m *market, projectors ...*projector) {
	t.Helper()
	last := d.ingest.log(t).Last
	require.EqualValues(t, m.made, last, "each event is on the log once")
	for _, p := range projectors {
		p.await(t, last, 2*time.Minute)
	}
	for _, r := range d.tiers {
		require.Equal(t, without0(r.want(m)), without0(r.look(t, r.url)), r.name)
	}
	mustRun(t, d.env(), "replay", "verify", "--tier", "all")
}
