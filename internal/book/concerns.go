package book

import (
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Concerns reports whether an event is about the row of a kind and key: whether
// it may create, change or remove it. Deals and trades are about the event that
// recorded them: a trade's row has its sequence, of a deal's only the account
// is known.
func Concerns(e *events.Event, kind Kind, key string) bool {
	owner, part, _ := strings.Cut(key, "/")
	switch d := e.Data.(type) {
	case *events.TradeRecorded:
		return kind == KindTrade && Trade{Sequence: e.Sequence, TradeRecorded: d}.key() == key || kind == KindDeal && d.AccountID == owner
	case *events.PositionOpened:
		return kind == KindHeldDays && d.AccountID == owner && d.StockCode == part
	case *events.PositionHeldDaysSet:
		return kind == KindHeldDays && d.AccountID == owner && d.StockCode == part
	case *events.PositionDaysIncremented:
		return (kind == KindHeldDays || kind == KindIncDate) && d.AccountID == owner
	case *events.PositionPriceMarked:
		return (kind == KindMaxPrice && d.MaxPrice != nil || kind == KindMinPrice && d.MinPrice != nil) && d.AccountID == owner && d.StockCode == part
	case *events.PositionClosed:
		return (kind == KindHeldDays || kind == KindMaxPrice || kind == KindMinPrice) && d.AccountID == owner && d.StockCode == part
	case *events.KlineRecorded:
		return kind == KindKline && d.StockCode == owner && hasBar(d, part)
	}
	return concernsMaster(e, kind, owner, part)
}

func hasBar(d *events.KlineRecorded, date string) bool {
	for _, bar := range d.Bars {
		if bar.Date.String() == date {
			return true
		}
	}
	return false
}

func concernsMaster(e *events.Event, kind Kind, owner, part string) bool {
	switch d := e.Data.(type) {
	case *events.AccountCreated:
		return kind == KindAccount && d.AccountID == owner
	case *events.AccountUpdated:
		return kind == KindAccount && d.AccountID == owner
	case *events.AccountStatusChanged:
		return kind == KindAccount && d.AccountID == owner
	case *events.CapitalUpdated:
		return d.AccountID == owner && (kind == KindAccount || kind == KindAsset && CapitalDate(e, d).String() == part)
	case *events.StrategyCreated:
		return kind == KindStrategy && d.StrategyCode == owner
	case *events.StrategyUpdated:
		return kind == KindStrategy && d.StrategyCode == owner
	case *events.StrategyStatusChanged:
		return kind == KindStrategy && d.StrategyCode == owner
	case *events.StrategyBound:
		return kind == KindBinding && d.AccountID == owner && d.StrategyCode == part
	case *events.BindingChanged:
		return kind == KindBinding && d.AccountID == owner && d.StrategyCode == part
	case *events.StrategyUnbound:
		return kind == KindBinding && d.AccountID == owner && d.StrategyCode == part
	case *events.ParamSaved:
		return kind == KindParam && d.StrategyCode == owner
	case *events.ParamActivated:
		return kind == KindParam && d.StrategyCode == owner
	}
	return concernsUser(e, kind, owner, part)
}

func concernsUser(e *events.Event, kind Kind, owner, part string) bool {
	username := ""
	switch d := e.Data.(type) {
	case *events.UserRegistered:
		return d.Username == owner && (kind == KindUser || kind == KindUserRole)
	case *events.RoleGranted:
		return kind == KindUserRole && d.Username == owner && d.Role == part
	case *events.RoleRevoked:
		return kind == KindUserRole && d.Username == owner && d.Role == part
	case *events.UserLoggedIn:
		username = d.Username
	case *events.UserLoginFailed:
		username = d.Username
	case *events.UserStatusChanged:
		username = d.Username
	case *events.UserPasswordChanged:
		username = d.Username
	}
	return kind == KindUser && username != "" && username == owner
}
