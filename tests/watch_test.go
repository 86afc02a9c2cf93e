package tests

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
)

const (
	watchAccount = "55009728"
	watchSteps   = 500
	watchKills   = 20
)

// cacheWriter writes a cache folder as the existing helpers do: JSON files
// rewritten in place, truncated first and written in several small writes; CSV
// files grow. It remembers every content that a file ever had as a whole.
type cacheWriter struct {
	t      testing.TB
	dir    string
	random *rand.Rand
	pause  func(most time.Duration)

	held     map[string]any // day_count, nil when closed
	max, min map[string]string
	day      time.Time
	incDate  string
	deals    [][]string
	assets   [][]string
	second   int
	// written are the whole contents, by file and hash.
	written map[string]map[string][]byte
	// ever counts, for each row of deal_hist.csv, how many there were at once.
	ever map[string]int
}

func newCacheWriter(t testing.TB, dir string, random *rand.Rand) *cacheWriter {
	s := &cacheWriter{
		t: t, dir: dir, random: random, held: map[string]any{}, max: map[string]string{}, min: map[string]string{},
		day: time.Date(2025, 1, 2, 0, 0, 0, 0, time.UTC), written: map[string]map[string][]byte{}, ever: map[string]int{},
		// The strategy's own time between two writes, not a wait for anything.
		pause: func(most time.Duration) { <-time.After(time.Duration(random.Int64N(int64(most)))) },
	}
	for _, name := range []string{"positions.json", "max_price.json", "min_price.json", "deal_hist.csv", "assets.csv"} {
		s.written[name] = map[string][]byte{"": nil, sumOf(nil): nil}
	}
	return s
}

func sumOf(raw []byte) string {
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:])
}

func (s *cacheWriter) wrote(name string, content []byte) { s.written[name][sumOf(content)] = content }

// write is open(path, flag) and some writes. The content is remembered before:
// it is whole the moment that the last write has happened.
func (s *cacheWriter) write(name string, flag int, raw []byte) {
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY|os.O_CREATE|flag, 0o600)
	require.NoError(s.t, err)
	defer f.Close()
	for len(raw) > 0 {
		n := min(len(raw), 1+s.random.IntN(len(raw)+20))
		_, err := f.Write(raw[:n])
		require.NoError(s.t, err)
		if raw = raw[n:]; len(raw) > 0 {
			s.pause(2 * time.Millisecond)
		}
	}
}

func (s *cacheWriter) saveJSON(name string, v any) {
	raw, err := json.MarshalIndent(v, "", "    ")
	require.NoError(s.t, err)
	s.wrote(name, raw)
	s.write(name, os.O_TRUNC, raw)
}

func (s *cacheWriter) savePositions() {
	all := map[string]any{}
	for code, days := range s.held {
		all[code] = map[string]any{"day_count": days}
	}
	if s.incDate != "" {
		all["_inc_date"] = s.incDate
	}
	s.saveJSON("positions.json", all)
}

func (s *cacheWriter) savePrices(name string, prices map[string]string) {
	numbers := map[string]json.Number{}
	for code, price := range prices {
		numbers[code] = json.Number(price)
	}
	s.saveJSON(name, numbers)
}

// appendRow is csv.writer on an open file; the header comes with the first row.
func (s *cacheWriter) appendRow(name, header string, row []string) {
	before, _ := os.ReadFile(filepath.Join(s.dir, name))
	var added bytes.Buffer
	if len(before) == 0 {
		added.WriteString(header)
		s.wrote(name, encodeGBK(s.t, header))
	}
	w := csv.NewWriter(&added)
	w.UseCRLF = true
	require.NoError(s.t, w.Write(row))
	w.Flush()
	raw := encodeGBK(s.t, added.String())
	s.wrote(name, slices.Concat(before, raw))
	s.write(name, os.O_APPEND, raw)
}

func encodeGBK(t testing.TB, text string) []byte {
	raw, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(text))
	require.NoError(t, err)
	return raw
}

const (
	dealHeader  = "日期,时间,代码,名称,类型,注释,成交价,成交量\n"
	assetHeader = "date,asset\n"
)

