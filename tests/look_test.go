package tests

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	_ "github.com/ClickHouse/clickhouse-go/v2" // driver "clickhouse"
	_ "github.com/go-sql-driver/mysql"         // driver "mysql"
	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
)

// What each tier must hold after a flow, and what it does hold: counts and sums
// in plain commands, SQL and files, by none of the code under test.

// tally counts and sums under a name.
func (fs facts) tally(name string, values ...int64) {
	fs[name+" count"] += int64(len(values))
	for _, v := range values {
		fs[name+" sum"] += v
	}
}

func (fs facts) tallyAll(name string, values map[string]int64) {
	fs.tally(name, slices.Collect(maps.Values(values))...)
}

// without0 drops zeros: what is not there has no name there either.
func without0(fs facts) facts {
	maps.DeleteFunc(fs, func(_ string, v int64) bool { return v == 0 })
	return fs
}

// units is a decimal as a whole number of the given scale.
func units(t testing.TB, text string, scale int) int64 {
	t.Helper()
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = strings.TrimRight(fraction, "0")
	require.LessOrEqual(t, len(fraction), scale, text)
	n, err := strconv.ParseInt(whole+fraction+strings.Repeat("0", scale-len(fraction)), 10, 64)
	require.NoError(t, err)
	return n
}

func wantRedis(m *market) facts {
	fs := facts{}
	for _, a := range m.accounts {
		fs.tallyAll("held_days:"+a.id, a.held)
		fs.tallyAll("max_prices:"+a.id, a.highest)
		fs.tallyAll("min_prices:"+a.id, a.lowest)
		fs["_inc_date:"+a.id] = a.incDate
	}
	return fs
}

func lookRedis(t testing.TB, url string) facts {
	t.Helper()
	options, err := goredis.ParseURL(url)
	require.NoError(t, err)
	client := goredis.NewClient(options)
	defer client.Close()
	keys, err := client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	scales := map[string]int{"held_days": 0, "max_prices": 3, "min_prices": 3}
	fs := facts{}
	for _, key := range keys {
		kind, _, _ := strings.Cut(key, ":")
		if kind == "_inc_date" {
			date, err := client.Get(t.Context(), key).Result()
			require.NoError(t, err)
			fs[key] = units(t, strings.ReplaceAll(date, "-", ""), 0)
			continue
		}
		scale, ours := scales[kind]
		if !ours {
			require.Equal(t, "tapedeck", kind, key)
			continue
		}
		values, err := client.HVals(t.Context(), key).Result()
		require.NoError(t, err)
		for _, v := range values {
			fs.tally(key, units(t, v, scale))
		}
	}
	return fs
}

func wantMySQL(m *market) facts {
	fs := facts{"role count": 4, "permission count": 13}
	for _, a := range m.accounts {
		fs["account count"]++
		fs["account "+a.status]++
		fs["initial_capital"] += a.initial
		fs["current_capital"] += a.current
		fs["total_assets"] += a.total
		fs["position_value"] += a.value
		for code, allocated := range a.bindings {
			fs["account_strategy count"]++
			fs["allocated_capital"] += allocated
			fs["risk_limit"] += a.risks[code]
		}
	}
	for _, s := range m.strategies {
		fs["strategy count"]++
		fs["strategy "+s.status]++
		for i, keys := range s.versions {
			fs["strategy_param count"] += keys
			fs["versions"] += int64(i+1) * keys
			if i+1 == s.active {
				fs["active count"] += keys
				fs["active versions"] += int64(i+1) * keys
			}
		}
	}
	for _, u := range m.users {
		fs["user count"]++
		fs["user "+u.status]++
		fs["failed_logins"] += u.failed
		fs["user_role count"] += int64(len(u.roles))
	}
	return fs
}

func lookMySQL(t testing.TB, dsn string) facts {
	t.Helper()
	return lookSQL(t, "mysql", dsn,
		"SELECT count(*) AS `role count` FROM role",
		"SELECT count(*) AS `permission count` FROM permission",
		"SELECT count(*) AS `account count`, sum(initial_capital) * 100 AS initial_capital, sum(current_capital) * 100 AS current_capital, sum(total_assets) * 100 AS total_assets, sum(position_value) * 100 AS position_value, sum(status = 'active') AS `account active`, sum(status = 'inactive') AS `account inactive`, sum(status = 'suspended') AS `account suspended` FROM account",
		"SELECT count(*) AS `account_strategy count`, sum(allocated_capital) * 100 AS allocated_capital, sum(risk_limit) * 100 AS risk_limit FROM account_strategy",
		"SELECT count(*) AS `strategy count`, sum(status = 'testing') AS `strategy testing`, sum(status = 'active') AS `strategy active`, sum(status = 'inactive') AS `strategy inactive` FROM strategy",
		"SELECT count(*) AS `strategy_param count`, sum(version) AS versions, sum(is_active) AS `active count`, sum(is_active * version) AS `active versions` FROM strategy_param",
		"SELECT count(*) AS `user count`, sum(failed_logins) AS failed_logins, sum(status = 'active') AS `user active`, sum(status = 'inactive') AS `user inactive`, sum(status = 'locked') AS `user locked` FROM user",
		"SELECT count(*) AS `user_role count` FROM user_role",
	)
}

