package tests

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// memoryConsole is a console without any database: the log is all it has.
func memoryConsole(t *testing.T, events int) (*ingest, *console, *market) {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	m := newMarket(rand.New(rand.NewPCG(seed, 1)))
	in := startIngest(t, t.TempDir())
	for m.made < events {
		status, answer := in.post(t, "application/x-ndjson", m.next(min(1000, events-m.made)))
		require.Equal(t, http.StatusOK, status, "%s", answer)
	}
	d := &deck{ingest: in}
	c := d.console(t)
	c.awaitReadable(t)
	return in, c, m
}

// awaitReadable waits until every kind can be read: without databases, until the
// log was.
func (c *console) awaitReadable(t *testing.T) {
	t.Helper()
	require.Eventually(t, func() bool {
		_, status, err := get(c.url + "/readyz")
		return err == nil && status == http.StatusOK
	}, 20*time.Second, 10*time.Millisecond)
}

// specification is what /openapi.json says of a path.
type specification struct {
	Paths map[string]map[string]struct {
		Parameters []struct{ Name string }
		Responses  map[string]struct {
			Content map[string]struct{ Schema any }
		}
	}
}

// TestAnswersAreAsDescribed asks for every path that the OpenAPI document and
// docs/read-api.md know, and holds the answers against their schemas.
func TestAnswersAreAsDescribed(t *testing.T) {
	_, c, m := memoryConsole(t, 3000)
	text, status, err := get(c.url + "/openapi.json")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status)
	var spec specification
	require.NoError(t, json.Unmarshal([]byte(text), &spec))
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("openapi.json", document))
	describes := func(path, status, kind string) *jsonschema.Schema {
		t.Helper()
		pointer := strings.NewReplacer("~", "~0", "/", "~1", "{", "%7B", "}", "%7D").Replace(path)
		schema, err := compiler.Compile(fmt.Sprintf("openapi.json#/paths/%s/get/responses/%s/content/%s/schema", pointer, status, strings.ReplaceAll(kind, "/", "~1")))
		require.NoError(t, err, path)
		return schema
	}
	validate := func(schema *jsonschema.Schema, body []byte, what string) {
		t.Helper()
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
		require.NoError(t, err, what)
		require.NoError(t, schema.Validate(value), "%s\n%s", what, body)
	}

	page, err := os.ReadFile("../docs/read-api.md")
	require.NoError(t, err)
	for path := range spec.Paths {
		require.True(t, bytes.Contains(page, []byte("`"+path+"`")), "the page does not name %s", path)
	}
	for _, match := range regexp.MustCompile("(?m)^\\| `(/[^`]+)`").FindAllStringSubmatch(string(page), -1) {
		require.NotEmpty(t, spec.Paths[match[1]], "the page names %s, the document does not", match[1])
	}

	strategy := m.strategies[slices.IndexFunc(m.strategies, func(s *marketStrategy) bool { return len(s.versions) > 1 })]
	values := map[string]string{"{account}": m.accounts[0].id, "{stock}": m.stock(), "{strategy}": strategy.code}
	parameters := map[string]string{
		"/v1/klines": "stocks=600000.SH,SH600001&last=5", "/v1/trades": "limit=500&from=20250301&to=2025-12-31", "/v1/trades/aggregate": "by=day",
		"/v1/strategies/{strategy}/params/compare": "a=1&b=2", "/v1/klines/{stock}": "from=2025-03-01", "/v1/accounts": "status=active",
	}
	asked := 0
	for path, methods := range spec.Paths {
		if _, gets := methods["get"]; !gets || path == "/v1/events" || path == "/metrics" {
			continue
		}
		target := path
		for name, value := range values {
			target = strings.ReplaceAll(target, name, value)
		}
		text, status, err := get(c.url + target + "?" + parameters[path])
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, "%s: %s", target, text)
		validate(describes(path, "200", "application/json"), []byte(text), target)
		asked++

		text, status, err = get(c.url + target + "?surprise=1")
		require.NoError(t, err)
		require.Equal(t, http.StatusUnprocessableEntity, status, "%s: an unknown parameter", target)
		validate(describes(path, "422", "application/problem+json"), []byte(text), target)
	}
	require.Greater(t, asked, 18)

	for path, want := range map[string]int{
		"/v1/accounts/nobody1":                                                 404,
		"/v1/accounts/nobody1/strategies":                                      404,
		"/v1/strategies/none/params":                                           404,
		"/v1/strategies/" + strategy.code + "/params?version=9999":             404,
		"/v1/accounts/nobody1/positions":                                       200,
		"/v1/accounts/a!/positions":                                            422,
		"/v1/klines/600000":                                                    422,
		"/v1/klines/600000.SH?from=2025-02-30":                                 422,
		"/v1/klines?stocks=" + strings.Repeat("600000.SH,", 100) + "600000.SH": 422,
		"/v1/trades?limit=100001":                                              422,
		"/v1/trades/aggregate?by=week":                                         422,
		"/v1/statistics?wait=11s":                                              422,
		"/v1/accounts?at_least=999999&wait=50ms":                               504,
		"/v1/events?after=999999":                                              409,
		"/v2":                                                                  404,
	} {
		text, status, err := get(c.url + path)
		require.NoError(t, err)
		require.Equal(t, want, status, "%s: %s", path, text)
	}
}