func (s *cacheWriter) recordDeal() {
	if s.random.IntN(4) > 0 || len(s.deals) == 0 { // else: the same fill twice in one second
		s.second++
		at := time.Date(2025, 1, 2, 9, 30, 0, 0, time.UTC).Add(time.Duration(s.second) * time.Second)
		s.deals = append(s.deals, []string{
			s.day.Format(time.DateOnly), at.Format(time.TimeOnly), s.code(), "浦发银行",
			[]string{"限买委托", "买入成交", "卖出成交", "撤单"}[s.random.IntN(4)], "问财选股", s.price(), fmt.Sprint(100 * (1 + s.random.IntN(9))),
		})
	} else {
		s.deals = append(s.deals, s.deals[len(s.deals)-1])
	}
	s.appendRow("deal_hist.csv", dealHeader, s.deals[len(s.deals)-1])
	s.countDeals()
}

func (s *cacheWriter) countDeals() {
	count := map[string]int{}
	for _, row := range s.deals {
		text := strings.Join(row, ",")
		count[text]++
		s.ever[text] = max(s.ever[text], count[text])
	}
}

// cutDeals rewrites deal_hist.csv with the first rows only.
func (s *cacheWriter) cutDeals() {
	s.deals = s.deals[:s.random.IntN(len(s.deals)+1)]
	require.NoError(s.t, os.Truncate(filepath.Join(s.dir, "deal_hist.csv"), 0))
	for _, row := range s.deals {
		s.appendRow("deal_hist.csv", dealHeader, row)
	}
}

func (s *cacheWriter) nextDay() {
	s.day = s.day.AddDate(0, 0, 1)
	for s.day.Weekday() == time.Saturday || s.day.Weekday() == time.Sunday {
		s.day = s.day.AddDate(0, 0, 1)
	}
	s.incDate = s.day.Format(time.DateOnly)
	for code, days := range s.held {
		if days, open := days.(int); open {
			s.held[code] = days + 1
		}
	}
	s.savePositions()
}

func (s *cacheWriter) recordAsset() {
	row := []string{s.day.Format(time.DateOnly), fmt.Sprintf("%d.%d", 1_000_000+s.random.IntN(9999), s.random.IntN(10))}
	s.assets = append(s.assets, row)
	s.appendRow("assets.csv", assetHeader, row)
}

func (s *cacheWriter) code() string { return fmt.Sprintf("6%05d.SH", s.random.IntN(12)) }
func (s *cacheWriter) price() string {
	return fmt.Sprintf("%d.%03d", 5+s.random.IntN(90), s.random.IntN(1000))
}

// open lists the open positions.
func (s *cacheWriter) open() []string {
	var codes []string
	for _, code := range slices.Sorted(maps.Keys(s.held)) {
		if s.held[code] != nil {
			codes = append(codes, code)
		}
	}
	return codes
}

// step is one of the things that a strategy does.
func (s *cacheWriter) step() {
	open := s.open()
	switch what := s.random.IntN(100); {
	case what < 20: // buy
		for range 1 + s.random.IntN(3) {
			s.held[s.code()] = 0
		}
		s.recordDeal()
		s.savePositions()
	case what < 50: // a tick
		for _, code := range open {
			s.max[code], s.min[code] = s.price(), s.price()
		}
		s.savePrices("max_price.json", s.max)
		s.savePrices("min_price.json", s.min)
	case what < 62 && len(open) > 0: // sell
		code := open[s.random.IntN(len(open))]
		s.recordDeal()
		if s.held[code] = nil; s.random.IntN(2) == 0 {
			delete(s.held, code)
		}
		delete(s.max, code)
		delete(s.min, code)
		s.savePositions()
		s.savePrices("max_price.json", s.max)
		s.savePrices("min_price.json", s.min)
	case what < 75:
		s.nextDay()
		s.recordAsset()
	case what < 90:
		s.recordDeal()
	case what < 94 && len(s.max) > 0: // a price is taken back, its position stays
		delete(s.max, slices.Sorted(maps.Keys(s.max))[s.random.IntN(len(s.max))])
		s.savePrices("max_price.json", s.max)
	case what < 97: // a file is deleted; the helpers write it anew
		require.NoError(s.t, os.RemoveAll(filepath.Join(s.dir, "min_price.json")))
		s.pause(5 * time.Millisecond)
		clear(s.min)
		s.savePrices("min_price.json", s.min)
	case what < 98: // all is lost; the day goes on
		clear(s.held)
		s.saveJSON("positions.json", map[string]any{})
		s.nextDay()
	default:
		s.recordAsset()
	}
}

// watchStatus is the part of GET /v1/watch that the test needs.
type watchStatus struct {
	InStep   bool              `json:"in_step"`
	Notified bool              `json:"notified"`
	Drifts   []json.RawMessage `json:"drifts"`
	Step     *watchStep        `json:"step"`
}

