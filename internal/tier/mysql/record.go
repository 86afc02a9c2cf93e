package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// The columns of each table in the order that the structs are read and written.
const (
	accountColumns  = "account_id, account_name, broker, status, initial_capital, current_capital, total_assets, position_value, created_at, updated_at"
	strategyColumns = "strategy_code, strategy_name, strategy_type, version, description, status, created_at, updated_at"
	bindingColumns  = "allocated_capital, risk_limit, status, created_at, updated_at"
	userColumns     = "username, email, password_hash, real_name, status, failed_logins, last_login_at, created_at, updated_at"
	paramColumns    = "version, param_key, param_value, param_type, is_active, remark, created_at, position, raw"
)

// record is one row of a result, as text.
type record []sql.NullString

// each calls f for each row of a result, one at a time. The record is f's only
// during the call.
func each(ctx context.Context, q querier, query string, args []any, f func(record) error) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return err
	}
	r := make(record, len(names))
	targets := make([]any, len(names))
	for i := range r {
		targets[i] = &r[i]
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return err
		}
		if err := f(r); err != nil {
			return err
		}
	}
	return rows.Err()
}

// String shows a record that is not what a row of ours looks like.
func (r record) String() string {
	texts := make([]string, len(r))
	for i, v := range r {
		texts[i] = "NULL"
		if v.Valid {
			texts[i] = strconv.Quote(v.String)
		}
	}
	return strings.Join(texts, ", ")
}

var errNull = errors.New("a column is NULL")

// fields reads a record from left to right and remembers the first value that
// was not to be understood: rows can be changed by hand.
type fields struct {
	record record
	err    error
}

func (f *fields) next(nullable bool) string {
	v := f.record[0]
	f.record = f.record[1:]
	if !v.Valid && !nullable && f.err == nil {
		f.err = errNull
	}
	return v.String
}

func (f *fields) text() string { return f.next(false) }

func (f *fields) money() events.Money { return parsed(f, events.ParseMoney) }

func (f *fields) percent() events.Percent { return parsed(f, events.ParsePercent) }

func (f *fields) integer() int64 {
	return parsed(f, func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) })
}

func (f *fields) flag() bool {
	return parsed(f, func(s string) (bool, error) {
		if s != "0" && s != "1" {
			return false, fmt.Errorf("%q is no flag", s)
		}
		return s == "1", nil
	})
}

// timeLayout is a DATETIME(6), in events.Zone.
const timeLayout = "2006-01-02 15:04:05.000000"

func (f *fields) time() time.Time {
	return parsed(f, func(s string) (time.Time, error) { return time.ParseInLocation(timeLayout, s, events.Zone) })
}

// timeOrNone reads NULL as the zero time.
func (f *fields) timeOrNone() time.Time {
	if !f.record[0].Valid {
		f.record = f.record[1:]
		return time.Time{}
	}
	return f.time()
}

func parsed[T any](f *fields, parse func(string) (T, error)) T {
	v, err := parse(f.text())
	if f.err == nil {
		f.err = err
	}
	return v
}

// timeText is the inverse of time; canonical times have microseconds at most.
func timeText(t time.Time) string {
	return t.In(events.Zone).Truncate(time.Microsecond).Format(timeLayout)
}

func readAccount(r record) (book.Account, error) {
	f := fields{record: r}
	a := book.Account{
		ID: f.text(), Name: f.text(), Broker: f.text(), Status: f.text(),
		InitialCapital: f.money(), CurrentCapital: f.money(), TotalAssets: f.money(), PositionValue: f.money(),
		CreatedAt: f.time(), UpdatedAt: f.time(),
	}
	return a, f.err
}

func accountValues(a book.Account) []any {
	return []any{
		a.ID, a.Name, a.Broker, a.Status,
		a.InitialCapital.String(), a.CurrentCapital.String(), a.TotalAssets.String(), a.PositionValue.String(),
		timeText(a.CreatedAt), timeText(a.UpdatedAt),
	}
}

func readStrategy(r record) (book.Strategy, error) {
	f := fields{record: r}
	s := book.Strategy{
		Code: f.text(), Name: f.text(), Type: f.text(), Version: f.text(), Description: f.text(), Status: f.text(),
		CreatedAt: f.time(), UpdatedAt: f.time(),
	}
	return s, f.err
}

func strategyValues(s book.Strategy) []any {
	return []any{s.Code, s.Name, s.Type, s.Version, s.Description, s.Status, timeText(s.CreatedAt), timeText(s.UpdatedAt)}
}

func readBinding(account, strategy string, r record) (book.Binding, error) {
	f := fields{record: r}
	b := book.Binding{
		AccountID: account, StrategyCode: strategy,
		AllocatedCapital: f.money(), RiskLimit: f.percent(), Status: f.text(), CreatedAt: f.time(), UpdatedAt: f.time(),
	}
	return b, f.err
}

func bindingValues(b book.Binding) []any {
	return []any{b.AllocatedCapital.String(), b.RiskLimit.String(), b.Status, timeText(b.CreatedAt), timeText(b.UpdatedAt)}
}

func readUser(r record) (book.User, error) {
	f := fields{record: r}
	u := book.User{
		Username: f.text(), Email: f.text(), PasswordHash: f.text(), RealName: f.text(), Status: f.text(),
		FailedLogins: f.integer(), LastLoginAt: f.timeOrNone(), CreatedAt: f.time(), UpdatedAt: f.time(),
	}
	return u, f.err
}

func userValues(u book.User) []any {
	var lastLogin any
	if !u.LastLoginAt.IsZero() {
		lastLogin = timeText(u.LastLoginAt)
	}
	return []any{
		u.Username, u.Email, u.PasswordHash, u.RealName, u.Status, u.FailedLogins, lastLogin,
		timeText(u.CreatedAt), timeText(u.UpdatedAt),
	}
}

// emailKey is the e-mail as the book compares it.
func emailKey(email string) string { return strings.ToLower(email) }
