package tests

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// pythonRows prints the events that the client makes of the rows of a file.
const pythonRows = `
import json, pathlib, sys
from tapedeck.cachefolder import parse_deal, read_rows
from tapedeck.values import time_text
counts = {}
for row in read_rows(pathlib.Path(sys.argv[1]).read_bytes()):
    try:
        deal = parse_deal(row.fields)
    except ValueError:
        continue
    digest = deal.digest("55009728")
    counts[digest] = counts.get(digest, 0) + 1
    print(json.dumps(deal.event("55009728", "", digest, counts[digest]), ensure_ascii=False))
`

// TestPythonRowsAreGosRows: the client makes the same events, ids included, of
// a row as import and watch do, and rejects the same rows. Otherwise what two
// ways in say of a row would be on the log twice.
func TestPythonRowsAreGosRows(t *testing.T) {
	rows := []string{
		"日期,时间,代码,名称,类型,注释,成交价,成交量",
		"2025-01-02,10:20:08,603390.SH,通达电气,市买委托,问财选股,12.43,1600",
		"2025-01-02,10:20:08,603390.SH,通达电气,限买委托,问财选股,12.43,1600",
		"2025-01-02,10:20:08,603390.SH,通达电气,市卖委托,问财选股,12.43,1600",
		"2025-01-02,10:20:08,603390.SH,通达电气,限卖委托,问财选股,12.43,1600",
		"2025-01-02,10:20:08,SH603390,通达电气,买入成交,,8.300000190734863,100",
		"2025-01-02,10:20:08,SH603390,通达电气,买入成交,,8.3,100.0",
		"2025-01-02,10:20:08,SH603390,通达电气,买入成交,,83e-1,1e2",
		" 2025-01-02 , 9:20:08 , 430047.BJ , 诺思兰德 , 卖出成交 , 尾 , 0.0005 , 100 ",
		"2025-01-02,09:20:08.123456,430047.BJ,诺思兰德,撤单,,0.0015,100.001",
		"2025-01-02,23:59:59,000001.SZ,龘㐂𠮷,撤单,\"two\nlines, \"\"quoted\"\"\",12345678.9995,1",
		"1991-07-01,10:00:00,000001.SZ,平安,撤单,,1,1",
		"2025-01-02,10:20:08,603390.SH,通达电气,市买委托,问财选股,12.43,1600",
		// No deals.
		"2025-02-30,10:20:08,603390.SH,x,撤单,,1,1",
		"20250102,10:20:08,603390.SH,x,撤单,,1,1",
		"2025-01-02,24:20:08,603390.SH,x,撤单,,1,1",
		"2025-01-02,10:2:08,603390.SH,x,撤单,,1,1",
		"2025-01-02,10:20,603390.SH,x,撤单,,1,1",
		"2025-01-02,10:20:08,603390.SH,x,撤,,1,1",
		"2025-01-02,10:20:08,603390.SH,x,撤单,,+1,1",
		"2025-01-02,10:20:08,603390.SH,x,撤单,,.5,1",
		"2025-01-02,10:20:08,603390.SH,x,撤单,,１,1",
		"2025-01-02,10:20:08,603390.SH,x,撤单,,nan,1",
		"2025-01-02,10:20:08,603390.SH,x,撤单,,1000000000000000,1",
		"2025-01-02,10:20:08,603390.SH,x,撤单,,1,1.5",
		"2025-01-02,10:20:08,603390.SH,x,撤单,,1",
		"2025-01-02,10:20:08,603390.SH,a\"\"b,撤单,,1,1",
		"2025-01-02,10:20:08,603390.SH,\"a\"b,撤单,,1,1",
		"   ",
		"2025-01-02,10:20:09,603390.SH,通达电气,买入成交,问财选股,99999999999999.999,1",
	}
	text := []byte(strings.Join(rows, "\r\n") + "\r\n2025-01-02,10:2")
	for _, encoding := range []silverquant.Encoding{silverquant.UTF8, silverquant.GBK} {
		t.Run(string(encoding), func(t *testing.T) {
			raw, err := encoding.Encode(text)
			require.NoError(t, err)
			path := filepath.Join(t.TempDir(), silverquant.DealsFile)
			require.NoError(t, os.WriteFile(path, raw, 0o600))
			file, err := os.Open(path)
			require.NoError(t, err)
			defer file.Close()
			counts := make(map[string]int)
			var expected []string
			for deal, err := range silverquant.ReadDeals(path, file) {
				var reject *silverquant.Reject
				if errors.As(err, &reject) {
					continue
				}
				require.NoError(t, err)
				entry, err := silverquant.DealEntry("55009728", deal.Deal)
				require.NoError(t, err)
				counts[entry.Digest()]++
				event := entry.Nth(counts[entry.Digest()])
				require.NoError(t, event.Validate())
				expected = append(expected, canonical(t, event))
			}
			out, err := pythonCommand("-c", pythonRows, path).Output()
			require.NoError(t, err)
			var made []string
			for line := range strings.Lines(string(out)) {
				event, err := events.Decode([]byte(strings.TrimSpace(line)))
				require.NoError(t, err, line)
				made = append(made, canonical(t, event))
			}
			require.Len(t, expected, 13)
			require.Equal(t, expected, made)
		})
	}
}

