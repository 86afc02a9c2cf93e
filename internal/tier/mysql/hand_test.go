package mysql_test

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/testserver"
)

// difference is what makes have of want.
func difference(have, want []book.Row) []projector.Change {
	wanted := map[book.Row]bool{}
	keys := map[[2]string]bool{}
	for _, row := range want {
		wanted[row] = true
		keys[[2]string{string(row.Kind), row.Key}] = true
	}
	var changes []projector.Change
	for _, row := range have {
		if !keys[[2]string{string(row.Kind), row.Key}] {
			changes = append(changes, projector.Change{Kind: row.Kind, Key: row.Key})
		}
		delete(wanted, row)
	}
	for _, row := range want {
		if wanted[row] {
			changes = append(changes, projector.Change{Kind: row.Kind, Key: row.Key, Value: &row.Value})
		}
	}
	return changes
}

// TestDamageByHand: what somebody does to the tables shows in a dump as just
// those rows, and Repair mends just those.
func TestDamageByHand(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, db, tape, ctx := open(t, server), raw(t, server), small(), t.Context()
	const lax = "SET sql_mode = '', foreign_key_checks = 0, check_constraint_checks = 0; "
	_, err := tier.Checkpoint(ctx)
	require.NoError(t, err)
	damages := map[string]int{
		"UPDATE account SET current_capital = current_capital + 0.01 WHERE account_id = 'acc-01'":                               1,
		"UPDATE account SET account_name = 'x'":                                                                                 2,
		"UPDATE account SET status = 'nonsense' WHERE account_id = 'acc-01'":                                                    1,
		"UPDATE account SET created_at = '0000-00-00 00:00:00' WHERE account_id = 'acc-01'":                                     1,
		"UPDATE account SET updated_at = updated_at + INTERVAL 1 MICROSECOND WHERE account_id = 'acc-01'":                       1,
		"UPDATE account SET total_assets = -1 WHERE account_id = 'acc-01'":                                                      1,
		"INSERT INTO account (account_id, account_name, created_at, updated_at) VALUES ('extra/with/slash', 'x', NOW(), NOW())": 1,
		"UPDATE account SET account_id = 'acc-09' WHERE account_id = 'acc-01'":                                                  4,
		"DELETE FROM account WHERE account_id = 'acc-01'":                                                                       3,
		"UPDATE strategy SET description = ''":                                                                                  1,
		"UPDATE strategy SET strategy_name = IF(strategy_code = 'remote', 'x', 'Remote') ORDER BY strategy_code; UPDATE strategy SET strategy_name = '问财选股' WHERE strategy_code = 'remote'": 2,
		"UPDATE account_strategy SET risk_limit = 99":                                                                                                   1,
		"UPDATE account_strategy SET strategy_id = 77":                                                                                                  2,
		"DELETE FROM account_strategy":                                                                                                                  1,
		"UPDATE strategy_param SET is_active = NOT is_active WHERE version = 2":                                                                         1,
		"UPDATE strategy_param SET is_active = 0 WHERE param_key = 't'":                                                                                 1,
		"UPDATE strategy_param SET is_active = 2 WHERE param_key = 't'":                                                                                 1,
		"UPDATE strategy_param SET param_value = '11' WHERE version = 1 AND param_key = 'slot_count'":                                                   1,
		"UPDATE strategy_param SET param_value = 'no number' WHERE version = 1 AND param_key = 'slot_count'":                                            1,
		"UPDATE strategy_param SET param_value = '中x' WHERE param_key = 'text'":                                                                         1,
		"UPDATE strategy_param SET raw = '\"text\":1' WHERE param_key = 'text'":                                                                         1,
		"UPDATE strategy_param SET raw = '}' WHERE param_key = 'text'":                                                                                  1,
		"UPDATE strategy_param SET param_key = 'renamed' WHERE param_key = 'text'":                                                                      1,
		"UPDATE strategy_param SET position = 9 WHERE version = 1 AND param_key = 'slot_count'":                                                         1,
		"UPDATE strategy_param SET remark = 'x' WHERE param_key = 'text'":                                                                               1,
		"UPDATE strategy_param SET version = 44 WHERE version = 3":                                                                                      2,
		"DELETE FROM strategy_param WHERE param_key = 'text'":                                                                                           1,
		"DELETE FROM strategy_param WHERE version = 2":                                                                                                  1,
		"INSERT INTO strategy_param SELECT NULL, strategy_id, 2, 'extra', '1', 'int', 0, '', created_at, 1, NULL FROM strategy_param WHERE version = 2": 1,
		"UPDATE strategy_param SET strategy_id = 77 WHERE version = 3":                                                                                  2,
		"UPDATE user SET email = CONCAT('x', email)":                                                                                                    2,
		"UPDATE user SET last_login_at = NULL WHERE username = 'li_lei'":                                                                                1,
		"UPDATE user SET failed_logins = 4 WHERE username = 'Han'":                                                                                      1,
		"DELETE FROM user WHERE username = 'Han'":                                                                                                       5,
		"UPDATE user_role SET role_id = 77 WHERE role_id = 1":                                                                                           2,
		"INSERT INTO user_role (user_id, role_id) SELECT id, 4 FROM user":                                                                               2,
		"DELETE FROM user_role": 3,
	}
	for _, statement := range slices.Sorted(maps.Keys(damages)) {
		t.Run(statement, func(t *testing.T) {
			wipe(t, db)
			require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 25)))
			exec(t, raw(t, server), lax+statement)
			_, damaged := dumpRows(t, tier)
			require.True(t, slices.IsSortedFunc(damaged, func(a, b book.Row) int {
				if a.Kind != b.Kind {
					return slices.Index(tier.Kinds(), a.Kind) - slices.Index(tier.Kinds(), b.Kind)
				}
				return strings.Compare(a.Key, b.Key)
			}), "in order: %v", damaged)
			changes := difference(damaged, foldRows(t, tape))
			require.Len(t, changes, damages[statement], "%v", changes)
			require.NoError(t, tier.Repair(ctx, projectortest.Checkpoint(25), changes))
			requireFold(t, tier, tape, 25)
		})
	}
}

