package book

import (
	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
)

// CheckSession holds a trade's traded_at against the trading session. Outside
// it, calendar.PolicyFlag returns a flag to report with the answer and
// PolicyEnforce an *events.InvalidError. Other events, and times inside,
// return neither.
func CheckSession(e *events.Event, policy calendar.Policy, window calendar.Window) (flag string, err error) {
	trade, ok := e.Data.(*events.TradeRecorded)
	if !ok || policy == calendar.PolicyOff || calendar.InSession(trade.TradedAt, window) {
		return "", nil
	}
	if policy == calendar.PolicyFlag {
		return "traded_at is outside the trading session", nil
	}
	return "", &events.InvalidError{
		Field: "data.traded_at",
		Rule:  "must lie on a trading day, " + window.String() + " Asia/Shanghai",
		Value: events.FormatTime(trade.TradedAt),
	}
}
