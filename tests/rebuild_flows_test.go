package tests

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	goredis "github.com/redis/go-redis/v9"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

var rebuildFlows = []rebuildFlow{
	{
		name: "positions", tier: "redis", server: startRedis,
		events: 1_000_000, units: 1, request: 1000, unit: "events",
		masters: benchMasters, event: positionLine, raw: rawPositions,
	},
	{
		name: "params", tier: "mysql", server: startDeployedMariaDB,
		events: 1_000_000, units: 1, request: 1000, unit: "events",
		masters: paramStrategies, event: paramLine, raw: rawParams,
	},
	{
		name: "klines", tier: "clickhouse", server: startClickHouse,
		events: 5000, units: klineDays, request: 8, unit: "rows",
		masters: func() []string { return nil }, event: klineLine, raw: rawKlines, note: noteKlines,
	},
	{
		name: "trades", tier: "clickhouse", server: startClickHouse,
		events: 1_000_000, units: 1, request: 1000, unit: "rows",
		masters: benchMasters, event: tradeLine, raw: rawTrades,
	},
}

// startDeployedMariaDB gives the server the memory that it takes by default.
func startDeployedMariaDB(t testing.TB, options ...testserver.Option) *testserver.Server {
	all := []testserver.MariaDBOption{testserver.MariaDBArgs("--innodb-buffer-pool-size=128M", "--innodb-log-file-size=96M")}
	for _, o := range options {
		all = append(all, o)
	}
	return testserver.MariaDB(t, all...)
}

func benchLine(kind, data string) string {
	return `{"specversion":"1.0","source":"bench","type":"` + kind + `.v1","time":"2025-07-01T10:00:00.123+08:00","data":{` + data + `}}`
}

const benchAccounts, benchStocks = 200, 50

// position is what the i-th event sets: a field of a hash. The first ones open
// the accounts' positions, the others mark prices and set held days.
func position(i int) (hash, account, stock, value string) {
	account, stock = fmt.Sprintf("5500%04d", i%benchAccounts), fmt.Sprintf("%06d.SH", 600000+i/benchAccounts%benchStocks)
	switch round := i / (benchAccounts * benchStocks); {
	case round == 0:
		return "held_days", account, stock, "0"
	case round%4 == 0:
		return "held_days", account, stock, fmt.Sprint(round)
	case round%4 == 2:
		return "min_prices", account, stock, fmt.Sprintf("%d.%03d", 5+round%50, i%1000)
	default:
		return "max_prices", account, stock, fmt.Sprintf("%d.%03d", 60+round%50, i%1000)
	}
}

func positionLine(i int) string {
	hash, account, stock, value := position(i)
	data := fmt.Sprintf(`"account_id":%q,"stock_code":%q`, account, stock)
	switch hash {
	case "held_days":
		return benchLine("position.held_days_set", data+`,"held_days":`+value)
	case "min_prices":
		return benchLine("position.price_marked", data+`,"min_price":"`+value+`"`)
	}
	return benchLine("position.price_marked", data+`,"max_price":"`+value+`"`)
}

// rawPositions sends an HSET of many fields a hash, in pipelines.
func rawPositions(b *testing.B, url string, events int) (took time.Duration) {
	options, err := goredis.ParseURL(url)
	require.NoError(b, err)
	client := goredis.NewClient(options)
	defer client.Close()
	const block = 20_000
	for from := 0; from < events; from += block {
		hashes := map[string][]any{}
		for i := from; i < min(from+block, events); i++ {
			hash, account, stock, value := position(i)
			hashes[hash+":"+account] = append(hashes[hash+":"+account], stock, value)
		}
		began := time.Now()
		pipe := client.Pipeline()
		for key, fields := range hashes {
			pipe.HSet(context.Background(), key, fields...)
		}
		_, err := pipe.Exec(context.Background())
		require.NoError(b, err)
		took += time.Since(began)
	}
	require.NoError(b, client.FlushAll(context.Background()).Err())
	return took
}

