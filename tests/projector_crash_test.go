package tests

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newRandom is seeded anew each run; a failure prints the seed.
func newRandom(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("random seed: %d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, seed))
}

// positionFlow makes valid random position events of some accounts.
type positionFlow struct {
	random *rand.Rand
	n      int
	day    time.Time
}

const flowAccounts = 3

func (f *positionFlow) create() []byte {
	var body bytes.Buffer
	for a := range flowAccounts {
		fmt.Fprintf(&body, `{"specversion":"1.0","id":"account-%d","source":"test","type":"account.created.v1","time":"2025-01-02T08:00:00+08:00","data":{"account_id":"1000000%d","account_name":"n","broker":"QMT","initial_capital":"1000.00"}}`+"\n", a, a)
	}
	return body.Bytes()
}

func (f *positionFlow) next(events int) []byte {
	var body bytes.Buffer
	for range events {
		f.n++
		account := fmt.Sprintf("1000000%d", f.random.IntN(flowAccounts))
		stock := fmt.Sprintf("600%03d.SH", f.random.IntN(60))
		var kind, data string
		switch f.random.IntN(10) {
		case 0:
			kind = "closed"
		case 1, 2:
			kind = "opened"
		case 3:
			kind, data = "held_days_set", fmt.Sprintf(`,"held_days":%d`, f.random.IntN(50))
		case 4:
			f.day = f.day.AddDate(0, 0, 1)
			kind = "days_incremented"
		default:
			price := 1 + f.random.IntN(100_000)
			kind, data = "price_marked", fmt.Sprintf(`,"max_price":"%d.%03d"`, price, f.random.IntN(1000))
		}
		fmt.Fprintf(&body, `{"specversion":"1.0","id":"e-%d","source":"test","type":"position.%s.v1","time":"2025-01-02T10:00:00+08:00","data":{"account_id":"%s"`, f.n, kind, account)
		if kind == "days_incremented" {
			fmt.Fprintf(&body, `,"date":"%s"}}`+"\n", f.day.Format(time.DateOnly))
			continue
		}
		fmt.Fprintf(&body, `,"stock_code":"%s"%s}}`+"\n", stock, data)
	}
	return body.Bytes()
}

// blockFile is the log's newest block file.
func blockFile(t testing.TB, data string) string {
	t.Helper()
	var blocks []string
	require.NoError(t, filepath.WalkDir(data, func(path string, _ os.DirEntry, err error) error {
		if filepath.Ext(path) == ".blk" {
			blocks = append(blocks, path)
		}
		return err
	}))
	require.NotEmpty(t, blocks)
	return blocks[len(blocks)-1]
}

// damagedLog fills a log and a file tier, stops both and hands over the block
// file's content to be damaged.
func damagedLog(t *testing.T, damage func(content []byte) []byte) (data string, env []string, last uint64) {
	data = t.TempDir()
	in := startIngest(t, data)
	files := filepath.Join(t.TempDir(), "files")
	env = []string{"TAPEDECK_NATS_URL=" + in.nats, "TAPEDECK_FILE_DIR=" + files}
	flow := &positionFlow{random: newRandom(t), day: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, body := range [][]byte{flow.create(), flow.next(500), flow.next(500), flow.next(500)} {
		status, answer := in.post(t, "application/x-ndjson", body)
		require.Equal(t, 200, status, "%s", answer)
	}
	last = in.log(t).Last
	p := start(t, "projector-file", env, "--metrics", "127.0.0.1:0")
	projected(t, env, "file", last)
	require.Zero(t, p.stop(t))
	require.Zero(t, in.stop(t))
	block := blockFile(t, data)
	content, err := os.ReadFile(block)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(block, damage(content), 0o600))
	return data, env, last
}

// TestDamagedLog: after a flipped byte or a lost end, whoever reads on stops
// and names the sequence, and ingest hands no sequence out again.
func TestDamagedLog(t *testing.T) {
	damages := map[string]func([]byte) []byte{
		"flipped byte at the end": func(content []byte) []byte {
			content[bytes.LastIndex(content, []byte(`"account_id"`))+3] ^= 0x20
			return content
		},
		"flipped byte in the middle": func(content []byte) []byte {
			content[len(content)/3+bytes.Index(content[len(content)/3:], []byte(`"account_id"`))+3] ^= 0x20
			return content
		},
		"cut short": func(content []byte) []byte { return content[:len(content)*2/3] },
	}
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			data, env, last := damagedLog(t, damage)
			in := startIngest(t, data)
			env = append(env, "TAPEDECK_NATS_URL="+in.nats, "TAPEDECK_INGEST_URL="+in.url)

			stdout, stderr, code := run(t, env, "replay", "audit")
			require.Equal(t, 1, code, "%s%s", stdout, stderr)
			require.Regexp(t, `damaged at sequence \d+`, stderr)

			// A new tier reads from the first event, the old one goes on from its
			// checkpoint, which a log cut short no longer holds.
			dirs := []string{filepath.Join(t.TempDir(), "new")}
			if name == "cut short" {
				dirs = []string{envValue(env, "TAPEDECK_FILE_DIR")}
			}
			for _, dir := range dirs {
				p, _ := launch(t, "projector-file", append(env, "TAPEDECK_FILE_DIR="+dir), "--metrics", "127.0.0.1:0")
				require.Equal(t, 1, p.wait(t), p.logText())
				require.Regexp(t, `damaged at sequence \d+`, p.logText())
			}

			status, answer := in.post(t, "application/x-ndjson", []byte(`{"specversion":"1.0","id":"after","source":"test","type":"position.closed.v1","time":"2025-01-02T10:00:00+08:00","data":{"account_id":"10000000","stock_code":"600000.SH"}}`))
			if status == http.StatusOK {
				require.Contains(t, string(answer), fmt.Sprintf(`"sequence":%d`, last+1), "only a log whose end is sound is gone on with")
			} else {
				require.Equal(t, http.StatusServiceUnavailable, status, "%s", answer)
				require.Regexp(t, `damaged at sequence \d+`, string(answer))
			}
			in.stop(t)
		})
	}
}

// envValue is the last value that a list of settings gives.
func envValue(env []string, name string) (value string) {
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			value = v
		}
	}
	return value
}