func wantClickHouse(m *market) facts {
	fs := facts{"trade count": m.trades.count, "trade sequences": m.trades.count, "trade volume": m.trades.volume, "trade amount": m.trades.amount}
	for stock, bars := range m.klines {
		for _, bar := range bars {
			fs["kline count"]++
			fs["kline close"] += bar.closing
			fs["kline volume"] += bar.volume
			fs["kline amount"] += bar.amount
		}
		fs["kline keys"] += int64(len(m.klines[stock]))
	}
	return fs
}

func lookClickHouse(t testing.TB, dsn string) facts {
	t.Helper()
	return lookSQL(t, "clickhouse", dsn,
		"SELECT count() AS `trade count`, uniqExact(sequence) AS `trade sequences`, sum(volume) AS `trade volume`, sum(amount) * 100 AS `trade amount` FROM trade",
		"SELECT count() AS `kline count`, uniqExact(stock_code, date) AS `kline keys`, sum(close) * 1000 AS `kline close`, sum(volume) AS `kline volume`, sum(amount) * 100 AS `kline amount` FROM daily_kline",
	)
}

// lookSQL takes each column of each query's only row as a fact.
func lookSQL(t testing.TB, driver, dsn string, queries ...string) facts {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer db.Close()
	fs := facts{}
	for _, query := range queries {
		rows, err := db.QueryContext(t.Context(), query)
		require.NoError(t, err, query)
		defer rows.Close()
		names, err := rows.Columns()
		require.NoError(t, err)
		values, into := make([]sql.NullString, len(names)), make([]any, len(names))
		for i := range values {
			into[i] = &values[i]
		}
		require.True(t, rows.Next(), "%s: %v", query, rows.Err())
		require.NoError(t, rows.Scan(into...), query)
		for i, name := range names {
			if values[i].Valid { // the sum of nothing is NULL
				fs[name] = units(t, values[i].String, 0)
			}
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
	}
	return fs
}

func wantFiles(m *market) facts {
	fs := facts{}
	for _, a := range m.accounts {
		fs.tallyAll(a.id+" held", a.held)
		fs.tallyAll(a.id+" max", a.highest)
		fs.tallyAll(a.id+" min", a.lowest)
		fs.tallyAll(a.id+" assets", a.balance)
		fs[a.id+" date"] = a.incDate
		fs[a.id+" deals count"], fs[a.id+" deals sum"] = a.deals.count, a.deals.volume
	}
	for _, bars := range m.klines {
		for _, bar := range bars {
			fs.tally("klines", bar.volume)
		}
	}
	return fs
}

func lookFiles(t testing.TB, dir string) facts {
	t.Helper()
	fs := facts{}
	each := func(pattern string, read func(account, path string)) {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		require.NoError(t, err)
		for _, path := range paths {
			read(filepath.Base(filepath.Dir(path)), path)
		}
	}
	column := func(name string, path string, column, scale int) {
		for _, row := range rows(t, path)[1:] {
			fs.tally(name, units(t, row[column], scale))
		}
	}
	prices := func(name, path string) {
		var marks map[string]json.Number
		decode(t, path, &marks)
		for _, price := range marks {
			fs.tally(name, units(t, price.String(), 3))
		}
	}
	each("*/positions.json", func(account, path string) {
		var positions map[string]any
		decode(t, path, &positions)
		for code, v := range positions {
			if code == "_inc_date" {
				fs[account+" date"] = units(t, strings.ReplaceAll(v.(string), "-", ""), 0)
				continue
			}
			fs.tally(account+" held", units(t, fmt.Sprint(v.(map[string]any)["day_count"]), 0))
		}
	})
	each("*/max_price.json", func(account, path string) { prices(account+" max", path) })
	each("*/min_price.json", func(account, path string) { prices(account+" min", path) })
	each("*/assets.csv", func(account, path string) { column(account+" assets", path, 1, 2) })
	each("*/deal_hist.csv", func(account, path string) { column(account+" deals", path, 7, 0) })
	each("_daily/*.csv", func(_, path string) { column("klines", path, 5, 0) })
	return fs
}

func emptyRedis(t testing.TB, url string) {
	t.Helper()
	options, err := goredis.ParseURL(url)
	require.NoError(t, err)
	client := goredis.NewClient(options)
	defer client.Close()
	require.NoError(t, client.FlushAll(t.Context()).Err())
}

func emptyMySQL(t testing.TB, dsn string) {
	t.Helper()
	execute(t, "mysql", dsn, "DROP DATABASE tapedeck", "CREATE DATABASE IF NOT EXISTS tapedeck")
}

func emptyClickHouse(t testing.TB, dsn string) {
	t.Helper()
	execute(t, "clickhouse", strings.TrimSuffix(dsn, "tapedeck")+"default", "DROP DATABASE tapedeck SYNC", "CREATE DATABASE IF NOT EXISTS tapedeck")
}

func emptyFiles(t testing.TB, dir string) {
	t.Helper()
	require.NoError(t, os.RemoveAll(dir))
}

func execute(t testing.TB, driver, dsn string, statements ...string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range statements {
		_, err := db.ExecContext(t.Context(), statement)
		require.NoError(t, err, statement)
	}
}
