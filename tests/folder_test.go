package tests

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"golang.org/x/text/encoding/simplifiedchinese"
)

// folder is what a strategy's cache folder says, read by this test's own
// means: none of the code under test.
type folder struct {
	held    map[string]string
	incDate string
	max     map[string]string
	min     map[string]string
	// deals are rows without the column 类型, which events do not tell apart as
	// finely as the files; see deal.
	deals [][]string
}

// words maps the files' order words to what an event says.
var words = map[string]string{
	"市买委托": "buy order", "限买委托": "buy order", "市卖委托": "sell order", "限卖委托": "sell order",
	"买入成交": "buy", "卖出成交": "sell", "撤单": "cancel",
}

// readFolder reads a folder in UTF-8 or GBK.
func readFolder(t testing.TB, dir string) folder {
	t.Helper()
	f := folder{held: map[string]string{}, max: numbers(t, filepath.Join(dir, "max_price.json")), min: numbers(t, filepath.Join(dir, "min_price.json"))}
	var positions map[string]any
	decode(t, filepath.Join(dir, "positions.json"), &positions)
	for code, v := range positions {
		switch v := v.(type) {
		case string:
			require.Equal(t, "_inc_date", code)
			f.incDate = v
		case map[string]any:
			if v["day_count"] != nil {
				f.held[code] = exact(t, v["day_count"].(json.Number).String())
			}
		default:
			t.Fatalf("%s: %s: %v", dir, code, v)
		}
	}
	for i, row := range rows(t, filepath.Join(dir, "deal_hist.csv")) {
		if i == 0 {
			continue
		}
		require.Contains(t, words, row[4])
		f.deals = append(f.deals, []string{row[0], row[1], row[2], row[3], words[row[4]], row[5], exact(t, row[6]), exact(t, row[7])})
	}
	return f
}

// text reads a file, from GBK where it is not UTF-8.
func text(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	if strings.ToValidUTF8(string(raw), "") == string(raw) {
		return raw
	}
	raw, err = simplifiedchinese.GBK.NewDecoder().Bytes(raw)
	require.NoError(t, err)
	return raw
}

func decode(t testing.TB, path string, into any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text(t, path)))
	d.UseNumber()
	require.NoError(t, d.Decode(into), path)
}

func numbers(t testing.TB, path string) map[string]string {
	t.Helper()
	var raw map[string]json.Number
	decode(t, path, &raw)
	out := make(map[string]string, len(raw))
	for k, v := range raw {
		out[k] = exact(t, v.String())
	}
	return out
}

func rows(t testing.TB, path string) [][]string {
	t.Helper()
	all, err := csv.NewReader(bytes.NewReader(text(t, path))).ReadAll()
	require.NoError(t, err, path)
	return all
}

// exact is one text for one decimal value.
func exact(t testing.TB, number string) string {
	t.Helper()
	r, ok := new(big.Rat).SetString(number)
	require.True(t, ok, "%q is no number", number)
	return r.RatString()
}

// redisFolder reads what Redis holds of an account.
func redisFolder(t testing.TB, url, account string) folder {
	t.Helper()
	options, err := goredis.ParseURL(url)
	require.NoError(t, err)
	client := goredis.NewClient(options)
	defer client.Close()
	ctx := context.Background()
	hash := func(key string) map[string]string {
		values, err := client.HGetAll(ctx, key+":"+account).Result()
		require.NoError(t, err)
		for k, v := range values {
			values[k] = exact(t, v)
		}
		return values
	}
	f := folder{held: hash("held_days"), max: hash("max_prices"), min: hash("min_prices")}
	f.incDate, err = client.Get(ctx, "_inc_date:"+account).Result()
	if !errors.Is(err, goredis.Nil) {
		require.NoError(t, err)
	}
	return f
}

// accounts are the folders of the year's data.
func accounts(t testing.TB) []string {
	t.Helper()
	var names []string
	entries, err := os.ReadDir("../deploy/sample")
	require.NoError(t, err)
	for _, e := range entries {
		if _, err := os.Stat(filepath.Join("../deploy/sample", e.Name(), "positions.json")); err == nil {
			names = append(names, e.Name())
		}
	}
	require.Len(t, names, 2)
	return names
}
