package mysql

import (
	"github.com/seed-744e3d1b/tapedeck/events"
)

// set is a set of keys.
type set map[string]bool

func (s set) list() []any {
	list := make([]any, 0, len(s))
	for key := range s {
		list = append(list, key)
	}
	return list
}

// versionOf names a parameter version.
type versionOf struct {
	strategy string
	version  int64
}

// touched is what the events of a batch look at or may change: the rows that
// their fold must start from.
type touched struct {
	events                      []*events.Event
	accounts, strategies, names set
	users, emails               set
	boundAccounts               set
	paramStrategies             set
	versions, saved             map[versionOf]bool
}

// touch collects from a batch. Events that change no table of ours, which are
// most of a log, fall away.
func touch(batch []*events.Event) touched {
	t := touched{
		accounts: set{}, strategies: set{}, names: set{}, users: set{}, emails: set{}, boundAccounts: set{}, paramStrategies: set{},
		versions: map[versionOf]bool{}, saved: map[versionOf]bool{},
	}
	for _, e := range batch {
		if t.add(e.Data) {
			t.events = append(t.events, e)
		}
	}
	return t
}

func (t *touched) add(data events.Data) bool {
	switch d := data.(type) {
	case *events.AccountCreated:
		t.accounts[d.AccountID] = true
	case *events.AccountUpdated:
		t.accounts[d.AccountID] = true
	case *events.CapitalUpdated:
		t.accounts[d.AccountID] = true
	case *events.AccountStatusChanged:
		t.accounts[d.AccountID] = true
	case *events.StrategyCreated:
		t.strategies[d.StrategyCode], t.names[d.StrategyName] = true, true
	case *events.StrategyUpdated:
		t.strategies[d.StrategyCode] = true
	case *events.StrategyStatusChanged:
		t.strategies[d.StrategyCode] = true
	case *events.StrategyBound:
		t.binding(d.AccountID, d.StrategyCode)
	case *events.BindingChanged:
		t.binding(d.AccountID, d.StrategyCode)
	case *events.StrategyUnbound:
		t.binding(d.AccountID, d.StrategyCode)
	case *events.ParamSaved:
		t.param(d.StrategyCode, d.Version)
		t.saved[versionOf{d.StrategyCode, d.Version}] = true
	case *events.ParamActivated:
		t.param(d.StrategyCode, d.Version)
	default:
		return t.addUser(data)
	}
	return true
}

func (t *touched) binding(account, strategy string) {
	t.accounts[account], t.strategies[strategy], t.boundAccounts[account] = true, true, true
}

func (t *touched) param(strategy string, version int64) {
	t.strategies[strategy], t.paramStrategies[strategy], t.versions[versionOf{strategy, version}] = true, true, true
}

func (t *touched) addUser(data events.Data) bool {
	switch d := data.(type) {
	case *events.UserRegistered:
		t.users[d.Username], t.emails[emailKey(d.Email)] = true, true
	case *events.UserLoggedIn:
		t.users[d.Username] = true
	case *events.UserLoginFailed:
		t.users[d.Username] = true
	case *events.UserStatusChanged:
		t.users[d.Username] = true
	case *events.UserPasswordChanged:
		t.users[d.Username] = true
	case *events.RoleGranted:
		t.users[d.Username] = true
	case *events.RoleRevoked:
		t.users[d.Username] = true
	default:
		return false
	}
	return true
}
