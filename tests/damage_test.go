package tests

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// damage is one thing done to a tier by hand, and the rows that are wrong then.
type damage struct {
	what string
	does []string
	rows []string // kind/key
}

// damages are those of each tier: SQL, Redis commands, or for files lines of
// "path: old text -> new text", where "* ->" is the whole file and nothing
// removes it.
var damages = map[string][]damage{
	"redis": {
		{"wrong decimal", []string{"HSET max_prices:acc-01 600000.SH 8.301"}, []string{"max_price/acc-01/600000.SH"}},
		{"decimal without its zeros", []string{"HSET max_prices:acc-01 600001.SH 9.5"}, []string{"max_price/acc-01/600001.SH"}},
		{"missing field", []string{"HDEL min_prices:acc-01 600000.SH"}, []string{"min_price/acc-01/600000.SH"}},
		{"extra field", []string{"HSET held_days:acc-01 999999.SH 5"}, []string{"held_days/acc-01/999999.SH"}},
		{"one day too many", []string{"HINCRBY held_days:acc-01 600000.SH 1"}, []string{"held_days/acc-01/600000.SH"}},
		{"no number", []string{"HSET held_days:acc-01 600001.SH many"}, []string{"held_days/acc-01/600001.SH"}},
		{"stale _inc_date", []string{"SET _inc_date:acc-01 2025-03-03"}, []string{"inc_date/acc-01"}},
		{"missing key", []string{"DEL held_days:acc-02"}, []string{"held_days/acc-02/600000.SH", "held_days/acc-02/600001.SH"}},
		{"key of another type", []string{"DEL max_prices:acc-02", "SADD max_prices:acc-02 600000.SH"}, []string{"max_price/acc-02", "max_price/acc-02/600000.SH"}},
		{"account that never was", []string{"HSET held_days:nobody-1 600000.SH 1"}, []string{"held_days/nobody-1/600000.SH"}},
	},
	"mysql": {
		{"a cent", []string{"UPDATE account SET total_assets = total_assets + 0.01 WHERE account_id = 'acc-01'"}, []string{"account/acc-01"}},
		{"trailing space", []string{"UPDATE account SET account_name = CONCAT(account_name, ' ') WHERE account_id = 'acc-02'"}, []string{"account/acc-02"}},
		{"missing binding", []string{"DELETE FROM account_strategy WHERE account_id = (SELECT id FROM account WHERE account_id = 'acc-01')"}, []string{"binding/acc-01/wencai_v1"}},
		{"other risk limit", []string{"UPDATE account_strategy SET risk_limit = risk_limit + 0.01 WHERE account_id = (SELECT id FROM account WHERE account_id = 'acc-02')"}, []string{"binding/acc-02/wencai_v1"}},
		{"other status", []string{"UPDATE strategy SET status = 'inactive' WHERE strategy_code = 'remote_v1'"}, []string{"strategy/remote_v1"}},
		{"swapped version flag", []string{"UPDATE strategy_param SET is_active = 1 - is_active WHERE strategy_id = (SELECT id FROM strategy WHERE strategy_code = 'wencai_v1')"}, []string{"param/wencai_v1/0000000001", "param/wencai_v1/0000000002"}},
		{"changed value", []string{"UPDATE strategy_param SET param_value = '11', raw = NULL WHERE param_key = 'slots' AND version = 1 AND strategy_id = (SELECT id FROM strategy WHERE strategy_code = 'remote_v1')"}, []string{"param/remote_v1/0000000001"}},
		{"missing key", []string{"DELETE FROM strategy_param WHERE param_key = 'slots' AND version = 2 AND strategy_id = (SELECT id FROM strategy WHERE strategy_code = 'remote_v1')"}, []string{"param/remote_v1/0000000002"}},
		{"a microsecond", []string{"UPDATE user SET created_at = created_at + INTERVAL 1 MICROSECOND WHERE username = 'li_lei'"}, []string{"user/li_lei"}},
		{"role nobody granted", []string{"INSERT INTO user_role (user_id, role_id) SELECT u.id, r.id FROM user u JOIN role r WHERE u.username = 'han_mei' AND r.role_code = 'admin'"}, []string{"user_role/han_mei/admin"}},
		{"role lost", []string{"DELETE FROM user_role WHERE user_id = (SELECT id FROM user WHERE username = 'li_lei')"}, []string{"user_role/li_lei/trader"}},
	},
	"clickhouse": {
		{"missing trade", []string{"ALTER TABLE tapedeck_trade DELETE WHERE order_id = 't1' SETTINGS mutations_sync = 2"}, []string{"trade/t1"}},
		{"wrong amount", []string{"ALTER TABLE tapedeck_trade UPDATE amount = amount + toDecimal64(0.01, 2) WHERE order_id = 't2' SETTINGS mutations_sync = 2"}, []string{"trade/t2"}},
		{"trade that never was", []string{"INSERT INTO tapedeck_trade (generation, attempt, sequence, timestamp, account_id, stock_code, stock_name, order_type, price_type, strategy_name, price, volume, amount, remark, order_id, removed) SELECT generation, attempt, 999999, timestamp, account_id, stock_code, stock_name, order_type, price_type, strategy_name, price, volume, amount, remark, 't9', removed FROM tapedeck_trade WHERE order_id = 't3'"}, []string{"trade/00000000000000999999"}},
		{"wrong close", []string{"ALTER TABLE tapedeck_daily_kline UPDATE close = close + toDecimal64(0.001, 3) WHERE stock_code = '600000.SH' AND date = '2025-03-03' SETTINGS mutations_sync = 2"}, []string{"kline/600000.SH/2025-03-03"}},
		{"missing bar", []string{"ALTER TABLE tapedeck_daily_kline DELETE WHERE stock_code = '600000.SH' AND date = '2025-03-04' SETTINGS mutations_sync = 2"}, []string{"kline/600000.SH/2025-03-04"}},
		{"bar of another day", []string{"INSERT INTO tapedeck_daily_kline (generation, attempt, sequence, stock_code, date, open, high, low, close, volume, amount, removed) SELECT generation, attempt, sequence, stock_code, '2025-03-08', open, high, low, close, volume, amount, removed FROM tapedeck_daily_kline WHERE stock_code = '600000.SH' AND date = '2025-03-05'"}, []string{"kline/600000.SH/2025-03-08"}},
	},
	"file": {
		{"other day_count", []string{`acc-01/positions.json: "day_count": 4 -> "day_count": 5`}, []string{"held_days/acc-01/600000.SH"}},
		{"other price", []string{`acc-01/max_price.json: 8.3 -> 8.4`}, []string{"max_price/acc-01/600000.SH"}},
		{"missing file", []string{`acc-02/max_price.json: * -> `}, []string{"max_price/acc-02/600000.SH"}},
		{"stale _inc_date", []string{`acc-02/positions.json: 2025-03-04 -> 2025-03-03`}, []string{"inc_date/acc-02"}},
		{"other balance", []string{`acc-01/assets.csv: 100000 -> 100001`}, []string{"asset/acc-01/2025-03-03"}},
		{"other volume", []string{`acc-01/deal_hist.csv: ,300 -> ,400`}, []string{"deal/acc-01/0000000003"}},
		{"other bar", []string{`_daily/600000.SH.csv: 20250305,10 -> 20250305,9`}, []string{"kline/600000.SH/2025-03-05"}},
	},
}

