package events_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// tradeLine is a trade as a strategy publishes it.
const tradeLine = `{"specversion":"1.0","id":"sim-55009728-000005","source":"strategy/wencai_v1","type":"trade.recorded.v1",` +
	`"subject":"account/55009728","time":"2025-01-02T10:20:08+08:00","data":{"account_id":"55009728","stock_code":"603390.SH",` +
	`"stock_name":"通达电气","order_type":"buy_order","strategy_name":"问财选股9728","price":12.43,"volume":1600,` +
	`"remark":"问财选股","traded_at":"2025-01-02T10:20:08+08:00"}}`

func BenchmarkDecode(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(tradeLine)))
	line := []byte(tradeLine)
	for b.Loop() {
		if _, err := events.Decode(line); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkDecodeStored(b *testing.B) {
	b.ReportAllocs()
	line := canonical(b, tradeLine)
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		if _, err := events.DecodeStored(line); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkAppendJSON(b *testing.B) {
	b.ReportAllocs()
	e, err := events.Decode([]byte(tradeLine))
	require.NoError(b, err)
	var buf []byte
	for b.Loop() {
		if buf, err = e.AppendJSON(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkContentHash(b *testing.B) {
	b.ReportAllocs()
	e, err := events.Decode([]byte(tradeLine))
	require.NoError(b, err)
	for b.Loop() {
		if _, err := e.ContentHash(); err != nil {
			b.Fatal(err)
		}
	}
}

func canonical(t testing.TB, input string) []byte {
	t.Helper()
	e, err := events.Decode([]byte(input))
	require.NoError(t, err)
	line, err := e.AppendJSON(nil)
	require.NoError(t, err)
	return line
}
