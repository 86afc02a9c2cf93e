package events_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// envelope wraps a payload, so that a bad event shows only what is bad.
func envelope(typ, data string) string {
	return `{"specversion":"1.0","id":"b1","source":"strategy/wencai_v1","type":"` + typ + `","time":"2025-01-02T10:20:08+08:00","data":` + data + `}`
}

// with replaces once and fails when there is nothing to replace.
func with(t *testing.T, text string, oldNew ...string) string {
	for i := 0; i < len(oldNew); i += 2 {
		require.Contains(t, text, oldNew[i])
		text = strings.Replace(text, oldNew[i], oldNew[i+1], 1)
	}
	return text
}

const (
	bcrypt    = `$2b$12$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234`
	account   = `{"account_id":"55009728","account_name":"n","broker":"QMT","initial_capital":"1000000.00"}`
	strategy  = `{"strategy_name":"name","strategy_code":"s1","strategy_type":"wencai","version":"1.0.0"}`
	bound     = `{"account_id":"55009728","strategy_code":"s1","allocated_capital":"500000.00","risk_limit":"5.00"}`
	opened    = `{"account_id":"55009728","stock_code":"600000.SH","held_days":1}`
	marked    = `{"account_id":"55009728","stock_code":"600000.SH","max_price":9,"min_price":8}`
	capital   = `{"account_id":"55009728","current_capital":1,"total_assets":3,"position_value":2,"date":"2025-01-02"}`
	registers = `{"username":"li_lei","email":"li@example.com","password_hash":"` + bcrypt + `","roles":["admin","viewer"]}`
	bar       = `{"date":"2025-01-02","open":2,"high":3,"low":1,"close":2,"volume":100,"amount":200}`
	saved     = `{"strategy_code":"s1","params":{"a":1}}`
)

