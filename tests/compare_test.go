package tests

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// comparison is what /v1/comparison answers.
type comparison struct {
	CheckedAt   *string `json:"checked_at"`
	Sequence    uint64
	Differences int
	Tiers       []comparedTier
}

type comparedTier struct {
	Tier, Error string
	Held        bool
	Sequence    uint64
	Rows        int `json:"compared_rows"`
	Undecided   int
	More        int
	Differences []struct {
		Kind, Account, Key string
		Tier, Log          *string
		Since              time.Time
	}
}

func (t comparedTier) rows() []string {
	rows := []string{}
	for _, d := range t.Differences {
		rows = append(rows, d.Kind+"/"+d.Key)
	}
	slices.Sort(rows)
	return rows
}

// compare runs a round, or with GET tells of the last.
func (c *console) compare(t testing.TB, method string) (found comparison) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, c.url+"/v1/comparison", nil)
	require.NoError(t, err)
	answer, err := c.client.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.StatusCode, "%s", text)
	require.NoError(t, json.Unmarshal(text, &found))
	return found
}

// planted are the damages that a comparison must find, and how
// it names them.
var planted = map[string][]string{
	"redis":      {"wrong decimal", "missing field", "extra field", "stale _inc_date", "missing key"},
	"mysql":      {"a cent", "trailing space", "missing binding", "other status", "swapped version flag", "missing key"},
	"clickhouse": {"missing trade", "wrong amount", "trade that never was"},
	// A file that is not what its manifest says is not read, so no row is named.
	"file": {"other day_count", "missing file", "other volume"},
}

var plantedFiles = map[string]string{"other day_count": "positions/acc-01", "missing file": "positions/acc-02", "other volume": "trades/"}

// TestComparisonFindsWhatWasDoneByHand compares all tiers while events flow, then
// plants damage in each: all of it is found, nothing else is, and what replay
// mends is no longer told.
func TestComparisonFindsWhatWasDoneByHand(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := newMarket(rand.New(rand.NewPCG(seed, 1)))
	d := newDeck(t)
	status, answer := d.ingest.post(t, "application/x-ndjson", damageEvents())
	require.Equal(t, http.StatusOK, status, "%s", answer)
	trades := tradeKeys(t, answer)
	d.project(t)
	c := d.console(t, "--compare-every", "700ms")

	require.Eventually(t, func() bool { // the memory tier is there
		answer, err := c.client.Post(c.url+"/v1/comparison", "", nil)
		return err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
	}, 20*time.Second, 10*time.Millisecond)

	// Each round lets some events flow beside it.
	const rounds = 15
	more, flowed := make(chan bool, rounds), make(chan error, 1)
	go func() {
		defer close(flowed)
		for range more {
			for range 5 {
				if status, answer, err := d.ingest.send("application/x-ndjson", m.next(40)); err != nil || status != http.StatusOK {
					flowed <- fmt.Errorf("status %d: %s %w", status, answer, err)
					return
				}
			}
		}
	}()
	compared := make(map[string]int)
	for range rounds {
		more <- true
		found := c.compare(t, http.MethodPost)
		require.Zero(t, found.Differences, "%+v", found)
		for _, one := range found.Tiers {
			if one.Error == "" { // a busy machine lets a tier lag
				compared[one.Tier]++
			}
		}
	}
	close(more)
	require.NoError(t, <-flowed)
	t.Logf("%d rounds while events flowed, of which compared %v", rounds, compared)
	last := d.ingest.log(t).Last
	for _, r := range d.tiers {
		projected(t, d.env(), r.name, last)
	}
	equal := func() {
		t.Helper()
		began := time.Now()
		found := c.compare(t, http.MethodPost)
		took := time.Since(began)
		require.Zero(t, found.Differences, "%+v", found)
		require.Equal(t, last, found.Sequence)
		require.Len(t, found.Tiers, len(d.tiers))
		for _, one := range found.Tiers {
			require.Empty(t, one.Error, one.Tier)
			require.Zero(t, one.Undecided, one.Tier)
			require.Positive(t, one.Rows, one.Tier)
			require.Equal(t, last, one.Sequence, one.Tier)
			t.Logf("%s: %d rows are equal", one.Tier, one.Rows)
		}
		t.Logf("a round in %s", took)
	}
	equal()

	want := make(map[string][]string)
	for _, r := range d.tiers {
		for _, damage := range damages[r.name] {
			if !slices.Contains(planted[r.name], damage.what) {
				continue
			}
			r.do(t, damage)
			rows := damage.rows
			if name, ok := plantedFiles[damage.what]; ok {
				rows = []string{name}
			}
			for _, row := range rows {
				if key, ok := trades[row]; ok {
					row = key
				}
				want[r.name] = append(want[r.name], row)
			}
		}
		slices.Sort(want[r.name])
	}
	for _, method := range []string{http.MethodPost, http.MethodPost, http.MethodGet} {
		found := c.compare(t, method)
		for _, one := range found.Tiers {
			require.Empty(t, one.Error, one.Tier)
			require.Equal(t, want[one.Tier], one.rows(), "%+v", one)
			for _, difference := range one.Differences {
				require.NotEqual(t, difference.Tier, difference.Log)
				if strings.HasPrefix(difference.Key, "acc-0") {
					require.Equal(t, difference.Key[:len("acc-01")], difference.Account)
				}
				if difference.Kind+"/"+difference.Key == "max_price/acc-01/600000.SH" && one.Tier == "redis" {
					require.Equal(t, []string{"8.301", "8.300"}, []string{*difference.Tier, *difference.Log})
				}
			}
		}
	}
	metrics := func(name, tier string) string {
		text, _, err := get(c.url + "/metrics")
		require.NoError(t, err)
		for line := range strings.Lines(text) {
			if rest, ok := strings.CutPrefix(line, "tapedeck_compare_"+name+`{tier="`+tier+`"} `); ok {
				return strings.TrimSpace(rest)
			}
		}
		return ""
	}
	for _, r := range d.tiers {
		require.Equal(t, fmt.Sprint(len(want[r.name])), metrics("differences", r.name), r.name)
		for _, row := range want[r.name] {
			kind, key, _ := strings.Cut(row, "/")
			require.Equal(t, 1, c.lines("tier differs from the log", r.name, kind, key), "%s %s is told once", r.name, row)
		}
		mustRun(t, d.env(), "replay", "verify", "--tier", r.name, "--repair")
	}
	equal()
	for _, r := range d.tiers {
		require.Equal(t, "0", metrics("differences", r.name), r.name)
		require.Equal(t, "0", metrics("undecided", r.name), r.name)
		compared, err := strconv.ParseFloat(metrics("last_timestamp_seconds", r.name), 64)
		require.NoError(t, err)
		require.InDelta(t, time.Now().Unix(), compared, 60)
		for _, row := range want[r.name] {
			kind, key, _ := strings.Cut(row, "/")
			require.Equal(t, 1, c.lines("difference is over", r.name, kind, key), "%s %s", r.name, row)
		}
	}
	mustRun(t, d.env(), "replay", "verify")
}

// lines counts what the console logged of a row.
func (c *console) lines(message, tier, kind, key string) (n int) {
	for line := range strings.Lines(c.logText()) {
		var said struct{ Msg, Tier, Kind, Key string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == message && said.Tier == tier && said.Kind == kind && said.Key == key {
			n++
		}
	}
	return n
}