const benchStrategies = 100

func paramStrategies() (lines []string) {
	for s := range benchStrategies {
		lines = append(lines, benchLine("strategy.created", fmt.Sprintf(
			`"strategy_name":"bench %[1]d","strategy_code":"bench_%[1]d","strategy_type":"remote","version":"1.0.0"`, s)))
	}
	return lines
}

func paramLine(i int) string {
	return benchLine("param.saved", fmt.Sprintf(`"strategy_code":"bench_%d","params":{"slot_count":%d,"order_premium":0.%03d},"remark":"调参"`, i%benchStrategies, i, i%1000))
}

// rawParams sends upserts of 1,000 rows, twenty a transaction.
func rawParams(b *testing.B, url string, events int) (took time.Duration) {
	db, err := sql.Open("mysql", url)
	require.NoError(b, err)
	defer db.Close()
	exec := func(statements ...string) {
		began := time.Now()
		tx, err := db.Begin()
		require.NoError(b, err)
		for _, statement := range statements {
			_, err = tx.Exec(statement)
			require.NoError(b, err)
		}
		require.NoError(b, tx.Commit())
		took += time.Since(began)
	}
	exec(`CREATE TABLE raw (id BIGINT NOT NULL AUTO_INCREMENT UNIQUE, strategy_id BIGINT NOT NULL, version INT NOT NULL, param_key VARCHAR(100) NOT NULL,
		param_value LONGTEXT NOT NULL, param_type ENUM('int', 'float', 'string', 'json') NOT NULL, is_active TINYINT(1) NOT NULL, remark VARCHAR(500) NOT NULL,
		created_at DATETIME(6) NOT NULL, PRIMARY KEY (strategy_id, version, param_key), KEY (strategy_id, is_active)) DEFAULT CHARSET utf8mb4 COLLATE utf8mb4_bin`)
	const rows, perStep = 500, 20 // rows of two keys each
	var step []string
	for from := 0; from < events; from += rows {
		var values []string
		for i := from; i < min(from+rows, events); i++ {
			head, tail := fmt.Sprintf("(%d,%d,", i%benchStrategies+1, i/benchStrategies+1), ",0,'调参','2025-07-01 10:00:00.123')"
			values = append(values, fmt.Sprintf("%s'slot_count','%d','int'%s", head, i, tail), fmt.Sprintf("%s'order_premium','0.%03d','float'%s", head, i%1000, tail))
		}
		step = append(step, "INSERT INTO raw (strategy_id, version, param_key, param_value, param_type, is_active, remark, created_at) VALUES "+strings.Join(values, ",")+
			" ON DUPLICATE KEY UPDATE param_value = VALUES(param_value), param_type = VALUES(param_type), is_active = VALUES(is_active), remark = VALUES(remark)")
		if len(step) == perStep || from+rows >= events {
			exec(step...)
			step = step[:0]
		}
	}
	rest := took
	exec("DROP TABLE raw")
	return rest
}

// klineDays is five years of trading days.
const klineDays = 1250

// kline is a bar: prices in thousandths, the amount in cents.
type kline struct {
	date                                   time.Time
	open, high, low, close, volume, amount int64
}

// klines are the bars of the i-th stock: a random walk in ticks of a cent, in
// lots of a hundred.
func klines(i int) (code string, bars []kline) {
	random := rand.New(rand.NewPCG(7, uint64(i)))
	price := 300 + random.Int64N(5000)
	date := time.Date(2020, 9, 1, 0, 0, 0, 0, time.UTC)
	for len(bars) < klineDays {
		if date = date.AddDate(0, 0, 1); date.Weekday() == time.Saturday || date.Weekday() == time.Sunday {
			continue
		}
		step := func() int64 { return random.Int64N(price/50 + 2) }
		k := kline{date: date, open: max(100, price+step()-step()), close: max(100, price+step()-step()), volume: 100 * (10_000 + random.Int64N(500_000))}
		k.high, k.low = max(k.open, k.close)+step(), max(50, min(k.open, k.close)-step())
		k.amount = k.volume * (k.open + k.close) / 2
		price = k.close
		for _, p := range []*int64{&k.open, &k.high, &k.low, &k.close} {
			*p *= 10
		}
		bars = append(bars, k)
	}
	return fmt.Sprintf("%06d.SH", 600000+i), bars
}

