package replay

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// golden are the frozen lines of every type of event.
func golden(t *testing.T) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("../../events/testdata/golden/*.json")
	require.NoError(t, err)
	lines := make(map[string][]byte)
	for _, path := range files {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		var file struct {
			Canonical json.RawMessage `json:"canonical"`
		}
		require.NoError(t, json.Unmarshal(text, &file))
		lines[strings.TrimSuffix(filepath.Base(path), ".json")] = file.Canonical
	}
	require.NotEmpty(t, lines)
	return lines
}

// TestPayloads holds the list of types against the golden files, and the
// columns' names against each other.
func TestPayloads(t *testing.T) {
	var names []string
	for _, data := range payloads {
		names = append(names, string(data.Type()))
		taken := make(map[string]bool)
		for _, c := range append(slices.Clone(envelope), dataColumns(data.Type())...) {
			require.False(t, taken[c.name], "%s has two columns %s", data.Type(), c.name)
			taken[c.name] = true
		}
	}
	for name := range golden(t) {
		require.Contains(t, names, name)
	}
	require.Len(t, names, len(golden(t)))
}

// TestTables writes every golden event as a table of its own type and reads it
// back into the very same event.
func TestTables(t *testing.T) {
	logged := time.Date(2025, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	for name, line := range golden(t) {
		for _, format := range []string{formatCSV, formatParquet} {
			e, err := events.DecodeStored(line)
			require.NoError(t, err)
			e.Sequence, e.Logged = 7, logged
			var file bytes.Buffer
			w, err := newEventWriter(format, &file, e.Type())
			require.NoError(t, err)
			require.NoError(t, w.write(e, line), "%s as %s", name, format)
			require.NoError(t, w.close())

			path := filepath.Join(t.TempDir(), "export")
			require.NoError(t, os.WriteFile(path, file.Bytes(), 0o600))
			f, err := os.Open(path)
			require.NoError(t, err)
			defer f.Close()
			texts, err := readEventFile(f)
			require.NoError(t, err)
			n := 0
			for in, err := range texts {
				require.NoError(t, err)
				read, err := events.DecodeStored(in.text)
				require.NoError(t, err, "%s", in.text)
				got, err := read.AppendJSON(nil)
				require.NoError(t, err)
				require.Equal(t, string(line), string(got), "%s as %s", name, format)
				n++
			}
			require.Equal(t, 1, n)
		}
	}
}

// TestTypedColumns looks at the columns of a trade from outside.
func TestTypedColumns(t *testing.T) {
	line := []byte(`{"specversion":"1.0","id":"t,\"1\"","source":"s,\"data\":","type":"trade.recorded.v1","subject":"account/12345678","time":"2025-01-02T10:00:00.000001+08:00",` +
		`"data":{"account_id":"12345678","stock_code":"600000.SH","stock_name":"浦发,\"银行\"","order_type":"buy_trade","price":"8.305","volume":200,"amount":"1661.00","traded_at":"2025-01-02T10:00:00+08:00"}}`)
	e, err := events.DecodeStored(line)
	require.NoError(t, err)
	e.Sequence, e.Logged = 1<<40, time.Date(2025, 1, 2, 2, 0, 1, 0, time.UTC)

	var text bytes.Buffer
	w, err := newEventWriter(formatCSV, &text, e.Type())
	require.NoError(t, err)
	require.NoError(t, w.write(e, line))
	require.NoError(t, w.close())
	rows, err := csv.NewReader(&text).ReadAll()
	require.NoError(t, err)
	require.Equal(t, strings.Split("sequence,logged,id,source,type,subject,time,correlationid,causationid,data,account_id,stock_code,stock_name,order_type,price_type,price,volume,amount,strategy_name,remark,traded_at,order_id", ","), rows[0])
	require.Equal(t, []string{
		"1099511627776", "2025-01-02T10:00:01+08:00", `t,"1"`, `s,"data":`, "trade.recorded.v1", "account/12345678", "2025-01-02T10:00:00.000001+08:00", "", "",
		string(line[bytes.Index(line, []byte(`{"account_id"`)) : len(line)-1]),
		"12345678", "600000.SH", `浦发,"银行"`, "buy_trade", "", "8.305", "200", "1661.00", "", "", "2025-01-02T10:00:00+08:00", "",
	}, rows[1])

	var file bytes.Buffer
	w, err = newEventWriter(formatParquet, &file, e.Type())
	require.NoError(t, err)
	require.NoError(t, w.write(e, line))
	require.NoError(t, w.close())
	opened, err := parquet.OpenFile(bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	schema := opened.Schema()
	for name, want := range map[string]string{
		"sequence": "INT(64,true)", "logged": "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "price": "DECIMAL(18,3)", "amount": "DECIMAL(18,2)",
		"volume": "INT(64,true)", "traded_at": "TIMESTAMP(isAdjustedToUTC=true,unit=MICROS)", "data": "JSON", "stock_name": "STRING", "remark": "STRING",
	} {
		leaf, ok := schema.Lookup(name)
		require.True(t, ok, name)
		require.Equal(t, want, leaf.Node.Type().String(), name)
		require.Equal(t, name == "remark", leaf.Node.Optional(), name)
	}
	type row struct {
		Price    int64   `parquet:"price"`
		TradedAt int64   `parquet:"traded_at"`
		Remark   *string `parquet:"remark"`
	}
	read, err := parquet.Read[row](bytes.NewReader(file.Bytes()), int64(file.Len()))
	require.NoError(t, err)
	require.Equal(t, []row{{8305, e.Data.(*events.TradeRecorded).TradedAt.UnixMicro(), nil}}, read)
}

// TestForeignTables tells what a file lacks.
func TestForeignTables(t *testing.T) {
	for text, want := range map[string]string{
		"id,source,type,subject,time\n":                         "lacks the column data",
		"\ufeffsequence,id,source,type,subject,data\n1,2,3,4\n": "lacks the column time",
		"\x1f\x8bno gzip":                                       "gzip",
		"PAR1 is not enough":                                    "parquet",
	} {
		path := filepath.Join(t.TempDir(), "file")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		_, err = readEventFile(f)
		require.ErrorContains(t, err, want)
	}
}

type frameList []eventlog.Frame

func (l *frameList) Next(context.Context) (eventlog.Frame, error) {
	if len(*l) == 0 {
		return eventlog.Frame{}, io.EOF
	}
	f := (*l)[0]
	*l = (*l)[1:]
	return f, nil
}

// TestTape asks for random lines of random frames, in order.
func TestTape(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 200 {
		var frames frameList
		next := uint64(1)
		text := func(sequence uint64) string {
			return strings.Repeat("x", int(sequence%7)) + string(rune('a'+sequence%26))
		}
		for range random.IntN(12) + 1 {
			f := eventlog.Frame{First: next, Count: random.IntN(9) + 1}
			for range f.Count {
				f.Payload = append(f.Payload, text(next)+"\n"...)
				next++
			}
			frames = append(frames, f)
		}
		tape := &tape{frames: &frames}
		for {
			if _, err := tape.Next(t.Context()); errors.Is(err, io.EOF) {
				break
			}
		}
		for sequence := uint64(1); sequence < next; sequence++ {
			switch random.IntN(3) {
			case 0:
				require.Equal(t, text(sequence), string(tape.line(sequence)))
			case 1:
				if random.IntN(3) == 0 {
					tape.forget(sequence)
				}
			}
		}
		tape.forget(next)
		require.Empty(t, tape.kept)
	}
}

// TestExportFile looks for halves.
func TestExportFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out")
	list := func() []string {
		entries, err := os.ReadDir(filepath.Dir(path))
		require.NoError(t, err)
		var names []string
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	write := func(force bool, text string) *exportFile {
		f, err := createExport(path, nil, force)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
		return f
	}
	write(false, "discarded").discard()
	require.Empty(t, list())

	killed := write(false, "killed half way")
	require.NoError(t, killed.buffer.Flush())
	require.Equal(t, []string{"out.exporting"}, list())

	f := write(false, "whole")
	size, sum, err := f.commit()
	require.NoError(t, err)
	f.discard()
	require.EqualValues(t, 5, size)
	require.Equal(t, "5d5766cf2d78701614200418ee1450690d9af12c84d52545e4802f001ad53099", sum, "sha256sum says so")
	require.Equal(t, []string{"out"}, list())

	_, err = createExport(path, nil, false)
	require.ErrorContains(t, err, "--force")
	slow := write(true, "slow")
	fast := write(true, "fast")
	_, _, err = slow.commit()
	require.ErrorContains(t, err, "another export")
	_, _, err = fast.commit()
	require.NoError(t, err)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "fast", string(got))
	require.Equal(t, []string{"out"}, list())

	late := write(true, "late")
	late.force = false // a file that appears meanwhile
	_, _, err = late.commit()
	require.ErrorContains(t, err, "exists")
	require.Equal(t, []string{"out"}, list())
}
