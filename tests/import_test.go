package tests

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// imported is what `replay import` says of a folder.
type imported struct {
	Events, Appended, Known, Withheld, Rejected int
}

// importFolder imports a folder of the Python strategies' account and tells the
// exit code, too.
func importFolder(t *testing.T, server *ingest, dir string, args ...string) (answer imported, code int) {
	t.Helper()
	stdout, stderr, code := run(t, replayEnv(server), "replay", append([]string{
		"import", dir, "--account", "10000001", "--json", "--rejects", filepath.Join(t.TempDir(), "rejects.csv"),
	}, args...)...)
	require.NoError(t, json.Unmarshal([]byte(stdout), &answer), "%s%s", stdout, stderr)
	require.Zero(t, answer.Rejected, stdout)
	require.Equal(t, answer.Events, answer.Appended+answer.Known+answer.Withheld, stdout)
	return answer, code
}

// nothing imports a folder of which the log holds all.
func nothing(t *testing.T, server *ingest, dir string, args ...string) {
	t.Helper()
	before := server.log(t).Last
	answer, code := importFolder(t, server, dir, args...)
	require.Zero(t, code, "%+v", answer)
	require.Zero(t, answer.Appended)
	require.Positive(t, answer.Known)
	require.Equal(t, before, server.log(t).Last)
}

// appendText writes at a file's end.
func appendText(t *testing.T, path, text string) {
	t.Helper()
	before, err := os.ReadFile(path)
	if err != nil {
		require.ErrorIs(t, err, os.ErrNotExist)
	}
	require.NoError(t, os.WriteFile(path, append(before, text...), 0o600))
}

// state is what a snapshot of the log says of the account.
func state(t *testing.T, server *ingest) cache {
	t.Helper()
	out := filepath.Join(t.TempDir(), "snapshot")
	mustRun(t, replayEnv(server), "replay", "snapshot", "--out", out)
	return readCache(t, filepath.Join(out, "10000001"))
}

// trade runs the Python strategy over a folder until it has done some steps.
func trade(t *testing.T, server *ingest, folder string, first, end int) {
	t.Helper()
	s := startStrategy(t, "trader", server.url, folder, first, end, newRandom(t).Uint64())
	s.finished(t)
	require.Equal(t, "0", s.said, "refused")
}

// TestImportAfterInstall: what install() of the real Python client recorded is
// not recorded again by an import, whatever the encoding; a row that somebody
// adds is, and two equal rows stay two.
func TestImportAfterInstall(t *testing.T) {
	server, folder := startIngest(t, t.TempDir(), "--session-policy", "off"), t.TempDir()
	status, answer := server.post(t, "application/json", []byte(pythonAccount))
	require.Equal(t, http.StatusOK, status, "%s", answer)
	trade(t, server, folder, 0, 200)
	require.NotEmpty(t, state(t, server).deals)
	nothing(t, server, folder)

	// The strategy goes on, and so do its folder and the log.
	trade(t, server, folder, 200, 260)
	deals := filepath.Join(folder, "deal_hist.csv")
	raw, err := os.ReadFile(deals)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(deals, encodeGBK(t, string(raw)), 0o600))
	nothing(t, server, folder)
	require.NoError(t, os.WriteFile(deals, raw, 0o600))

	const row = "2025-02-03,09:35:00,600000.SH,浦发银行,限买委托,\"手, 补\",8.3,100\r\n"
	appendText(t, deals, row)
	added, code := importFolder(t, server, folder)
	require.Zero(t, code)
	require.Equal(t, 1, added.Appended)
	nothing(t, server, folder)
	appendText(t, deals, row+row)
	added, _ = importFolder(t, server, folder)
	require.Equal(t, 2, added.Appended)
	nothing(t, server, folder)
	require.Equal(t, readCache(t, folder), state(t, server))
}

