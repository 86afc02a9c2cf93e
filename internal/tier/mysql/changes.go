package mysql

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

const (
	// keysPerStatement bounds lists of keys: the optimizers give up on indexes
	// for very long ones.
	keysPerStatement = 500
	// rowsPerStatement and bytesPerStatement bound an insert, far below any
	// max_allowed_packet; one row may be as large as an event.
	rowsPerStatement  = 1000
	bytesPerStatement = 512 << 10
)

// changes is what is to be written: rows as they shall be, and keys of rows
// that shall not be.
type changes struct {
	accounts   []book.Account
	strategies []book.Strategy
	users      []book.User
	bindings   []book.Binding
	params     []book.Param
	roles      []book.UserRole

	activated, deactivated []versionOf

	goneBindings, goneRoles []string
	goneParams              []versionOf
	// Only a repair removes these.
	goneAccounts, goneStrategies, goneUsers []any
}

// writer runs the statements of one transaction.
type writer struct {
	ctx   context.Context
	q     querier
	names naming
	ids   ids
}

// write makes the changes: children go first, parents come first.
func (c changes) write(ctx context.Context, q querier, names naming, known ids) error {
	w := writer{ctx, q, names, known}
	for _, step := range []func(changes) error{w.remove, w.masters, w.bindings, w.params, w.roles} {
		if err := step(c); err != nil {
			return err
		}
	}
	return nil
}

func (w writer) remove(c changes) error {
	bindings := pairsOf(c.goneBindings, w.ids.accounts, w.ids.strategies)
	if err := w.each("DELETE FROM {account_strategy} WHERE ", eitherOf("account_id", "strategy_id", bindings)); err != nil {
		return err
	}
	roles := pairsOf(c.goneRoles, w.ids.users, w.ids.roles)
	if err := w.each("DELETE FROM {user_role} WHERE ", eitherOf("user_id", "role_id", roles)); err != nil {
		return err
	}
	if err := w.each("DELETE FROM {strategy_param} WHERE ", w.versions(c.goneParams)); err != nil {
		return err
	}
	if err := w.each("DELETE FROM {account} WHERE account_id IN ", among(c.goneAccounts)); err != nil {
		return err
	}
	if err := w.each("DELETE FROM {strategy} WHERE strategy_code IN ", among(c.goneStrategies)); err != nil {
		return err
	}
	return w.each("DELETE FROM {user} WHERE username IN ", among(c.goneUsers))
}

func (w writer) masters(c changes) error {
	accounts := make([][]any, len(c.accounts))
	for i, a := range c.accounts {
		accounts[i] = accountValues(a)
	}
	if err := w.upsert("{account}", accountColumns, w.ids.accounts, accounts); err != nil {
		return err
	}
	strategies := make([][]any, len(c.strategies))
	for i, s := range c.strategies {
		strategies[i] = strategyValues(s)
	}
	if err := w.upsert("{strategy}", strategyColumns, w.ids.strategies, strategies); err != nil {
		return err
	}
	users := make([][]any, len(c.users))
	for i, u := range c.users {
		users[i] = append(userValues(u), emailKey(u.Email))
	}
	return w.upsert("{user}", userColumns+", email_key", w.ids.users, users)
}

// upsert writes rows whose first column is the code that ids knows. New ones
// get the next ids and are inserted plainly: should somebody have taken one of
// their unique values, that is an error and changes no other row.
func (w writer) upsert(table, columns string, ids map[string]int64, rows [][]any) error {
	var added, changed [][]any
	for _, row := range rows {
		if id, ok := ids[row[0].(string)]; ok {
			changed = append(changed, append([]any{id}, row...))
		} else {
			added = append(added, row)
		}
	}
	columns = "id, " + columns
	if err := w.insert("INSERT INTO "+table+" ("+columns+") VALUES ", onDuplicate(columns), changed); err != nil || len(added) == 0 {
		return err
	}
	var last int64
	if err := w.q.QueryRowContext(w.ctx, w.names.sql("SELECT COALESCE(MAX(id), 0) FROM "+table)).Scan(&last); err != nil {
		return err
	}
	for i, row := range added {
		last++
		ids[row[0].(string)] = last
		added[i] = append([]any{last}, row...)
	}
	return w.insert("INSERT INTO "+table+" ("+columns+") VALUES ", "", added)
}

// onDuplicate lets an insert change the row that has its key. MySQL calls
// VALUES() deprecated since 8.0.20, but MariaDB has no other way.
func onDuplicate(columns string) string {
	var b strings.Builder
	b.WriteString(" ON DUPLICATE KEY UPDATE ")
	for i, column := range strings.Split(columns, ", ") {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(column + " = VALUES(" + column + ")")
	}
	return b.String()
}