// TestSettingsOfOtherNames: a setting that is not known, also one in another
// case, is refused and changes nothing.
func TestSettingsOfOtherNames(t *testing.T) {
	_, c, _ := memoryConsole(t, 0)
	settings := func() string {
		text, _, err := get(c.url + "/v1/settings")
		require.NoError(t, err)
		return text
	}
	before := settings()
	for text, want := range map[string]int{
		`{"Positions":"memory"}`: 422, `{"trades":"memory","KLINES":"memory"}`: 422, `{"positionz":"memory"}`: 422, `{"positions":"Memory"}`: 422,
		`{"positions":"memory","positions":"memory"}`: 400, `{"positions":"memory"`: 400, `{}`: 200,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.url+"/v1/settings/primary", strings.NewReader(text))
		require.NoError(t, err)
		request.Header.Set("Content-Type", "application/json")
		answer, err := c.client.Do(request)
		require.NoError(t, err)
		body, err := io.ReadAll(answer.Body)
		require.NoError(t, err)
		require.NoError(t, answer.Body.Close())
		require.Equal(t, want, answer.StatusCode, "%s: %s", text, body)
		require.Equal(t, before, settings(), text)
	}
	c.setPrimary(t, `{"positions":"memory"}`)
	require.NotEqual(t, before, settings())
}

// TestTradesByCodeOrName: trades carry what their strategy called itself, its
// code or its name; whoever asks by one of them gets both.
func TestTradesByCodeOrName(t *testing.T) {
	in := startIngest(t, t.TempDir(), "--session-policy", "off")
	c := (&deck{ingest: in}).console(t)
	c.awaitReadable(t)
	var tape bytes.Buffer
	event := func(kind, subject, data string) {
		fmt.Fprintf(&tape, `{"specversion":"1.0","id":"n-%d","source":"strategy/n","type":%q,"subject":%q,"time":"2025-10-10T10:00:00+08:00","data":%s}`+"\n", tape.Len(), kind, subject, data)
	}
	event("account.created.v1", "account/acc-01", `{"account_id":"acc-01","account_name":"户","broker":"QMT","initial_capital":"1000000"}`)
	event("strategy.created.v1", "strategy/wencai_v1", `{"strategy_name":"问财选股V1","strategy_code":"wencai_v1","strategy_type":"wencai","version":"1.0.0"}`)
	for i, trade := range [][2]string{{"buy_trade", "wencai_v1"}, {"sell_trade", "问财选股V1"}, {"buy_trade", "other"}, {"sell_trade", ""}, {"buy_trade", "问财选股V1"}} {
		event("trade.recorded.v1", "account/acc-01", fmt.Sprintf(`{"account_id":"acc-01","stock_code":"600000.SH","stock_name":"浦发银行","order_type":%q,"price":"1%d","volume":100,"strategy_name":%q,"traded_at":"2025-10-10T10:00:00+08:00"}`, trade[0], i, trade[1]))
	}
	status, answer := in.post(t, "application/x-ndjson", tape.Bytes())
	require.Equal(t, http.StatusOK, status, "%s", answer)
	for strategy, want := range map[string][]uint64{"wencai_v1": {7, 4, 3}, "问财选股V1": {7, 4, 3}, "other": {5}, "none": nil, "wencai_v1 ": nil, "": {7, 6, 5, 4, 3}} {
		for _, limit := range []int{2, 100} {
			text, status, err := get(fmt.Sprintf("%s/v1/trades?at_least=7&account=acc-01&limit=%d&strategy=%s", c.url, limit, url.QueryEscape(strategy)))
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, status, "%q: %s", strategy, text)
			var got struct{ Trades []struct{ Sequence uint64 } }
			require.NoError(t, json.Unmarshal([]byte(text), &got))
			var sequences []uint64
			for _, trade := range got.Trades {
				sequences = append(sequences, trade.Sequence)
			}
			require.Equal(t, want[:min(limit, len(want))], sequences, "%q", strategy)
		}
	}
	for strategy, want := range map[string]string{"wencai_v1": `"count":3,"buys":2,"sells":1,"amount":"3500.00","profit":"100.00"`, "问财选股V1": `"count":3,"buys":2,"sells":1,"amount":"3500.00","profit":"100.00"`, "other": `"count":1,`, "none": `"groups":[]`} {
		text, status, err := get(c.url + "/v1/trades/aggregate?at_least=7&by=stock&strategy=" + url.QueryEscape(strategy))
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, status, "%q: %s", strategy, text)
		require.Contains(t, text, want, "%q", strategy)
	}
}

