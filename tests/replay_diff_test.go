package tests

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// taped is an event as this test reads it, by none of the code under test.
type taped struct {
	sequence int
	ID       string    `json:"id"`
	Type     string    `json:"type"`
	Time     time.Time `json:"time"`
	Data     struct {
		Account   string         `json:"account_id"`
		Stock     string         `json:"stock_code"`
		HeldDays  int            `json:"held_days"`
		Date      string         `json:"date"`
		Max       string         `json:"max_price"`
		Min       string         `json:"min_price"`
		OrderType string         `json:"order_type"`
		Volume    int64          `json:"volume"`
		Amount    string         `json:"amount"`
		Strategy  string         `json:"strategy_code"`
		Params    map[string]any `json:"params"`
		Version   any            `json:"version"`
	} `json:"data"`
}

func tape(t testing.TB, url string) []taped {
	t.Helper()
	var all []taped
	for i, line := range bytes.Split(bytes.TrimSpace(rawLog(t, url)), []byte("\n")) {
		e := taped{sequence: i + 1}
		d := json.NewDecoder(bytes.NewReader(line))
		d.UseNumber()
		require.NoError(t, d.Decode(&e))
		all = append(all, e)
	}
	return all
}

// plain is a plain fold: fields by "kind key", and sums of executions by
// account and stock.
type plain struct {
	fields map[string]map[string]any
	trades map[string][4]int64 // bought, sold, paid, received
	events map[string]int
}

func foldPlain(t testing.TB, all []taped, keep func(taped) bool) plain {
	t.Helper()
	p := plain{make(map[string]map[string]any), make(map[string][4]int64), make(map[string]int)}
	saved := make(map[string]map[string]map[string]any) // strategy, version, params
	active := make(map[string]string)
	set := func(kind, key, field string, value any) {
		if p.fields[kind+" "+key] == nil {
			p.fields[kind+" "+key] = make(map[string]any)
		}
		p.fields[kind+" "+key][field] = value
	}
	for _, e := range all {
		if !keep(e) {
			continue
		}
		p.events[e.Type]++
		d := e.Data
		position := d.Account + "/" + d.Stock
		switch e.Type {
		case "position.opened.v1", "position.held_days_set.v1":
			set("position", position, "held_days", d.HeldDays)
		case "position.closed.v1":
			delete(p.fields, "position "+position)
		case "position.price_marked.v1":
			if d.Max != "" {
				set("position", position, "max_price", d.Max)
			}
			if d.Min != "" {
				set("position", position, "min_price", d.Min)
			}
		case "position.days_incremented.v1":
			if last, ok := p.fields["inc_date "+d.Account]["inc_date"]; ok && last.(string) >= d.Date {
				continue
			}
			set("inc_date", d.Account, "inc_date", d.Date)
			for key, fields := range p.fields {
				if held, ok := fields["held_days"]; ok && strings.HasPrefix(key, "position "+d.Account+"/") {
					fields["held_days"] = held.(int) + 1
				}
			}
		case "trade.recorded.v1":
			amount, ok := new(big.Rat).SetString(d.Amount)
			require.True(t, ok)
			fen := new(big.Rat).Mul(amount, big.NewRat(100, 1)).Num().Int64()
			sum := p.trades[position]
			switch d.OrderType {
			case "buy_trade":
				sum[0], sum[2] = sum[0]+d.Volume, sum[2]+fen
			case "sell_trade":
				sum[1], sum[3] = sum[1]+d.Volume, sum[3]+fen
			}
			p.trades[position] = sum
		case "param.saved.v1", "param.activated.v1":
			version := fmt.Sprint(d.Version)
			if e.Type == "param.saved.v1" {
				if saved[d.Strategy] == nil {
					saved[d.Strategy] = make(map[string]map[string]any)
				}
				saved[d.Strategy][version] = d.Params
			}
			active[d.Strategy] = version
		}
	}
	for code, versions := range saved {
		set("param", code, "saved_versions", len(versions))
		set("param", code, "active_version", active[code])
		for name, value := range versions[active[code]] {
			set("param", code, "params."+name, value)
		}
	}
	return p
}

// difference is what a command answers.
type difference struct {
	Equal   bool `json:"equal"`
	Orphans int  `json:"orphans"`
	Changes []struct {
		Kind   string `json:"kind"`
		Key    string `json:"key"`
		Change string `json:"change"`
		Fields []struct {
			Field string `json:"field"`
			From  any    `json:"from"`
			To    any    `json:"to"`
		} `json:"fields"`
	} `json:"changes"`
	Trades []struct {
		Account  string `json:"account_id"`
		Stock    string `json:"stock_code"`
		Bought   int64  `json:"bought_volume"`
		Sold     int64  `json:"sold_volume"`
		Net      int64  `json:"net_volume"`
		Paid     string `json:"paid"`
		Received string `json:"received"`
		CashFlow string `json:"cash_flow"`
	} `json:"trades"`
	Events []struct {
		Type  string `json:"type"`
		Count int    `json:"count"`
	} `json:"events"`
}

