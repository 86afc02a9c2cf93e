package clickhouse_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// script runs a file of statements.
func script(t *testing.T, client driver.Conn, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for statement := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(statement) != "" {
			require.NoError(t, client.Exec(t.Context(), statement))
		}
	}
}

// schema is what ClickHouse says of every table and view.
func schema(t *testing.T, client driver.Conn, database string) map[string]string {
	t.Helper()
	rows, err := client.Query(t.Context(), "SELECT name, replaceAll(create_table_query, database || '.', '') FROM system.tables WHERE database = ?", database)
	require.NoError(t, err)
	defer rows.Close()
	found := make(map[string]string)
	for rows.Next() {
		var name, text string
		require.NoError(t, rows.Scan(&name, &text))
		found[name] = text
	}
	require.NoError(t, rows.Err())
	return found
}

// inDatabase is a DSN of another database of the server.
func inDatabase(server *testserver.Server, name string) string {
	return strings.TrimSuffix(server.URL(), "/tapedeck") + "/" + name
}

func TestInitScriptIsTheSchema(t *testing.T) {
	server := testserver.ClickHouse(t)
	tier := open(t, inDatabase(server, "migrated"), false)
	_, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	client := raw(t, server.URL())
	script(t, client, "../../../deploy/clickhouse/init.sql")
	want := schema(t, client, "migrated")
	require.Len(t, want, 6)
	require.Equal(t, want, schema(t, client, "tapedeck"))
	var last [2]uint32 // nothing is left to migrate
	require.NoError(t, client.QueryRow(t.Context(), "SELECT (SELECT max(version) FROM migrated.tapedeck_schema), (SELECT max(version) FROM tapedeck.tapedeck_schema)").Scan(&last[0], &last[1]))
	require.Equal(t, last[0], last[1])

	made := open(t, server.URL(), false)
	apply(t, made, edges(), 0, 4)
	requireFold(t, made, edges(), 4)
}

// TestMigrates opens what the first schema's projector left, and goes on.
func TestMigrates(t *testing.T) {
	server := testserver.ClickHouse(t)
	client := raw(t, server.URL())
	script(t, client, "testdata/schema1.sql")
	tier := open(t, server.URL(), false)
	requireFold(t, tier, edges(), 4)
	var versions [2]uint64 // programs that run on read the state
	require.NoError(t, client.QueryRow(t.Context(), "SELECT (SELECT toUInt64(max(version)) FROM tapedeck_schema), (SELECT JSONExtractUInt(state, 'schema') FROM tapedeck_state ORDER BY revision DESC LIMIT 1)").Scan(&versions[0], &versions[1]))
	require.Equal(t, versions[0], versions[1])
	apply(t, tier, edges(), 4, 5)
	requireFold(t, tier, edges(), 5)
	fresh := open(t, inDatabase(server, "fresh"), false)
	_, err := fresh.Checkpoint(t.Context())
	require.NoError(t, err)
	require.Equal(t, schema(t, client, "fresh"), schema(t, client, "tapedeck"))
}

func TestNewerSchemaIsRefused(t *testing.T) {
	server := testserver.ClickHouse(t)
	client := raw(t, server.URL())
	tier := open(t, server.URL(), false)
	_, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	apply(t, tier, edges(), 0, 1)
	// A projector that runs meets the newer one's state, one that starts its schema.
	require.NoError(t, client.Exec(t.Context(), `INSERT INTO tapedeck_state (revision, nonce, state) VALUES (1000, 'newer', '{"schema":999}')`))
	require.ErrorIs(t, tier.Apply(t.Context(), projector.Batch{From: at(1), To: at(2)}), projector.ErrRefused)
	require.NoError(t, client.Exec(t.Context(), "INSERT INTO tapedeck_schema (version) VALUES (999)"))
	_, err = tier.Checkpoint(t.Context())
	require.ErrorIs(t, err, projector.ErrRefused)
	require.ErrorContains(t, err, "999")
}

// walk is years of one stock's bars as a market makes them: prices in fen that
// walk by a normal 2 % a day, lots of 100 shares, amounts at the mean price: whole yuan.
func walk(random *rand.Rand, code string, days int) *events.KlineRecorded {
	d := &events.KlineRecorded{StockCode: code}
	fen := func(yuan float64) events.Price { return events.Price(max(1, int64(yuan*100))) * 10 }
	price := 5 + random.Float64()*50
	turnover := 20_000 + random.Float64()*200_000
	for day := time.Date(2020, 1, 2, 0, 0, 0, 0, events.Zone); len(d.Bars) < days; day = day.AddDate(0, 0, 1) {
		if day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			continue
		}
		from := price * (1 + random.NormFloat64()*0.004)
		price = from * (1 + max(-0.1, min(0.1, random.NormFloat64()*0.02)))
		low, high := min(from, price)*(1-random.Float64()*0.01), max(from, price)*(1+random.Float64()*0.01)
		lots := int64(turnover * (0.5 + random.ExpFloat64()))
		bar := events.Bar{Date: events.DateOf(day), Open: fen(from), Close: fen(price), Low: fen(low), High: fen(high), Volume: lots * 100}
		bar.Amount = events.Money(float64(bar.Volume)*(low+high)/2) * 100
		d.Bars = append(d.Bars, bar)
	}
	return d
}

// TestKlinesCompress holds a market's bars to a fifth of their size.
func TestKlinesCompress(t *testing.T) {
	const seed, stocks, days = 1, 60, 1250
	random := rand.New(rand.NewPCG(seed, seed))
	server := testserver.ClickHouse(t)
	tier := open(t, server.URL(), false)
	_, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	tape := make([]*events.Event, stocks)
	for i := range tape {
		tape[i] = &events.Event{Sequence: uint64(i + 1), Data: walk(random, fmt.Sprintf("%06d.SH", 600000+i), days)}
	}
	apply(t, tier, tape, 0, len(tape))
	client := raw(t, server.URL())
	var whole, packed, users, usersPacked uint64
	require.NoError(t, client.QueryRow(t.Context(), "SELECT sum(data_uncompressed_bytes), sum(data_compressed_bytes) FROM system.parts"+
		" WHERE active AND database = 'tapedeck' AND table = 'tapedeck_daily_kline'").Scan(&whole, &packed))
	// Only wide parts tell the size of each column.
	for _, statement := range []string{
		"CREATE TABLE measured AS tapedeck_daily_kline",
		"ALTER TABLE measured MODIFY SETTING min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0",
		"INSERT INTO measured (stock_code, date, open, high, low, close, volume, amount) SELECT stock_code, date, open, high, low, close, volume, amount" +
			" FROM tapedeck_daily_kline SETTINGS max_partitions_per_insert_block = 0",
	} {
		require.NoError(t, client.Exec(t.Context(), statement))
	}
	require.NoError(t, client.QueryRow(t.Context(), "SELECT sum(data_uncompressed_bytes), sum(data_compressed_bytes) FROM system.columns"+
		" WHERE database = 'tapedeck' AND table = 'measured' AND name NOT IN ('generation', 'attempt', 'sequence', 'removed')").Scan(&users, &usersPacked))
	t.Logf("seed %d: %d bars, %.1f:1, the users' own columns alone %.1f:1, %.1f bytes a bar", seed, stocks*days,
		float64(whole)/float64(packed), float64(users)/float64(usersPacked), float64(packed)/float64(stocks*days))
	require.Greater(t, float64(whole)/float64(packed), 5.0)
}