func (w writer) bindings(c changes) error {
	rows := make([][]any, 0, len(c.bindings))
	for _, b := range c.bindings {
		account, known := w.ids.accounts[b.AccountID]
		strategy, known2 := w.ids.strategies[b.StrategyCode]
		if !known || !known2 {
			return errOrphan(b.Row())
		}
		rows = append(rows, append([]any{account, strategy}, bindingValues(b)...))
	}
	return w.insert("INSERT INTO {account_strategy} (account_id, strategy_id, "+bindingColumns+") VALUES ", onDuplicate(bindingColumns), rows)
}

func (w writer) params(c changes) error {
	var rows [][]any
	for _, p := range c.params {
		id, known := w.ids.strategies[p.StrategyCode]
		if !known {
			return errOrphan(p.Row())
		}
		keys, err := paramValues(id, p)
		if err != nil {
			return err
		}
		rows = append(rows, keys...)
	}
	if err := w.each("UPDATE {strategy_param} SET is_active = 0 WHERE ", w.versions(c.deactivated)); err != nil {
		return err
	}
	if err := w.each("UPDATE {strategy_param} SET is_active = 1 WHERE ", w.versions(c.activated)); err != nil {
		return err
	}
	return w.insert("INSERT INTO {strategy_param} (strategy_id, "+paramColumns+") VALUES ", "", rows)
}

func (w writer) roles(c changes) error {
	rows := make([][]any, 0, len(c.roles))
	for _, r := range c.roles {
		user, known := w.ids.users[r.Username]
		role, known2 := w.ids.roles[r.Role]
		if !known || !known2 {
			return errOrphan(r.Row())
		}
		rows = append(rows, []any{user, role})
	}
	return w.insert("INSERT INTO {user_role} (user_id, role_id) VALUES ", "", rows)
}

func errOrphan(row book.Row) error {
	return fmt.Errorf("%s %q: a row that it belongs to is missing, somebody removed it: rebuild the tier: %w", row.Kind, row.Key, projector.ErrRefused)
}

// insert writes rows, as many in a statement as the bounds allow.
func (w writer) insert(head, tail string, rows [][]any) error {
	head = w.names.sql(head)
	for len(rows) > 0 {
		n, size := 0, 0
		for n < len(rows) && n < rowsPerStatement && (n == 0 || size < bytesPerStatement) {
			for _, v := range rows[n] {
				size += 12
				if s, ok := v.(string); ok {
					size += len(s)
				}
			}
			n++
		}
		row := places(len(rows[0])) + ","
		values := strings.TrimSuffix(strings.Repeat(row, n), ",")
		if _, err := w.q.ExecContext(w.ctx, head+values+tail, slices.Concat(rows[:n]...)...); err != nil {
			return err
		}
		rows = rows[n:]
	}
	return nil
}

// each runs a statement once for each condition.
func (w writer) each(head string, conditions iter.Seq2[string, []any]) error {
	head = w.names.sql(head)
	for where, args := range conditions {
		if _, err := w.q.ExecContext(w.ctx, head+where, args...); err != nil {
			return err
		}
	}
	return nil
}

func (w writer) versions(list []versionOf) iter.Seq2[string, []any] {
	pairs := make([][2]int64, 0, len(list))
	for _, v := range list {
		if id, known := idNamed(w.ids.strategies, v.strategy); known {
			pairs = append(pairs, [2]int64{id, v.version})
		}
	}
	return eitherOf("strategy_id", "version", pairs)
}

// eitherOf yields conditions that together name all pairs. Both servers use an
// index for ORs of ANDs; not both do for (a, b) IN (…).
func eitherOf(first, second string, pairs [][2]int64) iter.Seq2[string, []any] {
	return func(yield func(string, []any) bool) {
		for chunk := range slices.Chunk(pairs, keysPerStatement) {
			args := make([]any, 0, 2*len(chunk))
			for _, pair := range chunk {
				args = append(args, pair[0], pair[1])
			}
			one := "(" + first + " = ? AND " + second + " = ?)"
			if !yield(one+strings.Repeat(" OR "+one, len(chunk)-1), args) {
				return
			}
		}
	}
}

// among yields lists that together hold all keys.
func among(keys []any) iter.Seq2[string, []any] {
	return func(yield func(string, []any) bool) {
		for chunk := range slices.Chunk(keys, keysPerStatement) {
			if !yield(places(len(chunk)), chunk) {
				return
			}
		}
	}
}

// places is (?,?,?).
func places(n int) string { return "(" + strings.Repeat("?,", n-1) + "?)" }

// pairsOf turns keys of two parts into ids; what has none is not there.
func pairsOf(keys []string, first, second map[string]int64) [][2]int64 {
	var pairs [][2]int64
	for _, key := range keys {
		a, b := cut(key)
		one, known := idNamed(first, a)
		other, known2 := idNamed(second, b)
		if known && known2 {
			pairs = append(pairs, [2]int64{one, other})
		}
	}
	return pairs
}
