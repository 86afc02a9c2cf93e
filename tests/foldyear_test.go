package tests

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// foldYear folds the sample year's events that pass into what the tiers must
// hold, in the test's own few lines.
func foldYear(t testing.TB, ndjson []byte, pass func(n int, at time.Time) bool) *market {
	t.Helper()
	m := &market{klines: map[string]map[int64]marketBar{}}
	accounts, strategies := map[string]*marketAccount{}, map[string]*marketStrategy{}
	type text = string
	for i, line := range bytes.Split(bytes.TrimSpace(ndjson), []byte("\n")) {
		var e struct {
			Type string
			Time time.Time
			Data json.RawMessage
		}
		require.NoError(t, json.Unmarshal(line, &e))
		if !pass(i+1, e.Time) {
			continue
		}
		var d struct {
			Account  text         `json:"account_id"`
			Stock    text         `json:"stock_code"`
			Strategy text         `json:"strategy_code"`
			Status   text         `json:"status"`
			Days     int64        `json:"held_days"`
			Date     text         `json:"date"`
			Max      json.Number  `json:"max_price"`
			Min      json.Number  `json:"min_price"`
			Price    json.Number  `json:"price"`
			Volume   int64        `json:"volume"`
			Initial  json.Number  `json:"initial_capital"`
			Current  *json.Number `json:"current_capital"`
			Total    json.Number  `json:"total_assets"`
			Value    *json.Number `json:"position_value"`
			Alloc    json.Number  `json:"allocated_capital"`
			Risk     json.Number  `json:"risk_limit"`
			Bars     []struct {
				Date   text
				Close  json.Number
				Volume int64
				Amount json.Number
			}
			Params map[string]any `json:"params"`
		}
		require.NoError(t, json.Unmarshal(e.Data, &d), "%s", line)
		a, s := accounts[d.Account], strategies[d.Strategy]
		switch strings.TrimSuffix(e.Type, ".v1") {
		case "account.created":
			capital := rounded(t, d.Initial, 2)
			a = &marketAccount{
				id: d.Account, status: "active", initial: capital, current: capital, total: capital,
				held: map[string]int64{}, highest: map[string]int64{}, lowest: map[string]int64{},
				bindings: map[string]int64{}, risks: map[string]int64{}, balance: map[string]int64{},
			}
			accounts[d.Account], m.accounts = a, append(m.accounts, a)
		case "account.capital_updated":
			a.total = rounded(t, d.Total, 2)
			if d.Current != nil {
				a.current = rounded(t, *d.Current, 2)
			}
			if d.Value != nil {
				a.value = rounded(t, *d.Value, 2)
			}
			if d.Date == "" {
				d.Date = e.Time.In(time.FixedZone("", 8*3600)).Format(time.DateOnly)
			}
			a.balance[d.Date] = a.total
		case "position.opened":
			a.held[d.Stock] = d.Days
		case "position.closed":
			delete(a.held, d.Stock)
			delete(a.highest, d.Stock)
			delete(a.lowest, d.Stock)
		case "position.days_incremented":
			a.incDate = units(t, strings.ReplaceAll(d.Date, "-", ""), 0)
			for stock := range a.held {
				a.held[stock]++
			}
		case "position.price_marked":
			if d.Max != "" {
				a.highest[d.Stock] = rounded(t, d.Max, 3)
			}
			if d.Min != "" {
				a.lowest[d.Stock] = rounded(t, d.Min, 3)
			}
		case "trade.recorded":
			amount := (rounded(t, d.Price, 3)*d.Volume + 5) / 10
			a.deals.add(d.Volume, amount)
			m.trades.add(d.Volume, amount)
		case "kline.recorded":
			if m.klines[d.Stock] == nil {
				m.klines[d.Stock] = map[int64]marketBar{}
			}
			for _, bar := range d.Bars {
				m.klines[d.Stock][units(t, strings.ReplaceAll(bar.Date, "-", ""), 0)] = marketBar{rounded(t, bar.Close, 3), bar.Volume, rounded(t, bar.Amount, 2)}
			}
		case "strategy.created":
			s = &marketStrategy{code: d.Strategy, status: "testing"}
			if d.Status != "" {
				s.status = d.Status
			}
			strategies[d.Strategy], m.strategies = s, append(m.strategies, s)
		case "strategy.bound":
			a.bindings[d.Strategy], a.risks[d.Strategy] = rounded(t, d.Alloc, 2), rounded(t, d.Risk, 2)
		case "param.saved":
			s.versions = append(s.versions, int64(len(d.Params)))
			s.active = len(s.versions)
		default:
			t.Fatalf("the year has an event that this fold does not know: %s", line)
		}
	}
	return m
}

// rounded is a decimal as a whole number of the scale, half away from zero.
func rounded(t testing.TB, n json.Number, scale int) int64 {
	t.Helper()
	whole, fraction, _ := strings.Cut(n.String(), ".")
	fraction += strings.Repeat("0", scale+1)
	value := units(t, whole+"."+fraction[:scale], scale)
	if fraction[scale] >= '5' {
		value++
	}
	return value
}