// TestRepairRefuses what constraints forbid, and then changes nothing.
func TestRepairRefuses(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, tape, ctx := open(t, server), small(), t.Context()
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 15)))
	value := foldRows(t, tape[:15])[2].Value
	for _, changes := range [][]projector.Change{
		{{Kind: book.KindAccount, Key: "acc-01"}},
		{{Kind: book.KindUserRole, Key: "nobody/admin", Value: new(string)}},
		{{Kind: book.KindTrade, Key: "1"}},
	} {
		changes = append([]projector.Change{{Kind: book.KindStrategy, Key: "remote", Value: &value}}, changes...)
		require.ErrorIs(t, tier.Repair(ctx, projectortest.Checkpoint(15), changes), projector.ErrRefused)
		requireFold(t, tier, tape, 15)
	}
}

// TestTakenByHand: a row made by hand that stands in the way of an event is an
// error, and is not overwritten.
func TestTakenByHand(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier, db, tape, ctx := open(t, server), raw(t, server), small(), t.Context()
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 0, 8)))
	exec(t, db, "UPDATE user SET email = 'Han@example.com'")
	err := tier.Apply(ctx, projectortest.Batch(tape, 8, 9))
	require.ErrorIs(t, err, projector.ErrRefused)
	require.ErrorContains(t, err, "replay verify")
	require.Equal(t, []string{"li_lei"}, column(t, db, "SELECT username FROM user"))
	exec(t, db, "UPDATE user SET email = 'Li@example.com'")
	require.NoError(t, tier.Apply(ctx, projectortest.Batch(tape, 8, 25)))
	requireFold(t, tier, tape, 25)
}

// TestEdges fills every column with the longest that its rule allows, checked by
// the rules themselves.
func TestEdges(t *testing.T) {
	server := testserver.MariaDB(t, hasty)
	tier := open(t, server)
	wide := func(n int) string { return strings.Repeat("🚀", n) }
	code, mailbox := strings.Repeat("x", 50), strings.Repeat("m", 64)+"@"+strings.Repeat("d", 254-65)
	keys := map[string]any{}
	for i := range events.MaxParams - 1 {
		keys[wide(97)+string(rune('㐀'+i))] = i
	}
	keys[wide(100)] = strings.Repeat("长", 100_000) + "\x00\x1f\\'\"%_"
	params, err := json.Marshal(keys)
	require.NoError(t, err)
	most := events.Money(events.MaxUnscaled)
	zero, top := events.Money(0), events.Percent(10_000)
	tape := tapeOf(
		&events.AccountCreated{AccountID: code, AccountName: wide(100), Broker: "TDX", InitialCapital: most},
		&events.CapitalUpdated{AccountID: code, CurrentCapital: &most, PositionValue: &zero, TotalAssets: most},
		&events.StrategyCreated{StrategyName: wide(100), StrategyCode: code, StrategyType: "technical", Version: "999999.999999.999999", Description: wide(1000), Status: "inactive"},
		&events.StrategyBound{AccountID: code, StrategyCode: code, AllocatedCapital: most, RiskLimit: top, Status: "active"},
		&events.ParamSaved{StrategyCode: code, Version: events.MaxParamVersion, Params: params, Remark: wide(500)},
		&events.UserRegistered{Username: code, Email: mailbox, PasswordHash: hash, RealName: wide(99) + " ", Roles: []string{"admin", "developer", "trader", "viewer"}},
	)
	for i, e := range tape {
		e.ID, e.Source = "edge", "test"
		require.NoError(t, e.Validate(), "event %d", i)
	}
	first, last := *tape[0], *tape[5]
	first.Time, last.Time = first.Time.AddDate(-35, 0, 0), last.Time.AddDate(175, 11, 0)
	tape[0], tape[5] = &first, &last
	require.NoError(t, tier.Apply(t.Context(), projectortest.Batch(tape, 0, 6)))
	requireFold(t, tier, tape, 6)
}

// TestAnySubset: a replay bounded by time feeds a subset of the log; the tables
// follow the book's lenient rules.
func TestAnySubset(t *testing.T) {
	projectortest.Checks(t, 60)
	server := testserver.MariaDB(t, hasty)
	tier, db, whole := open(t, server), raw(t, server), small()
	_, err := tier.Checkpoint(t.Context())
	require.NoError(t, err)
	rapid.Check(t, func(rt *rapid.T) {
		wipe(t, db)
		tape := rapid.SliceOfN(rapid.SampledFrom(whole), 10, 60).Draw(rt, "tape")
		if rapid.Bool().Draw(rt, "established") {
			tape = slices.Concat(whole[:9], tape)
		}
		for at := 0; at < len(tape); {
			to := min(len(tape), at+rapid.IntRange(1, 8).Draw(rt, "batch"))
			require.NoError(rt, tier.Apply(t.Context(), projectortest.Batch(tape, at, to)))
			at = to
		}
		requireFold(rt, tier, tape, len(tape))
	})
}
