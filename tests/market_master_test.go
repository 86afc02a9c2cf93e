package tests

import (
	"fmt"
	"slices"
	"strings"
)

// The events of a flow about accounts, strategies, parameters and users.

func (m *market) createAccount() (string, map[string]any) {
	if len(m.accounts) == 12 {
		return "", nil
	}
	capital := 1 + m.random.Int64N(100_000_000)
	a := &marketAccount{
		id: fmt.Sprintf("1000%04d", len(m.accounts)), status: "active",
		initial: capital, current: capital, total: capital,
		held: map[string]int64{}, highest: map[string]int64{}, lowest: map[string]int64{},
		bindings: map[string]int64{}, risks: map[string]int64{}, balance: map[string]int64{},
	}
	m.accounts = append(m.accounts, a)
	return "account.created", map[string]any{
		"account_id": a.id, "account_name": pick(m, marketTexts), "broker": pick(m, []string{"QMT", "GM", "TDX"}), "initial_capital": cents(capital),
	}
}

func (m *market) updateAccount() (string, map[string]any) {
	a := pick(m, m.accounts)
	if a == nil {
		return "", nil
	}
	return "account.updated", map[string]any{"account_id": a.id, "account_name": pick(m, marketTexts)}
}

func (m *market) capital() (string, map[string]any) {
	a := pick(m, m.accounts)
	if a == nil {
		return "", nil
	}
	a.current, a.value = m.random.Int64N(100_000_000), m.random.Int64N(100_000_000)
	a.total = a.current + a.value
	a.balance[dateText(m.date())] = a.total
	return "account.capital_updated", map[string]any{
		"account_id": a.id, "current_capital": cents(a.current), "position_value": cents(a.value), "total_assets": cents(a.total),
	}
}

// moved draws another status that may follow.
func (m *market) moved(from string, moves map[string][]string) string { return pick(m, moves[from]) }

func (m *market) accountStatus() (string, map[string]any) {
	a := pick(m, m.accounts)
	if a == nil {
		return "", nil
	}
	a.status = m.moved(a.status, map[string][]string{"active": {"inactive", "suspended"}, "inactive": {"active"}, "suspended": {"active"}})
	return "account.status_changed", map[string]any{"account_id": a.id, "status": a.status}
}

func (m *market) createStrategy() (string, map[string]any) {
	if len(m.strategies) == 8 {
		return "", nil
	}
	s := &marketStrategy{code: fmt.Sprintf("strategy_%d", len(m.strategies)), status: "testing"}
	m.strategies = append(m.strategies, s)
	return "strategy.created", map[string]any{
		"strategy_name": "策略 " + s.code, "strategy_code": s.code, "strategy_type": pick(m, []string{"wencai", "remote", "technical"}),
		"version": "1.0.0", "description": pick(m, marketTexts),
	}
}

func (m *market) updateStrategy() (string, map[string]any) {
	s := pick(m, m.strategies)
	if s == nil {
		return "", nil
	}
	return "strategy.updated", map[string]any{"strategy_code": s.code, "version": fmt.Sprintf("1.%d.0", m.random.IntN(99)), "description": pick(m, marketTexts)}
}

func (m *market) strategyStatus() (string, map[string]any) {
	s := pick(m, m.strategies)
	if s == nil {
		return "", nil
	}
	s.status = m.moved(s.status, map[string][]string{"testing": {"active"}, "active": {"inactive", "testing"}, "inactive": {"active"}})
	return "strategy.status_changed", map[string]any{"strategy_code": s.code, "status": s.status}
}

// free is what an account's bindings, but for one, leave of its capital.
func (a *marketAccount) free(but string) int64 {
	free := a.current
	for code, allocated := range a.bindings {
		if code != but {
			free -= allocated
		}
	}
	return free
}

func (m *market) bind() (string, map[string]any) {
	a, s := pick(m, m.accounts), pick(m, m.strategies)
	if a == nil || s == nil || a.bindings[s.code] > 0 || a.free("") <= 0 {
		return "", nil
	}
	a.bindings[s.code], a.risks[s.code] = 1+m.random.Int64N(a.free("")), m.random.Int64N(10_001)
	return "strategy.bound", map[string]any{
		"account_id": a.id, "strategy_code": s.code, "allocated_capital": cents(a.bindings[s.code]), "risk_limit": cents(a.risks[s.code]),
	}
}