func TestDecodeRefuses(t *testing.T) {
	trade := tradeLine
	nested := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	long := func(n int) string { return strings.Repeat("深", n) }
	bars := func(n int, b string) string {
		return `{"stock_code":"600000.SH","bars":[` + strings.TrimSuffix(strings.Repeat(b+",", n), ",") + `]}`
	}
	manyKeys := func(n int) string {
		var keys []string
		for i := range n {
			keys = append(keys, `"k`+strconv.Itoa(i)+`":0`)
		}
		return `{"strategy_code":"s1","params":{` + strings.Join(keys, ",") + `}}`
	}
	for _, c := range []struct{ name, line, field, rule string }{
		// The text as a whole.
		{"nothing", ``, "", "ends too early"},
		{"spaces", "  \n ", "", "ends too early"},
		{"no JSON", `hello`, "", "must be valid JSON"},
		{"null", `null`, "", "must be a JSON object"},
		{"an array", `[]`, "", "must be a JSON object"},
		{"a string", `"x"`, "", "must be a JSON object"},
		{"cut", trade[:len(trade)-1], "", "must be valid JSON: unexpected EOF"},
		{"cut in data", trade[:len(trade)-20], "data.traded_at", "must be valid JSON: unexpected EOF"},
		{"two events", trade + trade, "", "nothing after it"},
		{"a byte order mark", "\uFEFF" + trade, "", "must be valid JSON"},
		{"invalid UTF-8", with(t, trade, "问财选股9728", "\xc3\x28"), "data.strategy_name", "invalid UTF-8"},
		{"invalid UTF-8 in a name", with(t, trade, `"remark"`, "\"rem\xffark\""), "data", "invalid UTF-8"},
		{"half a surrogate", with(t, trade, "问财选股9728", `\ud800`), "data.strategy_name", "invalid surrogate pair"},
		{"a raw control character", with(t, trade, "问财选股9728", "a\x01b"), "data.strategy_name", "must be valid JSON"},
		{"too long", trade + strings.Repeat(" ", events.MaxEventBytes), "", "must be at most 1048576 bytes"},
		{"a comment", with(t, trade, `"data":`, `/* */"data":`), "", "must be valid JSON"},
		{"10 MB", strings.Repeat("[", 10<<20), "", "must be at most 1048576 bytes"},
		{"deep where data should be", with(t, trade, `"data":{`, `"data":`+nested(5000)+`,"x":{`), "data", "must be an object"},

		// The envelope.
		{"specversion missing", with(t, trade, `"specversion":"1.0",`, ``), "specversion", "is required"},
		{"specversion", with(t, trade, `"1.0"`, `"0.3"`), "specversion", `must be "1.0"`},
		{"specversion number", with(t, trade, `"1.0"`, `1.0`), "specversion", "must be a string"},
		{"twice", with(t, trade, `"id":`, `"id":"a","id":`), "id", "must not appear twice"},
		{"twice by escape", with(t, trade, `"id":`, `"i\u0064":"a","id":`), "id", "must not appear twice"},
		{"unknown attribute", with(t, trade, `"id":`, `"sequence":1,"id":`), "sequence", "is not a known attribute"},
		{"wrong case", with(t, trade, `"id":`, `"ID":`), "ID", "is not a known attribute"},
		{"id too long", with(t, trade, "sim-55009728-000005", strings.Repeat("x", 65)), "id", "at most 64 bytes"},
		{"id with NUL", with(t, trade, "sim-", `sim\u0000`), "id", "printable"},
		{"id with newline", with(t, trade, "sim-", `sim\n`), "id", "printable"},
		{"id number", with(t, trade, `"sim-55009728-000005"`, `5`), "id", "must be a string"},
		{"source missing", with(t, trade, `"source":"strategy/wencai_v1",`, ``), "source", "is required"},
		{"source empty", with(t, trade, `strategy/wencai_v1`, ``), "source", "is required"},
		{"source too long", with(t, trade, `strategy/wencai_v1`, long(201)), "source", "at most 200 characters"},
		{"source with a tab", with(t, trade, `strategy/wencai_v1`, `a\tb`), "source", "printable"},
		{"type missing", with(t, trade, `"type":"trade.recorded.v1",`, ``), "type", "is required"},
		{"type unknown", with(t, trade, `trade.recorded.v1`, `trade.recorded.v2`), "type", "is not a known event type"},
		{"type null", with(t, trade, `"trade.recorded.v1"`, `null`), "type", "is required"},
		{"type object", with(t, trade, `"trade.recorded.v1"`, `{}`), "type", "must be a string"},
		{"subject of another", with(t, trade, `account/55009728`, `account/55009729`), "subject", "must name the entity of the data, account/55009728"},
		{"binding's subject", with(t, envelope("strategy.bound.v1", bound), `"time"`, `"subject":"user/s1","time"`), "subject", "must name the entity of the data, strategy/s1"},
		{"time missing", with(t, trade, `"time":"2025-01-02T10:20:08+08:00",`, ``), "time", "is required"},
		{"time without zone", with(t, trade, `10:20:08+08:00`, `10:20:08`), "time", "RFC 3339"},
		{"time number", with(t, trade, `"2025-01-02T10:20:08+08:00"`, `1735784408`), "time", "must be a string with an RFC 3339 time"},
		{"time too early", with(t, trade, `2025-01-02T10`, `1925-01-02T10`), "time", "1990 to 2200"},
		{"media type", with(t, trade, `"id":`, `"datacontenttype":"text/xml","id":`), "datacontenttype", `must be "application/json"`},
		{"correlation", with(t, trade, `"id":`, `"correlationid":"`+strings.Repeat("c", 65)+`","id":`), "correlationid", "at most 64 bytes"},
		{"causation", with(t, trade, `"id":`, `"causationid":"\u0085","id":`), "causationid", "printable"},
		{"data missing", `{"specversion":"1.0","source":"x","type":"trade.recorded.v1","time":"2025-01-02T10:20:08+08:00"}`, "data", "is required"},
		{"data null", envelope("position.closed.v1", `null`), "data", "is required"},
		{"data array", envelope("position.closed.v1", `[]`), "data", "must be an object"},
		{"data as text", envelope("position.closed.v1", `"{}"`), "data", "must be an object"},
		{"data before type", `{"data":{"account_id":"55009728","stock_code":5},"specversion":"1.0","source":"x","type":"position.closed.v1","time":"2025-01-02T10:20:08+08:00"}`, "data.stock_code", "must be a string"},
		{"a name twice in data before type", `{"data":{"account_id":"55009728","account_id":"55009728"},"type":"position.closed.v1"}`, "data.account_id", "must not appear twice"},

		// Trades.
		{"unknown field", with(t, trade, `"remark"`, `"note":1,"remark"`), "data.note", "is not a known field"},
		{"a field twice", with(t, trade, `"remark"`, `"volume":1,"remark"`), "data.volume", "must not appear twice"},
		{"account missing", with(t, trade, `"account_id":"55009728",`, ``), "data.account_id", "is required"},
		{"account null", with(t, trade, `"account_id":"55009728"`, `"account_id":null`), "data.account_id", "is required"},
		{"account short", with(t, trade, `"account_id":"55009728"`, `"account_id":"12345"`), "data.account_id", "6 to 50"},
		{"account with a NUL", with(t, trade, `"account_id":"55009728"`, `"account_id":"5500\u00009728"`), "data.account_id", "6 to 50"},
		{"account with a colon", with(t, trade, `"account_id":"55009728"`, `"account_id":"5500:9728"`), "data.account_id", "6 to 50"},
		{"account number", with(t, trade, `"account_id":"55009728"`, `"account_id":55009728`), "data.account_id", "must be a string"},
		{"stock", with(t, trade, `603390.SH`, `603390.HK`), "data.stock_code", "six digits"},
		{"stock lower case", with(t, trade, `603390.SH`, `sh603390`), "data.stock_code", "six digits"},
		{"stock wide digits", with(t, trade, `603390.SH`, `６０３３９０.SH`), "data.stock_code", "six digits"},
		{"stock name empty", with(t, trade, `通达电气`, ``), "data.stock_name", "is required"},
		{"stock name long", with(t, trade, `通达电气`, long(51)), "data.stock_name", "at most 50 characters"},
		{"order type", with(t, trade, `buy_order`, `buy`), "data.order_type", "must be one of buy_order, sell_order, buy_trade, sell_trade, cancel"},
		{"price type", with(t, trade, `"remark"`, `"price_type":"stop","remark"`), "data.price_type", "must be one of market, limit"},
		{"price NaN", with(t, trade, `12.43`, `NaN`), "data.price", "must be valid JSON"},
		{"price Infinity", with(t, trade, `12.43`, `-Infinity`), "data.price", "must be valid JSON"},
		{"price NaN in quotes", with(t, trade, `12.43`, `"NaN"`), "data.price", "must be a decimal number"},
		{"price empty", with(t, trade, `12.43`, `""`), "data.price", "must be a decimal number"},
		{"price true", with(t, trade, `12.43`, `true`), "data.price", "must be a decimal number or a string with one"},
		{"price negative", with(t, trade, `12.43`, `-12.43`), "data.price", "must be greater than 0"},
		{"price zero", with(t, trade, `12.43`, `0`), "data.price", "must be greater than 0"},
		{"price rounds to zero", with(t, trade, `12.43`, `1e-400`), "data.price", "must be greater than 0"},
		{"price huge", with(t, trade, `12.43`, `1e400`), "data.price", "is too large"},
		{"price with comma", with(t, trade, `12.43`, `"12,43"`), "data.price", "must be a decimal number"},
		{"volume of parts", with(t, trade, `1600`, `100.5`), "data.volume", "must be a whole number"},
		{"volume in quotes", with(t, trade, `1600`, `"1600"`), "data.volume", "must be a whole number"},
		{"volume zero", with(t, trade, `1600`, `0`), "data.volume", "must be at least 1"},
		{"volume negative", with(t, trade, `1600`, `-100`), "data.volume", "must be at least 1"},
		{"volume huge", with(t, trade, `1600`, `1000000000001`), "data.volume", "must be at most 1000000000000"},
		{"amount wrong", with(t, trade, `"remark"`, `"amount":19888.02,"remark"`), "data.amount", "must be price × volume = 19888.00"},
		{"amount zero", with(t, trade, `"remark"`, `"amount":0,"remark"`), "data.amount", "leave it out"},
		{"amount negative", with(t, trade, `"remark"`, `"amount":-19888,"remark"`), "data.amount", "must be price × volume"},
		{"amount overflows", with(t, trade, `12.43,"volume":1600`, `99999999999999,"volume":1000000000000`), "data.amount", "price × volume is too large"},
		{"amount over the limit", with(t, trade, `12.43,"volume":1600`, `1000000.001,"volume":1000000000`), "data.amount", "price × volume is too large"},
		{"strategy name", with(t, trade, `问财选股9728`, long(101)), "data.strategy_name", "at most 100 characters"},
		{"remark long", with(t, trade, `"问财选股"`, `"`+long(501)+`"`), "data.remark", "at most 500 characters"},
		{"remark with NUL", with(t, trade, `"问财选股"`, `"a\u0000"`), "data.remark", "control characters"},
		{"remark with carriage return", with(t, trade, `"问财选股"`, `"a\r\nb"`), "data.remark", "control characters"},
		{"order id", with(t, trade, `"remark"`, `"order_id":"`+strings.Repeat("o", 65)+`","remark"`), "data.order_id", "at most 64 characters"},
		{"order id with newline", with(t, trade, `"remark"`, `"order_id":"a\nb","remark"`), "data.order_id", "control characters"},
		{"traded at without zone", with(t, trade, `"traded_at":"2025-01-02T10:20:08+08:00"`, `"traded_at":"2025-01-02T10:20:08"`), "data.traded_at", "RFC 3339"},
		{"traded at missing", with(t, trade, `,"traded_at":"2025-01-02T10:20:08+08:00"`, ``), "data.traded_at", "is required"},

		// Positions.
		{"held days negative", envelope("position.opened.v1", with(t, opened, `1}`, `-1}`)), "data.held_days", "must be at least 0"},
		{"held days of parts", envelope("position.opened.v1", with(t, opened, `1}`, `1.5}`)), "data.held_days", "must be a whole number"},
		{"held days missing", envelope("position.held_days_set.v1", with(t, opened, `,"held_days":1`, ``)), "data.held_days", "is required"},
		{"held days huge", envelope("position.held_days_set.v1", with(t, opened, `1}`, `1e6000}`)), "data.held_days", "is too large"},
		{"held days over the limit", envelope("position.held_days_set.v1", with(t, opened, `1}`, `1000001}`)), "data.held_days", "must be at most 1000000"},
		{"no such day", envelope("position.days_incremented.v1", `{"account_id":"55009728","date":"2025-02-29"}`), "data.date", "must be a date"},
		{"date with time", envelope("position.days_incremented.v1", `{"account_id":"55009728","date":"2025-01-02T00:00:00Z"}`), "data.date", "must be a date"},
		{"date number", envelope("position.days_incremented.v1", `{"account_id":"55009728","date":20250102}`), "data.date", "must be a string with a date"},
		{"neither max nor min", envelope("position.price_marked.v1", with(t, marked, `,"max_price":9,"min_price":8`, ``)), "data.max_price", "or min_price is required"},
		{"max below min", envelope("position.price_marked.v1", with(t, marked, `:9`, `:7.999`)), "data.max_price", "must be at least min_price"},
		{"min zero", envelope("position.price_marked.v1", with(t, marked, `:8`, `:0`)), "data.min_price", "must be greater than 0"},

		// Accounts and strategies.
		{"account name", envelope("account.created.v1", with(t, account, `"n"`, `"`+long(101)+`"`)), "data.account_name", "at most 100 characters"},
		{"account name padded", envelope("account.created.v1", with(t, account, `"n"`, `"n "`)), "data.account_name", "start or end with a space"},
		{"account name with newline", envelope("account.updated.v1", `{"account_id":"55009728","account_name":"a\nb"}`), "data.account_name", "control characters"},
		{"account name emptied", envelope("account.updated.v1", `{"account_id":"55009728","account_name":""}`), "data.account_name", "is required"},
		{"broker", envelope("account.created.v1", with(t, account, `QMT`, `IB`)), "data.broker", "must be one of QMT, GM, TDX"},
		{"no capital", envelope("account.created.v1", with(t, account, `1000000.00`, `0.004`)), "data.initial_capital", "must be greater than 0"},
		{"capital too large", envelope("account.created.v1", with(t, account, `1000000.00`, `1000000000000000`)), "data.initial_capital", "is too large"},
		{"total", envelope("account.capital_updated.v1", with(t, capital, `:3`, `:4`)), "data.total_assets", "must be current_capital + position_value"},
		{"total missing", envelope("account.capital_updated.v1", with(t, capital, `"total_assets":3,`, ``)), "data.total_assets", "is required"},
		{"current negative", envelope("account.capital_updated.v1", with(t, capital, `:1`, `:-1`)), "data.current_capital", "must not be negative"},
		{"account status", envelope("account.status_changed.v1", `{"account_id":"55009728","status":"closed"}`), "data.status", "must be one of active, inactive, suspended"},
		{"strategy name short", envelope("strategy.created.v1", with(t, strategy, `"name"`, `"问财"`)), "data.strategy_name", "at least 3 characters"},
		{"strategy code", envelope("strategy.created.v1", with(t, strategy, `"s1"`, `"S1"`)), "data.strategy_code", "1 to 50 lower-case"},
		{"strategy type", envelope("strategy.created.v1", with(t, strategy, `"wencai"`, `"magic"`)), "data.strategy_type", "must be one of wencai, remote, technical"},
		{"version", envelope("strategy.created.v1", with(t, strategy, `1.0.0`, `1.0`)), "data.version", "must be a version x.y.z"},
		{"version with zeros", envelope("strategy.updated.v1", `{"strategy_code":"s1","version":"1.01.0"}`), "data.version", "must be a version x.y.z"},
		{"status empty", envelope("strategy.created.v1", with(t, strategy, `"version"`, `"status":"","version"`)), "data.status", "leave it out"},
		{"status", envelope("strategy.status_changed.v1", `{"strategy_code":"s1","status":"paused"}`), "data.status", "must be one of testing, active, inactive"},
		{"description", envelope("strategy.updated.v1", `{"strategy_code":"s1","description":"`+long(1001)+`"}`), "data.description", "at most 1000 characters"},
		{"allocated", envelope("strategy.bound.v1", with(t, bound, `500000.00`, `-0`)), "data.allocated_capital", "must be greater than 0"},
		{"risk over", envelope("strategy.bound.v1", with(t, bound, `5.00`, `100.01`)), "data.risk_limit", "must be 0 to 100"},
		{"risk below", envelope("strategy.binding_changed.v1", `{"account_id":"55009728","strategy_code":"s1","risk_limit":-0.01}`), "data.risk_limit", "must be 0 to 100"},
		{"binding status", envelope("strategy.binding_changed.v1", `{"account_id":"55009728","strategy_code":"s1","status":"off"}`), "data.status", "must be one of active, paused"},
		{"unbound with more", envelope("strategy.unbound.v1", bound), "data.allocated_capital", "is not a known field"},

		// Parameters.
		{"params missing", envelope("param.saved.v1", `{"strategy_code":"s1"}`), "data.params", "is required"},
		{"params array", envelope("param.saved.v1", with(t, saved, `{"a":1}`, `[1]`)), "data.params", "must be an object"},
		{"params twice", envelope("param.saved.v1", with(t, saved, `"a":1`, `"a":1,"a":2`)), "data.params.a", "must not appear twice"},
		{"params twice inside", envelope("param.saved.v1", with(t, saved, `:1`, `:`+`[{"b":1,"b":2}]`)), "data.params.a[0].b", "must not appear twice"},
		{"params deep", envelope("param.saved.v1", with(t, saved, `:1`, `:`+nested(62))), "data.params", "nested deeper than 64"},
		{"params very deep", envelope("param.saved.v1", with(t, saved, `:1`, `:`+nested(20000))), "data.params.a[0][0]…", "nested deeper than 64"},
		{"params empty key", envelope("param.saved.v1", with(t, saved, `"a"`, `""`)), "data.params", "keys of 1 to 100 characters"},
		{"params long key", envelope("param.saved.v1", with(t, saved, `"a"`, `"`+long(101)+`"`)), "data.params." + long(64) + "…", "at most 100 characters"},
		{"params key with NUL", envelope("param.saved.v1", with(t, saved, `"a"`, `"\u0000"`)), "data.params.\x00", "control characters"},
		{"too many params", envelope("param.saved.v1", manyKeys(501)), "data.params", "at most 500 keys"},
		{"version of params", envelope("param.activated.v1", `{"strategy_code":"s1","version":0}`), "data.version", "must be at least 1"},
		{"version of params of parts", envelope("param.activated.v1", `{"strategy_code":"s1","version":1.5}`), "data.version", "must be a whole number"},

		// Klines.
		{"no bars", envelope("kline.recorded.v1", bars(0, bar)), "data.bars", "at least one bar"},
		{"too many bars", envelope("kline.recorded.v1", bars(2001, bar)), "data.bars", "at most 2000 bars"},
		{"a day twice", envelope("kline.recorded.v1", bars(2, bar)), "data.bars[1].date", "must not appear twice"},
		{"low above open", envelope("kline.recorded.v1", bars(1, with(t, bar, `"low":1`, `"low":2.001`))), "data.bars[0].low", "must be at most open, close and high"},
		{"high below close", envelope("kline.recorded.v1", bars(1, with(t, bar, `"high":3`, `"high":1.5`))), "data.bars[0].high", "must be at least open and close"},
		{"low negative", envelope("kline.recorded.v1", bars(1, with(t, bar, `"low":1`, `"low":-1`))), "data.bars[0].low", "must not be negative"},
		{"volume negative in a bar", envelope("kline.recorded.v1", bars(1, with(t, bar, `100`, `-1`))), "data.bars[0].volume", "must be at least 0"},
		{"amount negative in a bar", envelope("kline.recorded.v1", bars(1, with(t, bar, `200`, `-1`))), "data.bars[0].amount", "must not be negative"},
		{"close missing in a bar", envelope("kline.recorded.v1", `{"stock_code":"600000.SH","bars":[`+bar+`,`+with(t, bar, `"close":2,`, ``)+`]}`), "data.bars[1].close", "is required"},
		{"unknown field in a bar", envelope("kline.recorded.v1", bars(1, with(t, bar, `"open"`, `"adj":1,"open"`))), "data.bars[0].adj", "is not a known field"},
		{"bar null", envelope("kline.recorded.v1", bars(1, `null`)), "data.bars[0]", "is required"},
		{"bars object", envelope("kline.recorded.v1", `{"stock_code":"600000.SH","bars":{}}`), "data.bars", "must be an array"},

		// Users.
		{"user name", envelope("user.registered.v1", with(t, registers, `li_lei`, `li lei`)), "data.username", "3 to 50 letters"},
		{"e-mail", envelope("user.registered.v1", with(t, registers, `li@example.com`, `li at example`)), "data.email", "must be an e-mail address"},
		{"e-mail with a name", envelope("user.registered.v1", with(t, registers, `li@example.com`, `Li <li@example.com>`)), "data.email", "must be an e-mail address"},
		{"plain password", envelope("user.registered.v1", with(t, registers, bcrypt, `s3cret`)), "data.password_hash", "a plain password never reaches the log"},
		{"cheap hash", envelope("user.registered.v1", with(t, registers, `$12$`, `$09$`)), "data.password_hash", "bcrypt cost of 10"},
		{"cost without sense", envelope("user.password_changed.v1", `{"username":"li_lei","password_hash":"`+with(t, bcrypt, `$12$`, `$99$`)+`"}`), "data.password_hash", "bcrypt cost of 10"},
		{"real name", envelope("user.registered.v1", with(t, registers, `"roles"`, `"real_name":"`+long(101)+`","roles"`)), "data.real_name", "at most 100 characters"},
		{"role", envelope("user.registered.v1", with(t, registers, `"viewer"`, `"root"`)), "data.roles[1]", "must be one of admin, developer, trader, viewer"},
		{"role twice", envelope("user.registered.v1", with(t, registers, `"viewer"`, `"admin"`)), "data.roles[1]", "must not appear twice"},
		{"role number", envelope("user.registered.v1", with(t, registers, `"viewer"`, `1`)), "data.roles[1]", "must be a string"},
		{"roles text", envelope("user.registered.v1", with(t, registers, `["admin","viewer"]`, `"admin"`)), "data.roles", "must be an array"},
		{"ip", envelope("user.logged_in.v1", `{"username":"li_lei","ip":"256.0.0.1"}`), "data.ip", "must be an IPv4 or IPv6 address"},
		{"ip with a zone", envelope("user.login_failed.v1", `{"username":"li_lei","ip":"fe80::1%eth0"}`), "data.ip", "must be an IPv4 or IPv6 address"},
		{"user status", envelope("user.status_changed.v1", `{"username":"li_lei","status":"suspended"}`), "data.status", "must be one of active, inactive, locked"},
		{"role granted", envelope("role.granted.v1", `{"username":"li_lei","role":"Admin"}`), "data.role", "must be one of admin"},
		{"unknown tier", envelope("tier.parked.v1", `{"tier":"tape","action":"parked","about":"account/55009728","sequence":1}`), "data.tier", "must be one of"},
		{"unknown action", envelope("tier.parked.v1", `{"tier":"mysql","action":"lost","about":"account/55009728","sequence":1}`), "data.action", "must be one of"},
		{"no sequence", envelope("tier.parked.v1", `{"tier":"mysql","action":"parked","about":"account/55009728","sequence":0}`), "data.sequence", "must be at least 1"},
		{"role missing", envelope("role.revoked.v1", `{"username":"li_lei"}`), "data.role", "is required"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := events.Decode([]byte(c.line))
			var invalid *events.InvalidError
			require.ErrorAs(t, err, &invalid)
			require.Equal(t, c.field, invalid.Field, invalid.Error())
			require.Contains(t, invalid.Rule, c.rule)
			require.Less(t, len(invalid.Error()), 2000, "an error never carries the input along")
			require.LessOrEqual(t, len([]rune(invalid.Value)), 67)
			require.NotContains(t, invalid.Error(), "s3cret")
		})
	}
}

// TestTheGoodOnesAreGood keeps the table above honest: what it breaks is fine
// before it is broken.
func TestTheGoodOnesAreGood(t *testing.T) {
	for typ, data := range map[string]string{
		"account.created.v1": account, "strategy.created.v1": strategy, "strategy.bound.v1": bound, "position.opened.v1": opened,
		"position.price_marked.v1": marked, "account.capital_updated.v1": capital, "user.registered.v1": registers, "param.saved.v1": saved,
		"kline.recorded.v1": `{"stock_code":"SH600000","bars":[` + bar + `]}`,
	} {
		_, err := events.Decode([]byte(envelope(typ, data)))
		require.NoError(t, err, typ)
	}
	deepest := with(t, saved, `:1`, `:`+strings.Repeat("[", 61)+strings.Repeat("]", 61))
	_, err := events.Decode([]byte(envelope("param.saved.v1", deepest)))
	require.NoError(t, err)
}