// damageEvents is a small tape that has a row of every kind.
func damageEvents() []byte {
	var lines []string
	add := func(kind, data string) {
		lines = append(lines, fmt.Sprintf(`{"specversion":"1.0","id":"d-%d","source":"test","type":"%s.v1","time":"2025-03-03T10:00:00+08:00","data":{%s}}`, len(lines), kind, data))
	}
	for _, account := range []string{"acc-01", "acc-02"} {
		add("account.created", `"account_id":"`+account+`","account_name":"账户 🚀","broker":"QMT","initial_capital":"100000.00"`)
		add("account.capital_updated", `"account_id":"`+account+`","total_assets":"100000.00","date":"2025-03-03"`)
		for i, stock := range []string{"600000.SH", "600001.SH"} {
			add("position.opened", fmt.Sprintf(`"account_id":"%s","stock_code":"%s","held_days":%d`, account, stock, 3-3*i))
		}
		add("position.price_marked", `"account_id":"`+account+`","stock_code":"600000.SH","max_price":"8.300","min_price":"7.100"`)
		add("position.days_incremented", `"account_id":"`+account+`","date":"2025-03-04"`)
	}
	add("position.price_marked", `"account_id":"acc-01","stock_code":"600001.SH","max_price":"9.500"`)
	for _, code := range []string{"wencai_v1", "remote_v1"} {
		add("strategy.created", `"strategy_name":"策略 `+code+`","strategy_code":"`+code+`","strategy_type":"wencai","version":"1.0.0"`)
		for i := range 2 {
			add("param.saved", fmt.Sprintf(`"strategy_code":"%s","params":{"slots":%d,"nested":{"a":[1,"二",1E400]}}`, code, 10+i))
		}
	}
	for _, account := range []string{"acc-01", "acc-02"} {
		add("strategy.bound", `"account_id":"`+account+`","strategy_code":"wencai_v1","allocated_capital":"50000.00","risk_limit":"20.00","status":"active"`)
	}
	for name, role := range map[string]string{"li_lei": "trader", "han_mei": "viewer"} {
		add("user.registered", `"username":"`+name+`","email":"`+name+`@example.com","password_hash":"`+marketHash+`","roles":["`+role+`"]`)
	}
	for i := range 5 {
		add("trade.recorded", fmt.Sprintf(`"account_id":"acc-01","stock_code":"600000.SH","stock_name":"浦发银行","order_type":"buy_trade","price":"8.300","volume":%d00,"remark":"a,\"b\" 🚀","order_id":"t%d","traded_at":"2025-03-03T10:0%d:00+08:00"`, i+1, i+1, i))
	}
	var bars []string
	for _, day := range []int{3, 4, 5, 6} {
		bars = append(bars, fmt.Sprintf(`{"date":"2025-03-0%d","open":"10.000","high":"11.000","low":"9.000","close":"10.500","volume":1000,"amount":"10500.00"}`, day))
	}
	add("kline.recorded", `"stock_code":"600000.SH","bars":[`+strings.Join(bars, ",")+`]`)
	return []byte(strings.Join(lines, "\n"))
}