type watchStep struct {
	Sequence uint64 `json:"sequence"`
	Files    map[string]struct {
		SHA256 string `json:"sha256"`
	} `json:"files"`
}

func (i *ingest) watched(t testing.TB) watchStatus {
	t.Helper()
	answer, err := http.Get(i.url + "/v1/watch")
	require.NoError(t, err)
	defer answer.Body.Close()
	var all struct {
		Folders []watchStatus `json:"folders"`
	}
	require.NoError(t, json.NewDecoder(answer.Body).Decode(&all))
	require.Len(t, all.Folders, 1)
	return all.Folders[0]
}

// awaitStep waits until the watcher says that the log equals the folder as it
// is now, and returns the step.
func (s *cacheWriter) awaitStep(i *ingest) watchStep {
	s.t.Helper()
	var status watchStatus
	require.Eventually(s.t, func() bool {
		if status = i.watched(s.t); !status.InStep {
			return false
		}
		for name := range s.written {
			raw, err := os.ReadFile(filepath.Join(s.dir, name))
			is := status.Step.Files[name].SHA256
			if is != sumOf(raw) && (is != "" || err == nil && len(raw) > 0) {
				return false
			}
		}
		return true
	}, 20*time.Second, 5*time.Millisecond, "last: %v", func() any { return status })
	return *status.Step
}

// TestWatchedFolderEqualsLog drives a folder as strategies do while the watcher
// is killed at random instants: at every step that it reported, and at the end,
// the log's state of the account is what the files held, and nothing is on the
// log twice.
func TestWatchedFolderEqualsLog(t *testing.T) {
	t.Parallel()
	random := newRandom(t)
	data, dir := t.TempDir(), t.TempDir()
	s := newCacheWriter(t, dir, rand.New(rand.NewPCG(random.Uint64(), 0)))
	s.recordAsset() // before the first start: the account's capital
	s.recordDeal()
	up := func() *ingest {
		return startIngest(t, data, "--watch", dir+"="+watchAccount, "--watch-patience", "300ms", "--watch-scan", "500ms", "--log-level", "debug")
	}
	server := up()
	logs := []*process{server.process}
	kills := make([]int, watchKills)
	for i := range kills {
		kills[i] = random.IntN(watchSteps - 20)
	}
	slices.Sort(kills)
	var step, survived atomic.Int64
	restarted := make(chan struct{}, watchKills)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range watchSteps {
			// Some steps happen while ingest is down, not all that are left.
			for n := survived.Load(); n < watchKills && i > kills[n]+8; n = survived.Load() {
				<-restarted
			}
			s.step()
			step.Store(int64(i + 1))
			s.pause(60 * time.Millisecond)
		}
	}()
	for _, at := range kills {
		require.Eventually(t, func() bool { return step.Load() >= int64(at) }, time.Minute, time.Millisecond)
		<-time.After(time.Duration(random.IntN(60)) * time.Millisecond) // the random instant
		server.kill()
		server = up()
		logs = append(logs, server.process)
		survived.Add(1)
		restarted <- struct{}{}
	}
	<-done
	s.nextDay()
	final := s.awaitStep(server)
	if len(s.deals) > 0 {
		s.cutDeals()
		final = s.awaitStep(server)
	}
	server.kill()
	server = up()
	logs = append(logs, server.process)
	again := s.awaitStep(server)
	require.Equal(t, final.Sequence, again.Sequence, "a restart records nothing")
	require.Empty(t, server.watched(t).Drifts)

	tape := readTape(t, server.nats)
	steps := []watchStep{final}
	for _, p := range logs {
		steps = append(steps, reportedSteps(p.logText())...)
	}
	require.Greater(t, len(steps), watchSteps/10)
	slices.SortStableFunc(steps, func(a, b watchStep) int { return int(a.Sequence) - int(b.Sequence) })
	fold := newWatchFold()
	for _, reported := range steps {
		for uint64(fold.at) < reported.Sequence {
			fold.apply(t, tape[fold.at])
		}
		s.check(reported, fold)
	}
	require.Equal(t, s.ever, fold.deals, "each row once")
	t.Logf("%d steps of the strategy, %d kills, %d reported steps, %d events", watchSteps, watchKills, len(steps), len(tape))
}