func klineLine(i int) string {
	code, bars := klines(i)
	texts := make([]string, len(bars))
	for j, k := range bars {
		texts[j] = fmt.Sprintf(`{"date":"%s","open":"%s","high":"%s","low":"%s","close":"%s","volume":%d,"amount":"%s"}`,
			k.date.Format(time.DateOnly), thousandths(k.open), thousandths(k.high), thousandths(k.low), thousandths(k.close), k.volume, cents(k.amount))
	}
	return benchLine("kline.recorded", fmt.Sprintf(`"stock_code":%q,"bars":[%s]`, code, strings.Join(texts, ",")))
}

func thousandths(n int64) string { return fmt.Sprintf("%d.%03d", n/1000, n%1000) }

// rawRows is how many rows a raw block of ClickHouse has.
const rawRows = 100_000

func rawKlines(b *testing.B, url string, events int) time.Duration {
	raw := openRaw(b, url, `stock_code LowCardinality(String), date Date32, open Decimal(18, 3), high Decimal(18, 3), low Decimal(18, 3), close Decimal(18, 3),
		volume UInt64, amount Decimal(18, 2)`, "toYYYYMM(date)", "stock_code, date")
	for from := 0; from < events; from += rawRows / klineDays {
		var codes []string
		var dates []time.Time
		var prices [4][]decimal.Decimal
		var volumes []uint64
		var amounts []decimal.Decimal
		for i := from; i < min(from+rawRows/klineDays, events); i++ {
			code, bars := klines(i)
			for _, k := range bars {
				codes, dates, volumes = append(codes, code), append(dates, k.date), append(volumes, uint64(k.volume))
				for p, price := range []int64{k.open, k.high, k.low, k.close} {
					prices[p] = append(prices[p], decimal.New(price, -3))
				}
				amounts = append(amounts, decimal.New(k.amount, -2))
			}
		}
		raw.insert(b, codes, dates, prices[0], prices[1], prices[2], prices[3], volumes, amounts)
	}
	return raw.close(b)
}

// noteKlines reports what the rows take on the disk.
func noteKlines(b *testing.B, url string, rows int) {
	db, err := sql.Open("clickhouse", url)
	require.NoError(b, err)
	defer db.Close()
	var stored, plain, found int64
	require.NoError(b, db.QueryRow("SELECT sum(data_compressed_bytes), sum(data_uncompressed_bytes), sum(rows) FROM system.parts WHERE active AND database = currentDatabase() AND table = 'tapedeck_daily_kline'").
		Scan(&stored, &plain, &found))
	require.GreaterOrEqual(b, found, int64(rows))
	b.ReportMetric(float64(stored)/(1<<20), "compressed-MB")
	b.ReportMetric(float64(plain)/float64(stored), "compression")
}

func benchMasters() (lines []string) {
	for a := range benchAccounts {
		lines = append(lines, benchLine("account.created", fmt.Sprintf(`"account_id":"5500%04d","account_name":"n","broker":"QMT","initial_capital":"1000000.00"`, a)))
	}
	return lines
}