// do does a damage to a tier.
func (r *tier) do(t testing.TB, d damage) {
	t.Helper()
	for _, line := range d.does {
		switch r.name {
		case "redis":
			options, err := goredis.ParseURL(r.url)
			require.NoError(t, err)
			client := goredis.NewClient(options)
			var words []any
			for _, word := range strings.Fields(line) {
				words = append(words, word)
			}
			require.NoError(t, client.Do(t.Context(), words...).Err(), line)
			require.NoError(t, client.Close())
		case "file":
			name, change, _ := strings.Cut(line, ": ")
			before, after, _ := strings.Cut(change, " -> ")
			path := filepath.Join(r.url, filepath.FromSlash(name))
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			if before == "*" {
				require.NoError(t, os.Remove(path))
				continue
			}
			require.Contains(t, string(text), before, "%s: %s", name, text)
			require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), before, after, 1)), 0o644))
		default:
			db, err := sql.Open(r.name, r.url)
			require.NoError(t, err)
			_, err = db.ExecContext(t.Context(), line)
			require.NoError(t, err, line)
			require.NoError(t, db.Close())
		}
	}
}

// verified is what replay verify --json says.
type verified struct {
	Equal       bool
	Repaired    int `json:"repaired"`
	Differences []struct {
		Kind, Key       string
		Expected, Found *string
		Sequence        uint64 `json:"sequence"`
	}
}

func (v verified) rows() []string {
	rows := []string{}
	for _, d := range v.Differences {
		rows = append(rows, d.Kind+"/"+d.Key)
	}
	slices.Sort(rows)
	return rows
}

// TestVerifyFindsAndRepairs does 34 kinds of damage by hand: verify names
// exactly the rows that are wrong and the event that says so, repair mends exactly
// those, and the projectors go on.
func TestVerifyFindsAndRepairs(t *testing.T) {
	t.Parallel()
	d := newDeck(t)
	status, answer := d.ingest.post(t, "application/x-ndjson", damageEvents())
	require.Equal(t, 200, status, "%s", answer)
	projectors := d.project(t)
	last := d.ingest.log(t).Last
	for _, r := range d.tiers {
		projected(t, d.env(), r.name, last)
	}
	for _, p := range projectors {
		require.Zero(t, p.stop(t))
	}
	mustRun(t, d.env(), "replay", "verify")
	trades := tradeKeys(t, answer)
	kinds := 0
	for _, r := range d.tiers {
		want := []string{}
		for _, damage := range damages[r.name] {
			r.do(t, damage)
			kinds++
			for _, row := range damage.rows {
				if key, ok := trades[row]; ok {
					row = key
				}
				want = append(want, row)
			}
		}
		slices.Sort(want)
		stdout, stderr, code := run(t, d.env(), "replay", "verify", "--tier", r.name, "--json")
		require.Equal(t, 1, code, "%s%s", stdout, stderr)
		var found verified
		require.NoError(t, json.Unmarshal([]byte(lastLine(stdout)), &found))
		require.Equal(t, want, found.rows(), r.name)
		for _, difference := range found.Differences {
			if difference.Expected != nil {
				require.NotZero(t, difference.Sequence, "the event that says so: %v", difference)
			}
		}
		var mended verified
		require.NoError(t, json.Unmarshal([]byte(lastLine(mustRun(t, d.env(), "replay", "verify", "--tier", r.name, "--repair", "--json"))), &mended))
		require.Equal(t, len(want), mended.Repaired, r.name)
		mustRun(t, d.env(), "replay", "verify", "--tier", r.name)
	}
	require.GreaterOrEqual(t, kinds, 30)
	d.project(t)
	status, answer = d.ingest.post(t, "application/x-ndjson", []byte(`{"specversion":"1.0","id":"after","source":"test","type":"position.days_incremented.v1","time":"2025-03-05T10:00:00+08:00","data":{"account_id":"acc-01","date":"2025-03-05"}}`))
	require.Equal(t, 200, status, "%s", answer)
	for _, r := range d.tiers {
		projected(t, d.env(), r.name, last+1)
	}
	mustRun(t, d.env(), "replay", "verify")
}