// TestImportBeforeAndAfterInstall: import, install, import. An old copy of the
// folder turns nothing back unless it is told to.
func TestImportBeforeAndAfterInstall(t *testing.T) {
	server, folder := startIngest(t, t.TempDir(), "--session-policy", "off"), t.TempDir()
	appendText(t, filepath.Join(folder, "assets.csv"), "date,asset\n2024-12-31,1000.0\n")
	appendText(t, filepath.Join(folder, "deal_hist.csv"), "日期,时间,代码,名称,类型,注释,成交价,成交量\n"+
		"2024-12-31,09:35:00,600000.SH,浦发银行,买入成交,,8.3,100\r\n2024-12-31,09:35:00,600000.SH,浦发银行,买入成交,,8.3,100\r\n")
	appendText(t, filepath.Join(folder, "positions.json"), `{"600000.SH": {"day_count": 3}, "_inc_date": "2024-12-31"}`)
	first, code := importFolder(t, server, folder)
	require.Zero(t, code)
	require.Equal(t, first.Events, first.Appended)
	nothing(t, server, folder)

	old := filepath.Join(t.TempDir(), "old")
	trade(t, server, folder, 0, 60)
	nothing(t, server, folder)
	require.NoError(t, os.CopyFS(old, os.DirFS(folder)))
	trade(t, server, folder, 60, 160)
	appendText(t, filepath.Join(folder, "assets.csv"), "2025-01-10,1200.0\n")
	added, code := importFolder(t, server, folder)
	require.Zero(t, code)
	require.Equal(t, 1, added.Appended, "the balance")

	now := state(t, server)
	require.Equal(t, readCache(t, folder), now)
	before := server.log(t).Last
	back, code := importFolder(t, server, old)
	require.Equal(t, 1, code)
	require.Positive(t, back.Withheld)
	require.Zero(t, back.Appended)
	require.Equal(t, before, server.log(t).Last)

	back, code = importFolder(t, server, old, "--overwrite")
	require.Zero(t, code)
	require.Positive(t, back.Appended)
	after, want := state(t, server), readCache(t, old)
	require.Equal(t, want.held, after.held)
	require.Equal(t, now.deals, after.deals)
	require.Equal(t, now.incDate, after.incDate, "no event takes it back")
	nothing(t, server, old, "--overwrite")
	nothing(t, server, old)
}