// told is one event of the stream.
type told struct {
	id          uint64
	event, data string
}

// stream follows /v1/events until n events came or quiet ends it.
func (c *console) stream(t *testing.T, query string, header string, n int) []told {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url+"/v1/events?"+query, nil)
	require.NoError(t, err)
	if header != "" {
		request.Header.Set("Last-Event-ID", header)
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("status %d: %s", answer.StatusCode, text)
	}
	require.Equal(t, "text/event-stream", answer.Header.Get("Content-Type"))
	var all []told
	var one told
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 1<<20)
	for len(all) < n && lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ": ")
		switch name {
		case "id":
			one.id, err = strconv.ParseUint(value, 10, 64)
			require.NoError(t, err)
		case "event":
			one.event = value
		case "data":
			one.data = value
		case "":
			if one.id > 0 {
				all = append(all, one)
			}
			one = told{}
		}
	}
	require.Len(t, all, n, "the stream ended: %v", lines.Err())
	return all
}

// TestStreamResumesAnywhere reads the log as server-sent events: whole, from the
// middle of frames, filtered, and while it grows.
func TestStreamResumesAnywhere(t *testing.T) {
	in, c, m := memoryConsole(t, 3000)
	out := t.TempDir() + "/all.ndjson"
	mustRun(t, logEnv(in), "replay", "export", "--out", out)
	raw, err := os.ReadFile(out)
	require.NoError(t, err)
	type line struct {
		Type string
		Data struct {
			AccountID string `json:"account_id"`
		}
	}
	var want []told
	accounts := make(map[uint64]string)
	for i, text := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
		var l line
		require.NoError(t, json.Unmarshal([]byte(text), &l))
		if !strings.HasPrefix(l.Type, "user.") && !strings.HasPrefix(l.Type, "role.") {
			want = append(want, told{uint64(i + 1), l.Type, ""})
			accounts[uint64(i+1)] = l.Data.AccountID
		}
	}
	strip := func(all []told) []told {
		for i := range all {
			require.NotContains(t, all[i].data, marketHash, "no password hash leaves")
			require.Contains(t, all[i].data, `"type":"`+all[i].event+`"`)
			all[i].data = ""
		}
		return all
	}
	require.Equal(t, want, strip(c.stream(t, "after=0", "", len(want))))
	for range 10 {
		at := m.random.IntN(len(want) - 20)
		after := strconv.FormatUint(want[at].id, 10)
		require.Equal(t, want[at+1:at+11], strip(c.stream(t, "after="+after, "", 10)), "after %s", after)
		require.Equal(t, want[at+1:at+11], strip(c.stream(t, "after=1", after, 10)), "Last-Event-ID wins")
	}
	filtered := slices.DeleteFunc(slices.Clone(want), func(e told) bool {
		return !strings.HasPrefix(e.event, "position.") && e.event != "trade.recorded.v1" || accounts[e.id] != m.accounts[0].id
	})
	require.NotEmpty(t, filtered)
	require.Equal(t, filtered, strip(c.stream(t, "after=0&type=position.*,trade.recorded.v1&account="+m.accounts[0].id, "", len(filtered))))

	grown := make(chan []told, 1)
	go func() { grown <- c.stream(t, "after=3000&type=trade.*", "", 20) }()
	for range 10 {
		status, answer := in.post(t, "application/x-ndjson", m.next(20))
		require.Equal(t, http.StatusOK, status, "%s", answer)
	}
	select {
	case all := <-grown:
		require.True(t, slices.IsSortedFunc(all, func(a, b told) int { return int(a.id) - int(b.id) }))
		require.Greater(t, all[0].id, uint64(3000))
	case <-time.After(20 * time.Second):
		t.Fatal("events that came later were never told")
	}
}