// deal is the i-th trade: in time order, on 80 trading days.
func deal(i int) (at time.Time, account, code string, price, volume int64, id string) {
	random := rand.New(rand.NewPCG(9, uint64(i)))
	day := i / 12_500 % 80
	months := []time.Month{time.March, time.July, time.August, time.September} // of 2025: without holidays
	date := time.Date(2025, months[day/20], 1, 9, 30, 0, 0, time.FixedZone("", 8*3600))
	for n := day % 20; ; date = date.AddDate(0, 0, 1) {
		if date.Weekday() == time.Saturday || date.Weekday() == time.Sunday {
			continue
		}
		if n == 0 {
			break
		}
		n--
	}
	at = date.Add(time.Duration(i%12_500) * 560 * time.Millisecond) // the morning's two hours
	return at, fmt.Sprintf("5500%04d", random.IntN(benchAccounts)), fmt.Sprintf("%06d.SH", 600000+random.IntN(3000)),
		3000 + 10*random.Int64N(5000), 100 * (1 + random.Int64N(100)), fmt.Sprint(1_000_000 + i)
}

func tradeLine(i int) string {
	at, account, code, price, volume, id := deal(i)
	return benchLine("trade.recorded", fmt.Sprintf(
		`"account_id":%q,"stock_code":%q,"stock_name":"浦发银行","order_type":"buy_trade","price":"%s","volume":%d,"amount":"%s","strategy_name":"wencai","remark":"问财选股","traded_at":"%s","order_id":%q`,
		account, code, thousandths(price), volume, cents(price*volume/10), at.Format(time.RFC3339Nano), id))
}

func rawTrades(b *testing.B, url string, events int) time.Duration {
	raw := openRaw(b, url, `timestamp DateTime64(6, 'Asia/Shanghai'), account_id LowCardinality(String), stock_code LowCardinality(String), stock_name LowCardinality(String),
		order_type LowCardinality(String), strategy_name LowCardinality(String), price Decimal(18, 3), volume UInt64, amount Decimal(18, 2), remark String, order_id String`,
		"toYYYYMM(timestamp)", "account_id, stock_code, timestamp")
	for from := 0; from < events; from += rawRows {
		var times []time.Time
		var accounts, codes, names, types, strategies, remarks, ids []string
		var prices, amounts []decimal.Decimal
		var volumes []uint64
		for i := from; i < min(from+rawRows, events); i++ {
			at, account, code, price, volume, id := deal(i)
			times, accounts, codes, names = append(times, at), append(accounts, account), append(codes, code), append(names, "浦发银行")
			types, strategies, remarks, ids = append(types, "buy_trade"), append(strategies, "wencai"), append(remarks, "问财选股"), append(ids, id)
			prices, volumes, amounts = append(prices, decimal.New(price, -3)), append(volumes, uint64(volume)), append(amounts, decimal.New(price*volume/10, -2))
		}
		raw.insert(b, times, accounts, codes, names, types, strategies, prices, volumes, amounts, remarks, ids)
	}
	return raw.close(b)
}

// rawTable is a plain table that is filled column by column.
type rawTable struct {
	client driver.Conn
	took   time.Duration
}

func openRaw(b *testing.B, url, columns, partition, order string) *rawTable {
	options, err := clickhouse.ParseDSN(url)
	require.NoError(b, err)
	client, err := clickhouse.Open(options)
	require.NoError(b, err)
	require.NoError(b, client.Exec(context.Background(), fmt.Sprintf("CREATE TABLE raw (%s) ENGINE = MergeTree PARTITION BY %s ORDER BY (%s)", columns, partition, order)))
	return &rawTable{client: client}
}

func (r *rawTable) insert(b *testing.B, columns ...any) {
	began := time.Now()
	batch, err := r.client.PrepareBatch(context.Background(), "INSERT INTO raw")
	require.NoError(b, err)
	for i, values := range columns {
		require.NoError(b, batch.Column(i).Append(values))
	}
	require.NoError(b, batch.Send())
	r.took += time.Since(began)
}

func (r *rawTable) close(b *testing.B) time.Duration {
	require.NoError(b, r.client.Exec(context.Background(), "DROP TABLE raw SYNC"))
	require.NoError(b, r.client.Close())
	return r.took
}