// tradeKeys are the rows of the trades t1 to t5, by "trade/t1".
func tradeKeys(t testing.TB, answer []byte) map[string]string {
	t.Helper()
	var receipts []struct {
		Sequence uint64 `json:"sequence"`
	}
	require.NoError(t, json.Unmarshal(answer, &receipts))
	keys := map[string]string{}
	for i := range 5 {
		keys[fmt.Sprintf("trade/t%d", i+1)] = fmt.Sprintf("trade/%020d", receipts[len(receipts)-6+i].Sequence)
	}
	return keys
}

// TestRebuildMendsUnreadableParts empties ClickHouse's files under it, as a bad
// disk does: verify says what cannot be read, the projector goes on, and a
// rebuild mends it.
func TestRebuildMendsUnreadableParts(t *testing.T) {
	folder := t.TempDir()
	d := &deck{ingest: startIngest(t, t.TempDir())}
	for _, kind := range tierKinds {
		if kind.name == "clickhouse" {
			d.tiers = append(d.tiers, newTier(t, kind, testserver.Folder(folder)))
		}
	}
	r := d.named("clickhouse")
	status, answer := d.ingest.post(t, "application/x-ndjson", damageEvents())
	require.Equal(t, 200, status, "%s", answer)
	p := r.project(t, d.ingest.nats)
	last := d.ingest.log(t).Last
	projected(t, d.env(), r.name, last)

	db, err := sql.Open("clickhouse", r.url)
	require.NoError(t, err)
	defer db.Close()
	var trades, bars string
	require.NoError(t, db.QueryRowContext(t.Context(), "SELECT anyIf(data_paths[1], name = 'tapedeck_trade'), anyIf(data_paths[1], name = 'tapedeck_daily_kline') FROM system.tables WHERE database = 'tapedeck'").Scan(&trades, &bars))
	for _, table := range []string{trades, bars} {
		files, err := filepath.Glob(filepath.Join(table, "*", "data.*"))
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, file := range files {
			require.NoError(t, os.Truncate(file, 0))
		}
	}
	_, err = db.ExecContext(t.Context(), "SYSTEM CLEAR MARK CACHE")
	require.NoError(t, err)

	stdout, stderr, code := run(t, d.env(), "replay", "verify")
	require.Equal(t, 3, code, "%s%s", stdout, stderr)
	require.Contains(t, stderr, "replay rebuild --tier clickhouse")

	var more []string // a trade and a revised bar, in the months that cannot be read
	for i, line := range strings.Split(string(damageEvents()), "\n") {
		if strings.Contains(line, `"trade.recorded`) || strings.Contains(line, `"kline.recorded`) {
			line = strings.Replace(line, fmt.Sprintf(`"d-%d"`, i), fmt.Sprintf(`"e-%d"`, i), 1)
			more = append(more, strings.ReplaceAll(line, "10.500", "10.600"))
		}
	}
	status, answer = d.ingest.post(t, "application/x-ndjson", []byte(strings.Join(more, "\n")))
	require.Equal(t, 200, status, "%s", answer)
	p.await(t, d.ingest.log(t).Last, time.Minute)
	t.Log(mustRun(t, d.env(), "replay", "rebuild", "--tier", "clickhouse"))
	mustRun(t, d.env(), "replay", "verify")
	require.Zero(t, p.stop(t))
}