func answer(t testing.TB, env []string, args ...string) difference {
	t.Helper()
	stdout, stderr, code := run(t, env, "replay", append(args, "--json")...)
	require.Contains(t, []int{0, 1}, code, "%v: %s", args, stderr)
	var d difference
	decoder := json.NewDecoder(strings.NewReader(stdout))
	decoder.UseNumber()
	require.NoError(t, decoder.Decode(&d))
	require.Equal(t, d.Equal, code == 0, "the exit code tells of differences")
	return d
}

// values are the values of a plain fold's kinds before and after, by
// "kind key field".
func (d difference) values() (from, to map[string]string, verbs map[string]string) {
	from, to, verbs = make(map[string]string), make(map[string]string), make(map[string]string)
	for _, c := range d.Changes {
		if !slices.Contains([]string{"position", "inc_date", "param"}, c.Kind) {
			continue
		}
		verbs[c.Kind+" "+c.Key] = c.Change
		for _, f := range c.Fields {
			at := c.Kind + " " + c.Key + " " + f.Field
			if f.From != nil {
				from[at] = fmt.Sprint(f.From)
			}
			if f.To != nil {
				to[at] = fmt.Sprint(f.To)
			}
		}
	}
	return from, to, verbs
}

// requireBetween holds an answer against two plain folds.
func requireBetween(t testing.TB, a, b plain, got difference, byStock bool) {
	t.Helper()
	wantFrom, wantTo, wantVerbs := make(map[string]string), make(map[string]string), make(map[string]string)
	for key := range union(a.fields, b.fields) {
		before, after := a.fields[key], b.fields[key]
		for field := range union(before, after) {
			x, inA := before[field]
			y, inB := after[field]
			if inA && inB && reflect.DeepEqual(x, y) {
				continue
			}
			if inA && x != nil {
				wantFrom[key+" "+field] = fmt.Sprint(x)
			}
			if inB && y != nil {
				wantTo[key+" "+field] = fmt.Sprint(y)
			}
			verb := "changed"
			_, heldA := before["held_days"]
			_, heldB := after["held_days"]
			switch {
			case !heldA && heldB:
				verb = "opened"
			case heldA && !heldB:
				verb = "closed"
			case before == nil:
				verb = "added"
			case after == nil:
				verb = "removed"
			}
			wantVerbs[key] = verb
		}
	}
	from, to, verbs := got.values()
	require.Equal(t, wantVerbs, verbs)
	require.Equal(t, wantFrom, from)
	require.Equal(t, wantTo, to)

	wantTrades := make(map[string][4]int64)
	for key := range union(a.trades, b.trades) {
		at, _, _ := strings.Cut(key, "/")
		if byStock {
			at = key
		}
		sum := wantTrades[at]
		for i := range sum {
			sum[i] += b.trades[key][i] - a.trades[key][i]
		}
		wantTrades[at] = sum
	}
	maps.DeleteFunc(wantTrades, func(_ string, sum [4]int64) bool { return sum == [4]int64{} })
	gotTrades := make(map[string][4]int64)
	for _, s := range got.Trades {
		at := s.Account
		if byStock {
			at += "/" + s.Stock
		}
		sum := [4]int64{s.Bought, s.Sold, fen(t, s.Paid), fen(t, s.Received)}
		require.Equal(t, s.Bought-s.Sold, s.Net)
		require.Equal(t, sum[3]-sum[2], fen(t, s.CashFlow))
		if sum != [4]int64{} { // else orders alone
			gotTrades[at] = sum
		}
	}
	require.Equal(t, wantTrades, gotTrades)
}

func union[V, W any](a map[string]V, b map[string]W) map[string]bool {
	keys := make(map[string]bool)
	for key := range a {
		keys[key] = true
	}
	for key := range b {
		keys[key] = true
	}
	return keys
}

func fen(t testing.TB, money string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.Replace(money, ".", "", 1), 10, 64)
	require.NoError(t, err)
	return n
}