// reportedSteps are the steps in ingest's log.
func reportedSteps(text string) []watchStep {
	var steps []watchStep
	for line := range strings.Lines(text) {
		var entry struct {
			Message string `json:"msg"`
			watchStep
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Message == "watch: in step" {
			steps = append(steps, entry.watchStep)
		}
	}
	return steps
}

// readTape reads the events of the log.
func readTape(t testing.TB, url string) []map[string]any {
	t.Helper()
	var tape []map[string]any
	text := mustRun(t, []string{"TAPEDECK_NATS_URL=" + url}, "replay", "export", "--out", "-")
	for line := range strings.Lines(text) {
		var e map[string]any
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		tape = append(tape, e)
	}
	return tape
}

// watchFold is this test's own fold of the log.
type watchFold struct {
	at       int
	held     map[string]int
	max, min map[string]string
	incDate  string
	deals    map[string]int
	assets   map[string]string
}

func newWatchFold() *watchFold {
	return &watchFold{held: map[string]int{}, max: map[string]string{}, min: map[string]string{}, deals: map[string]int{}, assets: map[string]string{}}
}

func (f *watchFold) apply(t testing.TB, e map[string]any) {
	f.at++
	data := e["data"].(map[string]any)
	code, _ := data["stock_code"].(string)
	switch e["type"] {
	case "account.created.v1":
	case "position.opened.v1", "position.held_days_set.v1":
		f.held[code] = int(data["held_days"].(float64))
	case "position.days_incremented.v1":
		require.Greater(t, data["date"], f.incDate)
		f.incDate = data["date"].(string)
		for code := range f.held {
			f.held[code]++
		}
	case "position.price_marked.v1":
		if price, has := data["max_price"].(string); has {
			f.max[code] = price
		}
		if price, has := data["min_price"].(string); has {
			f.min[code] = price
		}
	case "position.closed.v1":
		delete(f.held, code)
		delete(f.max, code)
		delete(f.min, code)
	case "account.capital_updated.v1":
		f.assets[data["date"].(string)] = data["total_assets"].(string)
	case "trade.recorded.v1":
		word := map[string]string{"buy_order": "限买委托", "buy_trade": "买入成交", "sell_trade": "卖出成交", "cancel": "撤单"}[data["order_type"].(string)]
		day, clock, _ := strings.Cut(data["traded_at"].(string), "T")
		f.deals[strings.Join([]string{day, clock[:8], code, data["stock_name"].(string), word, data["remark"].(string), data["price"].(string), fmt.Sprint(data["volume"])}, ",")]++
	default:
		t.Fatalf("sequence %d is a %s", f.at, e["type"])
	}
}

// check holds the fold against the contents of the files that a step names.
func (s *cacheWriter) check(step watchStep, fold *watchFold) {
	t := s.t
	content := func(name string) []byte {
		raw, known := s.written[name][step.Files[name].SHA256]
		require.True(t, known, "sequence %d: %s never held %v as a whole", step.Sequence, name, step.Files[name])
		return raw
	}
	object := func(name string) map[string]any {
		m := map[string]any{}
		if raw := content(name); len(raw) > 0 {
			dec := json.NewDecoder(bytes.NewReader(raw))
			dec.UseNumber()
			require.NoError(t, dec.Decode(&m))
		}
		return m
	}
	held, incDate := map[string]int{}, ""
	for code, v := range object("positions.json") {
		if code == "_inc_date" {
			incDate = v.(string)
		} else if days := v.(map[string]any)["day_count"]; days != nil {
			n, err := days.(json.Number).Int64()
			require.NoError(t, err)
			held[code] = int(n)
		}
	}
	require.Equal(t, held, fold.held, "held days at sequence %d", step.Sequence)
	require.Equal(t, incDate, fold.incDate, "_inc_date at sequence %d", step.Sequence)
	for name, prices := range map[string]map[string]string{"max_price.json": fold.max, "min_price.json": fold.min} {
		want := map[string]string{}
		for code, v := range object(name) {
			want[code] = v.(json.Number).String()
		}
		require.Equal(t, want, prices, "%s at sequence %d", name, step.Sequence)
	}
	rows := func(name string) [][]string {
		text, err := simplifiedchinese.GBK.NewDecoder().Bytes(content(name))
		require.NoError(t, err)
		all, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		require.NoError(t, err)
		return all[min(1, len(all)):]
	}
	count := map[string]int{}
	for _, row := range rows("deal_hist.csv") {
		text := strings.Join(row, ",")
		count[text]++
		require.GreaterOrEqual(t, fold.deals[text], count[text], "%s at sequence %d", text, step.Sequence)
	}
	total := map[string]string{}
	for _, row := range rows("assets.csv") {
		total[row[0]] = row[1] + "0"
	}
	require.Equal(t, total, fold.assets, "assets at sequence %d", step.Sequence)
}