// TestImportGrownFolder: a folder that went on without anybody recording it is
// recorded as it is now, sold positions too. Balances of older days do not
// become the account's newest.
func TestImportGrownFolder(t *testing.T) {
	server, folder := startIngest(t, t.TempDir(), "--session-policy", "off"), t.TempDir()
	put := func(dir, name, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	grow := func(positions, maxPrices, assets, deals string) {
		put(folder, "positions.json", positions)
		put(folder, "max_price.json", maxPrices)
		put(folder, "min_price.json", "{}")
		put(folder, "assets.csv", "date,asset\n"+assets)
		put(folder, "deal_hist.csv", "日期,时间,代码,名称,类型,注释,成交价,成交量\n"+deals)
	}
	const bought = "2025-01-02,09:35:00,600000.SH,浦发银行,买入成交,,8.3,100\r\n2025-01-02,09:36:00,000001.SZ,平安银行,买入成交,,5.0,100\r\n"
	const sold = "2025-01-03,10:00:00,000001.SZ,平安银行,卖出成交,,5.5,100\r\n"
	grow(`{"600000.SH": {"day_count": 0}, "SZ000001": {"day_count": 0}, "_inc_date": "2025-01-02"}`, `{"000001.SZ": 5.2}`, "2025-01-02,1000.0\n", bought)
	_, code := importFolder(t, server, folder)
	require.Zero(t, code)
	require.Equal(t, readCache(t, folder), state(t, server))
	first := filepath.Join(t.TempDir(), "first")
	require.NoError(t, os.CopyFS(first, os.DirFS(folder)))

	grow(`{"600000.SH": {"day_count": 1}, "SZ000001": {"day_count": null}, "_inc_date": "2025-01-03"}`, `{"600000.SH": 8.8}`,
		"2025-01-02,1000.0\n2025-01-03,1050.0\n2025-01-03,1060.0\n", bought+sold)
	added, code := importFolder(t, server, folder)
	require.Zero(t, code)
	require.Equal(t, 6, added.Appended, "a trade, two balances, a closing, an increment, a price")
	require.Equal(t, readCache(t, folder), state(t, server))
	nothing(t, server, folder)
	nothing(t, server, first)

	// Broken off anywhere, the second import is ended by the next.
	whole := mustRun(t, replayEnv(server), "replay", "export", "--out", "-")
	lines := strings.SplitAfter(strings.TrimSpace(whole), "\n")
	for n := len(lines) - 6; n < len(lines); n++ {
		begun := filepath.Join(t.TempDir(), "begun.ndjson")
		require.NoError(t, os.WriteFile(begun, []byte(strings.Join(lines[:n], "")), 0o600))
		other := startIngest(t, t.TempDir(), "--session-policy", "off")
		mustRun(t, replayEnv(other), "replay", "import", begun)
		_, code := importFolder(t, other, folder)
		require.Zero(t, code)
		require.Equal(t, uint64(len(lines)), other.log(t).Last)
		require.Equal(t, readCache(t, folder), state(t, other))
	}

	past := t.TempDir()
	// An older day fills in, and the account's total assets are the newest day's
	// all the same; another word on a day is told, and left.
	put(past, "assets.csv", "date,asset\n2025-01-01,900.0\n2025-01-02,1000.0\n2025-01-03,1055.0\n")
	added, code = importFolder(t, server, past)
	require.Equal(t, 1, code)
	require.Equal(t, imported{Events: 4, Appended: 2, Known: 1, Withheld: 1}, added)
	require.Equal(t, []string{"2025-01-01 900.00", "2025-01-03 1060.00"}, balances(t, server)[3:])
	put(past, "assets.csv", "date,asset\n2025-01-01,900.0\n2025-01-03,1050.0\n")
	nothing(t, server, past)
	_, code = importFolder(t, server, past, "--overwrite")
	require.Zero(t, code)
	require.Equal(t, []string{"2025-01-03 1050.00"}, balances(t, server)[5:])

	// The first copy of the folder had its turn. Told to, it has it again.
	_, code = importFolder(t, server, first, "--overwrite")
	require.Zero(t, code)
	require.Equal(t, map[string]int{"600000.SH": 0, "000001.SZ": 0}, state(t, server).held)
	require.Equal(t, map[string]float64{"600000.SH": 8.8, "000001.SZ": 5.2}, state(t, server).max, "an import takes no price away")
}

// balances are the recorded balances, in the log's order.
func balances(t *testing.T, server *ingest) (list []string) {
	t.Helper()
	for _, e := range readTape(t, server.nats) {
		if data := e["data"].(map[string]any); e["type"] == "account.capital_updated.v1" {
			list = append(list, data["date"].(string)+" "+data["total_assets"].(string))
		}
	}
	return list
}

// TestPythonReadsRowsAsTheImport: the client's event of a row and the
// importer's are the same row for all order words, in GBK as in UTF-8.
func TestPythonReadsRowsAsTheImport(t *testing.T) {
	var rows bytes.Buffer
	rows.WriteString("日期,时间,代码,名称,类型,注释,成交价,成交量\n")
	for _, word := range []string{"市买委托", "限买委托", "市卖委托", "限卖委托", "买入成交", "卖出成交", "撤单"} {
		for _, rest := range []string{",8.3,100", "开仓,8.300000190734863,100.0", "\"a \"\"quoted\"\", 注释\",12.0005,1600", "\"two\nlines\",9,200", " 空 ,0.001,100"} {
			rows.WriteString("2025-01-02,10:00:00,SH600000,浦发 银行," + word + "," + rest + "\r\n")
			rows.WriteString("2025-01-02,10:00:00,000001.SZ,平安银行," + word + "," + rest + "\r\n")
		}
	}
	for name, raw := range map[string][]byte{"utf-8": rows.Bytes(), "gbk": encodeGBK(t, rows.String())} {
		t.Run(name, func(t *testing.T) {
			server, folder := startIngest(t, t.TempDir()), t.TempDir()
			status, answer := server.post(t, "application/json", []byte(pythonAccount))
			require.Equal(t, http.StatusOK, status, "%s", answer)
			require.NoError(t, os.WriteFile(filepath.Join(folder, "deal_hist.csv"), raw, 0o600))
			cmd := pythonCommand("-c", `
import json, pathlib, sys
from tapedeck.cachefolder import parse_deal, read_rows
for n, row in enumerate(read_rows(pathlib.Path(sys.argv[1]).read_bytes())):
    event = parse_deal(row.fields).event("10000001", "wencai_v1", "", n)
    print(json.dumps({**event, "id": f"another-{n}", "source": "strategy/wencai_v1"}))`, filepath.Join(folder, "deal_hist.csv"))
			cmd.Env = append(os.Environ(), "TZ=CST-8")
			body, err := cmd.Output()
			require.NoError(t, err)
			require.Equal(t, 70, bytes.Count(body, []byte("\n")))
			status, answer = server.post(t, "application/x-ndjson", body)
			require.Equal(t, http.StatusOK, status, "%s", answer)
			nothing(t, server, folder)
		})
	}
}
