package events_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

func TestEveryTypeHasAGenerator(t *testing.T) {
	require.ElementsMatch(t, slices.Collect(maps.Keys(events.Schemas())), slices.Collect(maps.Keys(payloads)))
}

// TestRoundTrip: decoding what was encoded gives the event back, strictly and
// from the log, and encoding that gives the same bytes.
func TestRoundTrip(t *testing.T) {
	for _, typ := range slices.Sorted(maps.Keys(payloads)) {
		t.Run(string(typ), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				e := genEvent(typ).Draw(t, "event")
				line, err := e.AppendJSON(nil)
				require.NoError(t, err)
				stored, err := events.DecodeStored(line)
				require.NoError(t, err)
				require.Equal(t, e, stored)
				strict, err := events.Decode(line)
				require.NoError(t, err, describe(e))
				require.Equal(t, e, strict)
				require.NoError(t, strict.Validate())
				require.Equal(t, e, strict, "validating twice changes nothing")
				again, err := strict.AppendJSON(nil)
				require.NoError(t, err)
				require.Equal(t, string(line), string(again))
			})
		})
	}
}

// TestFormsAreEqual: spaces, escapes and the order of members change nothing.
func TestFormsAreEqual(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		typ := rapid.SampledFrom(slices.Sorted(maps.Keys(payloads))).Draw(t, "type")
		e := genEvent(typ).Draw(t, "event")
		line, err := e.AppendJSON(nil)
		require.NoError(t, err)
		form := reversed(t, line)
		require.NoError(t, form.Indent())
		got, err := events.Decode(form)
		require.NoError(t, err, string(form))
		require.Equal(t, e, got)
	})
}

// reversed puts the members of the event in the opposite order, data first.
func reversed(t require.TestingT, line []byte) jsontext.Value {
	dec := jsontext.NewDecoder(bytes.NewReader(line))
	_, err := dec.ReadToken()
	require.NoError(t, err)
	var members []string
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		require.NoError(t, err)
		member := string(name)
		value, err := dec.ReadValue()
		require.NoError(t, err)
		members = append(members, member+":"+string(value))
	}
	slices.Reverse(members)
	return jsontext.Value("{" + strings.Join(members, ",") + "}")
}

func TestDecodeNormalizes(t *testing.T) {
	for _, c := range []struct{ name, give, take, want string }{
		{"a binding's subject may name the account", `"subject":"strategy/s1"`, `"subject":"account/55009728"`, `"subject":"strategy/s1"`},
		{"no subject", `"subject":"strategy/s1",`, ``, `"subject":"strategy/s1"`},
		{"another zone", `2025-01-02T08:32:00+08:00`, `2025-01-02T00:32:00.000000999Z`, `"time":"2025-01-02T08:32:00+08:00"`},
		{"media type", `"subject"`, `"datacontenttype":"application/json","subject"`, `"type":"strategy.bound.v1","subject"`},
		{"number", `"500000.00"`, `500000`, `"allocated_capital":"500000.00"`},
		{"exponent", `"500000.00"`, `5e5`, `"allocated_capital":"500000.00"`},
		{"rounding", `"500000.00"`, `"499999.995"`, `"allocated_capital":"500000.00"`},
		{"null is absent", `"5.00"`, `5,"status":null`, `"status":"active"`},
		{"escapes", `"s1"}`, `"\u0073\u0031"}`, `"strategy_code":"s1"`},
		{"escaped name", `"risk_limit"`, `"risk\u005flimit"`, `"risk_limit":"5.00"`},
	} {
		const bound = `{"specversion":"1.0","id":"b1","source":"strategy/wencai_v1","type":"strategy.bound.v1","subject":"strategy/s1",` +
			`"time":"2025-01-02T08:32:00+08:00","data":{"account_id":"55009728","allocated_capital":"500000.00","risk_limit":"5.00","strategy_code":"s1"}}`
		require.Contains(t, bound, c.give, c.name)
		require.Contains(t, string(canonical(t, strings.Replace(bound, c.give, c.take, 1))), c.want, c.name)
	}
	require.Contains(t, string(canonical(t, strings.Replace(tradeLine, `"603390.SH"`, `"SH603390"`, 1))), `"stock_code":"603390.SH"`)
	require.Contains(t, string(canonical(t, strings.Replace(tradeLine, `1600`, `16.0e2`, 1))), `"volume":1600,"amount":"19888.00"`)
	// price × volume is 12.430 × 1 and a half fen.
	require.Contains(t, string(canonical(t, strings.Replace(tradeLine, `12.43,"volume":1600`, `0.005,"volume":1`, 1))), `"amount":"0.01"`)
	require.Contains(t, string(canonical(t, strings.Replace(tradeLine, `"remark"`, `"amount":19888.01,"remark"`, 1))), `"amount":"19888.01"`,
		"a given amount may be off by 0.01 and stays as given")
	require.Contains(t, string(canonical(t, strings.Replace(tradeLine, `12.43,"volume":1600`, `99999.999,"volume":9999999999`, 1))), `"amount":"999999989900000.00"`)
}

func TestMissingIDBecomesUUIDv7(t *testing.T) {
	e, err := events.Decode([]byte(strings.Replace(tradeLine, `"id":"sim-55009728-000005",`, "", 1)))
	require.NoError(t, err)
	id, err := uuid.Parse(e.ID)
	require.NoError(t, err)
	require.Equal(t, uuid.Version(7), id.Version())
}