// TestDiff holds the difference of random moments against a plain fold.
func TestDiff(t *testing.T) {
	t.Parallel()
	in, env := filled(t)
	all := tape(t, in.nats)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	moment := func() (text string, keep func(taped) bool) {
		if random.IntN(2) == 0 {
			n := random.IntN(len(all) + 1)
			return strconv.Itoa(n), func(e taped) bool { return e.sequence <= n }
		}
		at := all[random.IntN(len(all))].Time
		return "time:" + at.Format(time.RFC3339Nano), func(e taped) bool { return !e.Time.After(at) }
	}
	for range 16 {
		a, keepA := moment()
		b, keepB := moment()
		t.Logf("%s … %s", a, b)
		foldA, foldB := foldPlain(t, all, keepA), foldPlain(t, all, keepB)
		got := answer(t, env, "diff", "--at", a, "--at", b)
		requireBetween(t, foldA, foldB, got, false)
		counted := make(map[string]int)
		for _, c := range got.Events {
			counted[c.Type] = c.Count
		}
		for typ := range union(foldA.events, foldB.events) {
			require.Equal(t, foldB.events[typ]-foldA.events[typ], counted[typ], typ)
		}
	}
	got := answer(t, env, "diff", "--at", "2000", "--at", "end", "--account", "55009728")
	require.NotEmpty(t, got.Changes)
	for _, c := range got.Changes {
		require.Contains(t, c.Key, "9728", "nothing but the account and its strategy")
	}

	require.True(t, answer(t, env, "diff", "--at", "end", "--at", strconv.Itoa(len(all))).Equal)
	between := time.Now()
	status, body := in.post(t, "application/json", []byte(`{"specversion":"1.0","id":"late","source":"test","type":"position.opened.v1","time":"2025-02-03T10:00:00+08:00","data":{"account_id":"55009728","stock_code":"000001.SZ","held_days":5}}`))
	require.Equal(t, 200, status, "%s", body)
	got = answer(t, env, "diff", "--at", "logged:"+between.Format(time.RFC3339Nano), "--at", "end")
	require.Len(t, got.Changes, 1)
	require.Equal(t, "opened", got.Changes[0].Change)
	require.Equal(t, "55009728/000001.SZ", got.Changes[0].Key)

	stdout, _, code := run(t, env, "replay", "diff", "--at", "0", "--at", "9", "--account", "alltypes")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "account")
	stdout, _, _ = run(t, env, "replay", "diff", "--at", "3", "--at", "4")
	require.Contains(t, stdout, "password_hash")
	require.NotContains(t, stdout, "$2a$", "hashes stay off the screen")
	for _, refused := range [][]string{{"--at", "1"}, {"--at", "1", "--at", "2", "--at", "3"}, {"--at", "1", "--at", "2025-06-30"}, {"--at", "1", "--at", "99999999"},
		{"--at", "1", "--at", "time:"}, {"--at", "1", "--at", "end", "--account", "nobody"}} {
		_, stderr, code := run(t, env, "replay", append([]string{"diff"}, refused...)...)
		require.Equal(t, 2, code, "%v: %s", refused, stderr)
	}
}

// TestWhatIf leaves random events out and holds the difference against a plain
// fold of the rest.
func TestWhatIf(t *testing.T) {
	t.Parallel()
	in, env := filled(t)
	all := tape(t, in.nats)
	before := in.log(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for i := range 10 {
		drop := make(map[string]bool)
		args := []string{"what-if"}
		for len(drop) < 1+random.IntN(30) {
			e := all[random.IntN(len(all))]
			if strings.HasPrefix(e.Type, "position.") || e.Type == "trade.recorded.v1" {
				drop[e.ID] = true
			}
		}
		until := len(all)
		if i%2 == 0 {
			for _, e := range all {
				if drop[e.ID] {
					until = e.sequence
				}
			}
			until += random.IntN(len(all) - until + 1)
			args = append(args, "--until-sequence", strconv.Itoa(until))
		}
		for id := range drop {
			args = append(args, "--drop-event", id)
		}
		real := foldPlain(t, all, func(e taped) bool { return e.sequence <= until })
		other := foldPlain(t, all, func(e taped) bool { return e.sequence <= until && !drop[e.ID] })
		requireBetween(t, real, other, answer(t, env, args...), true)
	}

	created, orphans := 0, 0
	for _, e := range all {
		switch {
		case e.Data.Account == "55009728" && e.Type == "account.created.v1":
			created = e.sequence
		case e.Data.Account == "55009728":
			orphans++
		}
	}
	got := answer(t, env, "what-if", "--drop-event", all[created-1].ID)
	require.Equal(t, orphans, got.Orphans, "every later event of the account")
	verbs := make(map[string]string)
	for _, c := range got.Changes {
		verbs[c.Kind] = c.Change
	}
	require.Equal(t, map[string]string{"account": "removed", "binding": "removed"}, verbs, "positions and trades count without their account")
	require.Empty(t, got.Trades)

	got = answer(t, env, "what-if", "--params", "alle=2")
	require.Len(t, got.Changes, 1)
	from, to, _ := got.values()
	require.Equal(t, map[string]string{"param alle active_version": "1", "param alle params.z": "1.10", "param alle params.a": "[1E400 -0]"}, from, "members in another order are no difference")
	require.Equal(t, map[string]string{"param alle active_version": "2", "param alle params.z": "1.1"}, to)
	require.True(t, answer(t, env, "what-if", "--params", "alle=1").Equal)

	stdout, _, code := run(t, env, "replay", "what-if", "--drop-event", all[created-1].ID, "--account", "55009728")
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "must be a known account")
	require.Contains(t, stdout, "nothing was written")
	for _, refused := range [][]string{{}, {"--drop-event", "nope"}, {"--params", "alle"}, {"--params", "alle=3"}, {"--params", "alle=0"}, {"--params", "nope=1"},
		{"--params", "alle=1", "--params", "alle=2"}, {"--drop-event", "all-17", "--params", "alle=2"}, {"--drop-event", all[created-1].ID, "--until-sequence", "1"}} {
		_, stderr, code := run(t, env, "replay", append([]string{"what-if"}, refused...)...)
		require.Equal(t, 2, code, "%v: %s", refused, stderr)
	}
	require.Equal(t, before, in.log(t), "nothing was written")
}