func canonical(t *testing.T, e *events.Event) string {
	t.Helper()
	line, err := e.AppendJSON(nil)
	require.NoError(t, err)
	return string(line)
}

// pythonInstalls records a folder as it is, and adds a row of its own.
const pythonInstalls = `
import sys, tapedeck.silverquant
from threading import Lock
from tests import standin
url, folder, second = sys.argv[1:]
recorder = tapedeck.silverquant.install("10000001", folder, url=url, module="tests.standin", read_url="http://127.0.0.1:9", strategy_name="wencai_v1")
standin.record_deal(Lock(), folder + "/deal_hist.csv", str(1735784400 + int(second)), "600000.SH", "浦发银行", "买入成交", "开仓", 8.3, 100)
assert recorder.tape.flush(30), recorder.tape.status()
assert recorder.tape.status().rejected == 0
tapedeck.silverquant.uninstall()
`

// TestPythonRowsAreOneEvent: whichever of install, watch and import sees a row,
// and in whatever order, the row is on the log once.
func TestPythonRowsAreOneEvent(t *testing.T) {
	dir, folder := t.TempDir(), t.TempDir()
	deals := filepath.Join(folder, silverquant.DealsFile)
	server := startIngest(t, dir) // with its own policy for what is outside the session
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	install := func(second string) {
		t.Helper()
		cmd := pythonCommand("-c", pythonInstalls, server.url, folder, second)
		cmd.Env = append(os.Environ(), "TZ=CST-8")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	install("8")
	install("8") // an equal row: two trades
	require.Equal(t, uint64(3), server.log(t).Last)
	watch := func() {
		t.Helper()
		server.kill()
		server = startIngest(t, dir, "--watch", folder+"=10000001")
		require.Eventually(t, func() bool { return server.watched(t).InStep }, 20*time.Second, 5*time.Millisecond)
		server.kill()
		server = startIngest(t, dir)
	}
	watch()
	require.Equal(t, uint64(3), server.log(t).Last)
	appendText(t, deals, "2025-01-02,20:00:00,600000.SH,浦发银行,限买委托,,8.3,100\r\n")
	watch()
	require.Equal(t, uint64(4), server.log(t).Last)
	// What install had not seen it publishes, and once more all of a file that became another.
	install("9")
	require.Equal(t, uint64(5), server.log(t).Last)
	raw, err := os.ReadFile(deals)
	require.NoError(t, err)
	header, rest, _ := strings.Cut(string(raw), "\n")
	require.NoError(t, os.WriteFile(deals, []byte(header+"\n2025-01-02,09:31:00,000001.SZ,平安银行,撤单,,8.3,100\r\n"+rest), 0o600))
	install("8")
	require.Equal(t, uint64(7), server.log(t).Last)
	nothing(t, server, folder)
}

// TestPythonHalfFiles: a strategy that was killed while it wrote a file of its
// folder, or whose deals have a row that nobody can read, loses nothing.
func TestPythonHalfFiles(t *testing.T) {
	folder := t.TempDir()
	server := startIngest(t, t.TempDir())
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	put := func(name, text string) {
		t.Helper()
		require.NoError(t, os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600))
	}
	files := map[string]string{
		"positions.json": `{"600000.SH": {"day_count": 3}, "000001.SZ": {"day_count": 7}}`,
		"max_price.json": `{"600000.SH": 10.5, "000001.SZ": 9.9}`,
		"min_price.json": `{"600000.SH": 9.5, "000001.SZ": 8.9}`,
	}
	for name, text := range files {
		put(name, text)
	}
	put(silverquant.DealsFile, silverquant.DealsHeader)
	install := func() {
		t.Helper()
		out, err := pythonCommand("-c", `
import sys, tapedeck.silverquant
recorder = tapedeck.silverquant.install("10000001", sys.argv[2], url=sys.argv[1], module="tests.standin", read_url="http://127.0.0.1:9")
assert recorder.tape.flush(30), recorder.tape.status()
tapedeck.silverquant.uninstall()`, server.url, folder).CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	install()
	recorded := server.log(t).Last
	for name, text := range files {
		for _, half := range []string{"", text[:len(text)/2]} {
			put(name, half)
			install()
			require.Equal(t, recorded, server.log(t).Last, "%s: %s", name, half)
		}
		require.NoError(t, os.Remove(filepath.Join(folder, name)))
		install()
		put(name, text)
		install()
		require.Equal(t, recorded, server.log(t).Last, name)
	}
	good := "2025-01-02,10:20:0%d,600000.SH,浦发银行,买入成交,,8.3,100\r\n"
	appendText(t, filepath.Join(folder, silverquant.DealsFile),
		fmt.Sprintf(good, 1)+"2025-01-02,11:00:00,000001.SZ,\xe5\xb9\xff,\xe4\xb9,x,8.3,100\r\n"+fmt.Sprintf(good, 2)+
			"2025-01-02,11:00:00,000001.SZ,"+strings.Repeat("\x00", 200_000)+"\r\n"+fmt.Sprintf(good, 3))
	install()
	require.Equal(t, recorded+3, server.log(t).Last)
}