func (m *market) changeBinding() (string, map[string]any) {
	a, s := pick(m, m.accounts), pick(m, m.strategies)
	if a == nil || s == nil || a.bindings[s.code] == 0 || a.free(s.code) <= 0 {
		return "", nil
	}
	a.bindings[s.code], a.risks[s.code] = 1+m.random.Int64N(a.free(s.code)), m.random.Int64N(10_001)
	return "strategy.binding_changed", map[string]any{
		"account_id": a.id, "strategy_code": s.code, "allocated_capital": cents(a.bindings[s.code]), "risk_limit": cents(a.risks[s.code]),
		"status": pick(m, []string{"active", "paused"}),
	}
}

func (m *market) unbind() (string, map[string]any) {
	a, s := pick(m, m.accounts), pick(m, m.strategies)
	if a == nil || s == nil || a.bindings[s.code] == 0 {
		return "", nil
	}
	delete(a.bindings, s.code)
	delete(a.risks, s.code)
	return "strategy.unbound", map[string]any{"account_id": a.id, "strategy_code": s.code}
}

func (m *market) saveParam() (string, map[string]any) {
	s := pick(m, m.strategies)
	if s == nil {
		return "", nil
	}
	params := map[string]any{}
	for i := range 1 + m.random.IntN(6) {
		params[fmt.Sprintf("参数 %d", i)] = pick(m, []any{1, 0.25, "09:30", true, nil, []any{1, "二", map[string]any{"🚀": -1}}})
	}
	if m.padding > 0 {
		params["padding"] = strings.Repeat("x", m.padding)
	}
	s.versions = append(s.versions, int64(len(params)))
	s.active = len(s.versions)
	return "param.saved", map[string]any{"strategy_code": s.code, "params": params, "remark": pick(m, marketTexts)}
}

func (m *market) activateParam() (string, map[string]any) {
	s := pick(m, m.strategies)
	if s == nil || len(s.versions) == 0 {
		return "", nil
	}
	version := 1 + m.random.IntN(len(s.versions))
	if version == s.active {
		return "", nil
	}
	s.active = version
	return "param.activated", map[string]any{"strategy_code": s.code, "version": version}
}

func (m *market) register() (string, map[string]any) {
	if len(m.users) == 10 {
		return "", nil
	}
	u := &marketUser{name: fmt.Sprintf("user_%d", len(m.users)), status: "active", roles: []string{"viewer"}}
	m.users = append(m.users, u)
	return "user.registered", map[string]any{
		"username": u.name, "email": u.name + "@example.com", "password_hash": marketHash, "real_name": "李雷 🚀", "roles": u.roles,
	}
}

func (m *market) logIn() (string, map[string]any) {
	u := pick(m, m.users)
	if u == nil {
		return "", nil
	}
	u.failed = 0
	return "user.logged_in", map[string]any{"username": u.name, "ip": "192.0.2.7"}
}

func (m *market) failLogIn() (string, map[string]any) {
	u := pick(m, m.users)
	if u == nil {
		return "", nil
	}
	if u.failed++; u.failed >= 5 && u.status == "active" {
		u.status = "locked"
	}
	return "user.login_failed", map[string]any{"username": u.name, "ip": "2001:db8::1"}
}

func (m *market) userStatus() (string, map[string]any) {
	u := pick(m, m.users)
	if u == nil {
		return "", nil
	}
	u.status = m.moved(u.status, map[string][]string{"active": {"inactive", "locked"}, "inactive": {"active"}, "locked": {"active"}})
	if u.status == "active" {
		u.failed = 0
	}
	return "user.status_changed", map[string]any{"username": u.name, "status": u.status}
}

func (m *market) changePassword() (string, map[string]any) {
	u := pick(m, m.users)
	if u == nil {
		return "", nil
	}
	return "user.password_changed", map[string]any{"username": u.name, "password_hash": "$2b$12" + marketHash[6:]}
}

func (m *market) grant() (string, map[string]any) {
	u, role := pick(m, m.users), pick(m, []string{"admin", "developer", "trader", "viewer"})
	if u == nil || slices.Contains(u.roles, role) {
		return "", nil
	}
	u.roles = append(slices.Clone(u.roles), role)
	return "role.granted", map[string]any{"username": u.name, "role": role}
}

func (m *market) revoke() (string, map[string]any) {
	u := pick(m, m.users)
	if u == nil || len(u.roles) == 0 {
		return "", nil
	}
	role := pick(m, u.roles)
	u.roles = slices.DeleteFunc(slices.Clone(u.roles), func(r string) bool { return r == role })
	return "role.revoked", map[string]any{"username": u.name, "role": role}
}
