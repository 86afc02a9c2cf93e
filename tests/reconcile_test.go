package tests

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"
)

// TestReconcile: positions out of the log's trades, and the open ones, against
// statements as brokers export them.
func TestReconcile(t *testing.T) {
	server := startIngest(t, t.TempDir())
	var lines []string
	add := func(typ, data string) {
		lines = append(lines, feedEvent(fmt.Sprintf("e%d", len(lines)), typ, data))
	}
	deal := func(code, order string, volume int) {
		add("trade.recorded.v1", fmt.Sprintf(`{"account_id":"55009728","stock_code":%q,"stock_name":"股票","order_type":%q,"price":"8.300","volume":%d,"traded_at":"2025-01-02T10:00:00+08:00"}`, code, order, volume))
	}
	open := func(code string) {
		add("position.opened.v1", fmt.Sprintf(`{"account_id":"55009728","stock_code":%q}`, code))
	}
	add("account.created.v1", `{"account_id":"55009728","account_name":"n","broker":"QMT","initial_capital":"1000.00"}`)
	deal("600000.SH", "buy_order", 900) // an order holds nothing
	deal("600000.SH", "buy_trade", 900)
	deal("600000.SH", "sell_trade", 100)
	deal("600000.SH", "cancel", 50)
	open("600000.SH")
	deal("000001.SZ", "buy_trade", 200)
	open("000001.SZ")
	deal("300750.SZ", "buy_trade", 100) // sold out
	deal("300750.SZ", "sell_trade", 100)
	status, answer := server.post(t, "application/x-ndjson", []byte(strings.Join(lines, "\n")))
	require.Equal(t, http.StatusOK, status, "%s", answer)

	dir, env := t.TempDir(), []string{"TAPEDECK_NATS_URL=" + server.nats, "TAPEDECK_INGEST_URL=" + server.url}
	file := func(name, text string, gbk bool) string {
		raw := []byte(text)
		if gbk {
			var err error
			raw, err = simplifiedchinese.GBK.NewEncoder().Bytes(raw)
			require.NoError(t, err)
		}
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, raw, 0o600))
		return path
	}
	type brk struct {
		StockCode       string   `json:"stock_code"`
		LogVolume       int64    `json:"log_volume"`
		StatementVolume int64    `json:"statement_volume"`
		Open            bool     `json:"open"`
		Kinds           []string `json:"kinds"`
	}
	reconcile := func(path string, args ...string) (breaks []brk, stocks, code int, stderr string) {
		stdout, stderr, code := run(t, env, "replay", append([]string{"reconcile", "--json", "--account", "55009728", "--statement", path}, args...)...)
		var a struct {
			Stocks int   `json:"stocks"`
			Breaks []brk `json:"breaks"`
		}
		if code < 2 {
			require.NoError(t, json.Unmarshal([]byte(stdout), &a), "%s%s", stdout, stderr)
		}
		return a.Breaks, a.Stocks, code, stderr
	}

	for name, text := range map[string]string{
		"qmt":    "资金账号,证券代码,证券名称,股票余额,可用余额,成本价,交易市场\r\n55009728,600000,浦发银行,800,800,8.3,上海A股\r\n55009728,000001,平安银行,200,0,8.3,深圳A股\r\n55009728,300750,宁德时代,0,0,0,深圳A股\r\n",
		"gm":     "\ufeffsymbol,volume,available\n600000.SH,800.0,800\nSZ000001,150,150\n000001.SZ,50,50\n",
		"tabs":   "客户持仓\n2025-06-30\n证券代码\t证券名称\t持仓数量\t可用数量\n=\"600000\"\t浦发银行\t800\t800\n=\"000001\"\t平安银行\t\"200\"\t0\n\t合计\t1,000\t\n",
		"eaten0": "股票代码,当前拥股\n600000,800\n1,200\n",
	} {
		for _, gbk := range []bool{false, true} {
			if gbk && name == "gm" {
				continue // a byte order mark is UTF-8's
			}
			breaks, stocks, code, stderr := reconcile(file(name+".csv", text, gbk))
			require.Zero(t, code, "%s: %v%s", name, breaks, stderr)
			require.Empty(t, breaks)
			require.GreaterOrEqual(t, stocks, 2)
		}
	}

	// The broker has fewer shares, none, and some that nobody knows of.
	own := file("own.csv", "标的,余额\n600000.SH,700\n688981.SH,100\n", false)
	_, _, code, stderr := reconcile(own)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "--columns")
	breaks, _, code, _ := reconcile(own, "--columns", "code=标的,volume=余额")
	require.Equal(t, 1, code)
	require.Equal(t, []brk{
		{"000001.SZ", 200, 0, true, []string{"volume", "open_at_zero"}},
		{"600000.SH", 800, 700, true, []string{"volume"}},
		{"688981.SH", 0, 100, false, []string{"volume", "not_open"}},
	}, breaks)
	// Several accounts, sums, GM's codes, what is no A-share, and UTF-16.
	odd := "资金账号,证券代码,证券名称,股票余额,交易市场\n055009728,SHSE.600000,浦发银行,800,\n55009728,SZSE.000001,平安银行,200,\n7654321,600000,浦发银行,300,\n" +
		"55009728,204001,GC001,10,\n55009728,888880,标准券,10,上海A股\n55009728,00700,腾讯控股,100,沪港通\n合计,600000,,1410,\n,合计,,1410,\n"
	for name, bom := range map[string]unicode.Endianness{"le": unicode.LittleEndian, "be": unicode.BigEndian} {
		raw, err := unicode.UTF16(bom, unicode.UseBOM).NewEncoder().String(odd)
		require.NoError(t, err)
		path := file(name+".csv", raw, false)
		breaks, stocks, code, stderr := reconcile(path, "--no-record")
		require.Zero(t, code, "%v%s", breaks, stderr)
		require.Equal(t, 2, stocks)
		stdout, _, _ := run(t, env, "replay", "reconcile", "--no-record", "--json", "--account", "55009728", "--statement", path)
		var a struct {
			Compared bool `json:"volumes_compared"`
			Ignored  []struct {
				Line int    `json:"line"`
				Code string `json:"code"`
			} `json:"ignored"`
		}
		require.NoError(t, json.Unmarshal([]byte(stdout), &a))
		require.True(t, a.Compared)
		require.Len(t, a.Ignored, 3)
		require.Equal(t, 7, a.Ignored[2].Line)
		require.Equal(t, "00700", a.Ignored[2].Code)
	}
	other := file("other.csv", "资金账号,证券代码,股票余额\n7654321,600000,800\n", false)
	_, _, code, stderr = reconcile(other, "--no-record")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "no row of 55009728")
	_, _, code, _ = reconcile(other, "--no-record", "--columns", "account=none")
	require.Equal(t, 1, code)

	// As of an earlier moment there was less. What was found at a later one stays
	// with ingest; that it does not answer is no failure.
	breaks, _, code, stderr = reconcile(file("before.csv", "证券代码,股票余额\n600000,900\n", false), "--until-sequence", "3")
	require.Equal(t, 1, code)
	require.Equal(t, []brk{{"600000.SH", 900, 900, false, []string{"not_open"}}}, breaks)
	require.Contains(t, stderr, "not recorded for replay phase: the reconciliation at sequence 10 is a later one")
	whole := filepath.Join(dir, "qmt.csv")
	_, _, code, stderr = reconcile(whole, "--ingest-url", "http://127.0.0.1:1")
	require.Zero(t, code)
	require.Contains(t, stderr, "warning: ingest did not record")
	_, _, code, stderr = reconcile(whole, "--no-record")
	require.Zero(t, code)
	require.Empty(t, stderr)

	for name, text := range map[string]string{
		"volume":  "证券代码,股票余额\n600000,8o0\n",
		"part":    "证券代码,股票余额\n600000,800.5\n",
		"no code": "证券代码,股票余额\nGC001,800\n",
		"empty":   "",
	} {
		_, _, code, stderr := reconcile(file("bad.csv", text, false))
		require.Equal(t, 2, code, "%s: %s", name, stderr)
	}
	_, stderr, code = run(t, env, "replay", "reconcile", "--account", "unknown1", "--statement", own, "--columns", "code=标的,volume=余额")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "unknown1")
	stdout, _, code := run(t, env, "replay", "reconcile", "--account", "55009728", "--statement", own, "--columns", "code=标的,volume=余额")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "another number of shares; position open, no shares")

	// Before the first trade there are orders only: how many shares is not known.
	stdout, _, code = run(t, env, "replay", "reconcile", "--account", "55009728", "--statement", file("orders.csv", "证券代码,股票余额\n600000,800\n", false), "--until-sequence", "2", "--no-record")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "shares were not compared")
	require.Contains(t, stdout, "no open position")
	require.NotContains(t, stdout, "another number of shares")
}
