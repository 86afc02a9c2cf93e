package ingest

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBadInput(t *testing.T) {
	s := start(t, t.TempDir())
	register(t, s)
	require.Equal(t, http.StatusOK, post(t, s, lines(opened("open", "600000.SH"), saved("params"))).status)

	with := func(old, replacement string) string {
		good := trade("bad", "2025-01-02T10:00:00+08:00")
		require.Contains(t, good, old)
		return strings.Replace(good, old, replacement, 1)
	}
	about := func(typ, data string) string { return event("bad", typ, data) }
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

	for _, c := range []struct {
		name, contentType, body string
		status                  int
		field, rule             string // of the first error; contained
	}{
		// the request as a whole
		{"empty", "", "", 400, "", ""},
		{"blank", "application/json", " \n", 400, "", ""},
		{"no JSON", "", "hello", 400, "", ""},
		{"cut short", "application/json", `{"specversion":"1.0"`, 400, "", ""},
		{"empty array", "", "[]", 400, "", ""},
		{"array cut short", "", "[" + created("x", "1234567") + ",", 400, "", ""},
		{"something after the array", "", "[" + created("x", "1234567") + "] x", 400, "", ""},
		{"two objects as JSON", "application/json", created("x", "1234567") + created("y", "1234568"), 400, "", ""},
		{"blank lines", "application/x-ndjson", "\n\n", 400, "", ""},
		{"array where one event is due", "application/cloudevents+json", "[" + created("x", "1234567") + "]", 422, "", "must be a JSON object"},
		{"event where an array is due", "application/cloudevents-batch+json", created("x", "1234567"), 400, "", ""},
		{"XML", "application/xml", "<a/>", 415, "", ""},
		{"GBK", "application/json; charset=gbk", created("x", "1234567"), 415, "", ""},
		{"content type no one can read", "application/", created("x", "1234567"), 415, "", ""},
		{"10 MB", "application/json", `{"id":"` + strings.Repeat("x", 10<<20) + `"}`, 413, "", ""},
		{"10,001 events", "application/x-ndjson", strings.Repeat("{}\n", MaxRequestEvents+1), 413, "", ""},
		{"NaN", "application/json", with(`"8.300"`, "NaN"), 400, "", ""},
		{"Infinity", "application/json", with(`"8.300"`, "Infinity"), 400, "", ""},
		{"comment", "application/json", "/* hi */" + with(`"8.300"`, `"8.300"`), 400, "", ""},
		{"100,000 deep", "application/json", deep(100_000), 400, "", ""},
		// one event's own form
		{"number", "application/json", "42", 422, "", "object"},
		{"null", "application/json", "null", 422, "", "object"},
		{"no attributes", "application/json", "{}", 422, "specversion", "required"},
		{"old CloudEvents", "application/json", with(`"specversion":"1.0"`, `"specversion":"0.3"`), 422, "specversion", ""},
		{"unknown type", "application/json", with("trade.recorded.v1", "trade.deleted.v1"), 422, "type", ""},
		{"unknown attribute", "application/json", with(`"source"`, `"colour":"red","source"`), 422, "colour", "known"},
		{"unknown field", "application/json", with(`"volume"`, `"colour":"red","volume"`), 422, "data.colour", "known"},
		{"duplicate name", "application/json", with(`"volume":100`, `"volume":100,"volume":200`), 422, "data.volume", "twice"},
		{"id too long", "application/json", with(`"bad"`, `"`+strings.Repeat("x", 65)+`"`), 422, "id", "64"},
		{"id is a number", "application/json", with(`"bad"`, "7"), 422, "id", "string"},
		{"no source", "application/json", with(`"source":"test",`, ""), 422, "source", "required"},
		{"time without zone", "application/json", with(`09:30:00+08:00`, "09:30:00"), 422, "time", "zone"},
		{"time in 1066", "application/json", with(`"time":"2025`, `"time":"1066`), 422, "time", ""},
		{"another entity as subject", "application/json", with(`"source"`, `"subject":"account/1234567","source"`), 422, "subject", ""},
		{"data is a string", "application/json", about("trade.recorded.v1", `"x"`), 422, "data", "object"},
		{"invalid UTF-8", "application/json", with("浦发银行", "\xff\xfe"), 422, "", "UTF-8"},
		{"NaN as string", "application/json", with(`"8.300"`, `"NaN"`), 422, "data.price", "decimal"},
		{"price zero", "application/json", with(`"8.300"`, `0`), 422, "data.price", "greater than 0"},
		{"price negative", "application/json", with(`"8.300"`, `-1`), 422, "data.price", "greater than 0"},
		{"price huge", "application/json", with(`"8.300"`, `1e300`), 422, "data.price", "too large"},
		{"price a boolean", "application/json", with(`"8.300"`, `true`), 422, "data.price", ""},
		{"volume half a share", "application/json", with(`100`, `0.5`), 422, "data.volume", "whole"},
		{"volume zero", "application/json", with(`100`, `0`), 422, "data.volume", "at least 1"},
		{"volume beyond int64", "application/json", with(`100`, `99999999999999999999`), 422, "data.volume", ""},
		{"amount wrong", "application/json", with(`"volume"`, `"amount":"1.00","volume"`), 422, "data.amount", ""},
		{"order type unknown", "application/json", with("buy_trade", "gift"), 422, "data.order_type", ""},
		{"stock code unknown", "application/json", with("600000.SH", "AAPL"), 422, "data.stock_code", ""},
		{"no account", "application/json", with(`"account_id":"55009728",`, ""), 422, "data.account_id", "required"},
		{"before the session", "application/json", trade("bad", "2025-01-02T09:14:59+08:00"), 422, "data.traded_at", "trading day"},
		{"after the session", "application/json", trade("bad", "2025-01-02T15:30:01+08:00"), 422, "data.traded_at", "trading day"},
		{"on a Sunday", "application/json", trade("bad", "2025-01-05T10:00:00+08:00"), 422, "data.traded_at", "trading day"},
		{"on a holiday", "application/json", trade("bad", "2025-01-01T10:00:00+08:00"), 422, "data.traded_at", "trading day"},
		{"held days negative", "application/json", about("position.opened.v1", `{"account_id":"55009728","stock_code":"600000.SH","held_days":-1}`), 422, "data.held_days", ""},
		{"nothing marked", "application/json", about("position.price_marked.v1", `{"account_id":"55009728","stock_code":"600000.SH"}`), 422, "data", ""},
		{"max below min", "application/json", about("position.price_marked.v1", `{"account_id":"55009728","stock_code":"600000.SH","max_price":1,"min_price":2}`), 422, "data.max_price", ""},
		{"broker unknown", "application/json", strings.Replace(created("bad", "1234567"), "QMT", "XYZ", 1), 422, "data.broker", ""},
		{"account id with spaces", "application/json", created("bad", "12 345 67"), 422, "data.account_id", ""},
		{"params 100 deep", "application/json", about("param.saved.v1", `{"strategy_code":"wencai_v1","params":{"a":`+deep(100)+`}}`), 422, "", "deep"},
		{"params too long", "application/json", about("param.saved.v1", `{"strategy_code":"wencai_v1","params":{"a":"`+strings.Repeat("x", 1<<20)+`"}}`), 422, "", "bytes"},
		{"2,001 bars", "application/json", about("kline.recorded.v1", `{"stock_code":"600000.SH","bars":[`+bars(2001)+`]}`), 422, "data.bars", ""},
		{"plain password", "application/json", about("user.registered.v1", `{"username":"liwei","email":"li@example.com","password_hash":"secret"}`), 422, "data.password_hash", ""},
		// against the state
		{"unknown account", "application/json", strings.Replace(opened("bad", "600000.SH"), account, "99999999", 1), 422, "data.account_id", "known account"},
		{"duplicate account", "application/json", created("bad", account), 422, "data.account_id", "new"},
		{"unknown strategy", "application/json", about("param.activated.v1", `{"strategy_code":"nobody","version":1}`), 422, "data.strategy_code", "known strategy"},
		{"unknown version", "application/json", about("param.activated.v1", `{"strategy_code":"wencai_v1","version":9}`), 422, "data.version", "saved version"},
		{"status that cannot follow", "application/json", about("strategy.status_changed.v1", `{"strategy_code":"wencai_v1","status":"inactive"}`), 422, "data.status", "active"},
		{"allocation above the capital", "application/json", about("strategy.bound.v1", `{"account_id":"55009728","strategy_code":"wencai_v1","allocated_capital":"1000.01","risk_limit":5}`), 422, "data.allocated_capital", "current capital"},
		{"risk of 101 %", "application/json", about("strategy.bound.v1", `{"account_id":"55009728","strategy_code":"wencai_v1","allocated_capital":"1.00","risk_limit":101}`), 422, "data.risk_limit", ""},
		{"no such binding", "application/json", about("strategy.unbound.v1", `{"account_id":"55009728","strategy_code":"wencai_v1"}`), 422, "data.strategy_code", "bound"},
		{"unknown user", "application/json", about("user.logged_in.v1", `{"username":"nobody","ip":"10.0.0.1"}`), 422, "data.username", "known user"},
		{"id used for another event", "application/json", opened("open", "600001.SH"), 422, "id", "sequence 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := logOf(t, s)
			r := send(t, s, http.MethodPost, "/v1/events", c.contentType, []byte(c.body))
			require.Equal(t, c.status, r.status, "%.500s", r.body)
			require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
			require.NotEmpty(t, r.problem.Detail)
			if c.status == http.StatusUnprocessableEntity {
				require.Len(t, r.problem.Errors, 1, "%s", r.body)
				require.Contains(t, r.problem.Errors[0].Field, c.field, "%s", r.body)
				require.Contains(t, r.problem.Errors[0].Rule, c.rule, "%s", r.body)
				require.NotEmpty(t, r.problem.Errors[0].Rule)
				require.LessOrEqual(t, len(r.body), 4096, "an error does not repeat the input")
			}
			require.Equal(t, before, logOf(t, s), "the log is unchanged")
			require.Equal(t, http.StatusOK, send(t, s, http.MethodGet, "/readyz", "", nil).status)
		})
	}
	require.Equal(t, []string{"account", "strategy", "open", "params"}, ids(recorded(t, s)))
}