func TestDecodeKeepsNoReferenceToItsInput(t *testing.T) {
	line := []byte(`{"data":{"strategy_code":"s1","params":{"a":[1,2]}},"specversion":"1.0","id":"p1","source":"x","type":"param.saved.v1","time":"2025-01-02T08:32:00+08:00"}`)
	e, err := events.Decode(line)
	require.NoError(t, err)
	before, err := e.AppendJSON(nil)
	require.NoError(t, err)
	stored, err := events.DecodeStored(line)
	require.NoError(t, err)
	for i := range line {
		line[i] = 'x'
	}
	for _, e := range []*events.Event{e, stored} {
		e.Subject = "strategy/s1"
		after, err := e.AppendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, string(before), string(after))
	}
}

func TestValidateGoBuiltEvent(t *testing.T) {
	price := events.Price(8300)
	e := &events.Event{
		Source: "strategy/wencai_v1", Time: time.Date(2025, 1, 2, 1, 30, 0, 123456789, time.UTC),
		Data: &events.PositionPriceMarked{AccountID: "55009728", StockCode: "SH600000", MaxPrice: &price},
	}
	require.NoError(t, e.Validate())
	require.NotEmpty(t, e.ID)
	require.Equal(t, "account/55009728", e.Subject)
	require.Equal(t, "2025-01-02T09:30:00.123456+08:00", events.FormatTime(e.Time))
	require.Equal(t, "600000.SH", e.Data.(*events.PositionPriceMarked).StockCode)

	var invalid *events.InvalidError
	require.ErrorAs(t, (&events.Event{Source: "x", Time: e.Time}).Validate(), &invalid)
	require.Equal(t, "data", invalid.Field)
	e.Data.(*events.PositionPriceMarked).StockCode = "600000.SH\xff"
	require.ErrorAs(t, e.Validate(), &invalid)
	require.Equal(t, "data.stock_code", invalid.Field)
	require.True(t, strings.HasSuffix(invalid.Value, "\uFFFD"))
}

func TestContentHash(t *testing.T) {
	hash := func(line string) uint64 {
		e, err := events.Decode([]byte(line))
		require.NoError(t, err)
		h, err := e.ContentHash()
		require.NoError(t, err)
		return h
	}
	require.Equal(t, hash(tradeLine), hash(strings.Replace(tradeLine, `12.43`, `"12.430"`, 1)), "another form of the same content")
	require.NotEqual(t, hash(tradeLine), hash(strings.Replace(tradeLine, `12.43`, `12.44`, 1)))
	const saved = `{"specversion":"1.0","id":"p1","source":"x","type":"param.saved.v1","time":"2025-01-02T08:32:00+08:00","data":{"strategy_code":"s1","params":{}}}`
	e, err := events.Decode([]byte(saved))
	require.NoError(t, err)
	e.Data.(*events.ParamSaved).Version = 7
	h, err := e.ContentHash()
	require.NoError(t, err)
	require.Equal(t, hash(saved), h, "the version that ingest gave does not count")
	require.Equal(t, int64(7), e.Data.(*events.ParamSaved).Version)
	// Ingest's memory of ids outlives the process: the hash must never change.
	require.Equal(t, uint64(0x2724246b9089db33), hash(tradeLine))
}

func TestOlderVersionIsUpcast(t *testing.T) {
	// Two steps: v-1 called the stock "code", v0 had no held_days.
	undo := events.RegisterUpcast("position.opened.v-1", func(v jsontext.Value) (events.Type, jsontext.Value, error) {
		return "position.opened.v0", bytes.Replace(v, []byte(`"code"`), []byte(`"stock_code"`), 1), nil
	})
	defer undo()
	defer events.RegisterUpcast("position.opened.v0", func(v jsontext.Value) (events.Type, jsontext.Value, error) {
		if bytes.Contains(v, []byte("broken")) {
			return "", nil, fmt.Errorf("must have been written by us")
		}
		return events.TypePositionOpened, bytes.Replace(v, []byte("}"), []byte(`,"held_days":3}`), 1), nil
	})()
	const old = `{"specversion":"1.0","id":"o1","source":"x","type":"position.opened.v-1","subject":"account/55009728",` +
		`"time":"2025-01-02T08:32:00+08:00","data":{"account_id":"55009728","code":"600000.SH"}}`
	want := &events.PositionOpened{AccountID: "55009728", StockCode: "600000.SH", HeldDays: 3}
	for _, decode := range []func([]byte) (*events.Event, error){events.Decode, events.DecodeStored} {
		e, err := decode([]byte(old))
		require.NoError(t, err)
		require.Equal(t, want, e.Data)
		_, err = decode([]byte(strings.Replace(old, "600000.SH", "broken", 1)))
		require.ErrorContains(t, err, "data: must have been written by us")
	}
	undo()
	_, err := events.DecodeStored([]byte(old))
	require.ErrorContains(t, err, "type: is not a known event type")
}

func TestDecodeStoredRefusesWhatItDoesNotKnow(t *testing.T) {
	_, err := events.DecodeStored(bytes.Replace(canonical(t, tradeLine), []byte(`"remark"`), []byte(`"a_newer_field":1,"remark"`), 1))
	require.ErrorContains(t, err, "data.a_newer_field: is not a known field")
}