func bars(n int) string {
	var b bytes.Buffer
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		date := strconv.Itoa(1991+i/300) + "-" + pad(1+i/25%12) + "-" + pad(1+i%25)
		b.WriteString(`{"date":"` + date + `","open":1,"high":1,"low":1,"close":1,"volume":1,"amount":1}`)
	}
	return b.String()
}

func pad(n int) string {
	if n < 10 {
		return "0" + strconv.Itoa(n)
	}
	return strconv.Itoa(n)
}

func TestWrongAddress(t *testing.T) {
	s := start(t, t.TempDir())
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/", http.StatusNotFound},
		{http.MethodPost, "/v2/events", http.StatusNotFound},
		{http.MethodGet, "/v1/events", http.StatusMethodNotAllowed},
		{http.MethodDelete, "/v1/events", http.StatusMethodNotAllowed},
		{http.MethodPost, "/v1/log", http.StatusMethodNotAllowed},
		{http.MethodPost, "/v1/events?atomc=true", http.StatusBadRequest},
		{http.MethodPost, "/v1/events?atomic=maybe", http.StatusBadRequest},
		{http.MethodPost, "/v1/events?session_policy=loose", http.StatusBadRequest},
	} {
		r := send(t, s, c.method, c.path, "", []byte(created("x", "1234567")))
		require.Equal(t, c.status, r.status, "%s %s", c.method, c.path)
		require.Equal(t, "application/problem+json", r.header.Get("Content-Type"))
		if c.status == http.StatusMethodNotAllowed {
			require.NotEmpty(t, r.header.Get("Allow"))
		}
	}
	require.Contains(t, logOf(t, s), `"last_sequence":0`)
}
