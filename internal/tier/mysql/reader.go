package mysql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// Reader reads the live contents and writes nothing. It is safe for concurrent
// use.
type Reader struct{ db *sql.DB }

var _ query.RecordReader = (*Reader)(nil)

// NewReader makes a reader; the server need not be there yet. The error is
// about the DSN, and does not contain it.
func NewReader(dsn string) (*Reader, error) {
	config, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	// The caller's bound is shorter.
	config.Timeout, config.ReadTimeout, config.WriteTimeout = time.Second, time.Second, time.Second
	db, err := connect(config)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(16)
	db.SetMaxIdleConns(16)
	return &Reader{db: db}, nil
}

// Name implements query.Tier.
func (r *Reader) Name() string { return "mysql" }

// Close implements query.Tier.
func (r *Reader) Close() error { return r.db.Close() }

// At implements query.Tier.
func (r *Reader) At(ctx context.Context) (query.At, error) {
	return r.read(ctx, "checkpoint", "c.id", "", nil, nil)
}

// read runs one statement, and so sees one instant, also while tables change
// places: the checkpoint, joined with what is asked for. f gets the columns of
// each row found; a row that somebody changed into what f cannot read is an
// error.
func (r *Reader) read(ctx context.Context, what, columns, from string, args []any, f func(record) error) (query.At, error) {
	var at query.At
	found := false
	statement := live.sql("SELECT c.sequence, COALESCE(c.hold, ''), " + columns + " FROM {checkpoint} c " + from)
	err := each(ctx, r.db, statement, args, func(row record) (err error) {
		found = true
		sequence, err := strconv.ParseUint(row[0].String, 10, 64)
		if err != nil {
			return err
		}
		at = query.AtOf(sequence, row[1].String)
		if f == nil || !row[2].Valid {
			return nil
		}
		if err := f(row[2:]); err != nil {
			return fmt.Errorf("somebody changed %s: %w", row[2:], err)
		}
		return nil
	})
	if err == nil && !found {
		err = errors.New("the checkpoint's row is missing")
	}
	return at, wrap("read "+what, err)
}

// picked is the condition that a column has a value; "" picks all.
func picked(column, value string, args *[]any) string {
	if value == "" {
		return "TRUE"
	}
	return exactly(column, value, args)
}

// exactly is the condition that a column has a value. Equality alone is blind
// to spaces at the end: utf8mb4_bin pads.
func exactly(column, value string, args *[]any) string {
	*args = append(*args, value, len(value))
	return column + " = ? AND LENGTH(" + column + ") = ?"
}

// Accounts implements query.RecordReader.
func (r *Reader) Accounts(ctx context.Context, id string) (list []book.Account, at query.At, err error) {
	var args []any
	condition := picked("a.account_id", id, &args)
	at, err = r.read(ctx, "accounts", qualified("a", accountColumns),
		"LEFT JOIN {account} a ON "+condition+" ORDER BY a.account_id", args, func(row record) error {
			a, err := readAccount(row)
			list = append(list, a)
			return err
		})
	return list, at, err
}

// Strategies implements query.RecordReader.
func (r *Reader) Strategies(ctx context.Context, code string) (list []book.Strategy, at query.At, err error) {
	var args []any
	condition := picked("s.strategy_code", code, &args)
	at, err = r.read(ctx, "strategies", qualified("s", strategyColumns),
		"LEFT JOIN {strategy} s ON "+condition+" ORDER BY s.strategy_code", args, func(row record) error {
			s, err := readStrategy(row)
			list = append(list, s)
			return err
		})
	return list, at, err
}

// Bindings implements query.RecordReader.
func (r *Reader) Bindings(ctx context.Context, account, code string) (list []book.Binding, at query.At, err error) {
	var args []any
	condition := picked("a.account_id", account, &args) + " AND " + picked("s.strategy_code", code, &args)
	at, err = r.read(ctx, "bindings", "a.account_id, s.strategy_code, "+qualified("b", bindingColumns),
		"LEFT JOIN ({account_strategy} b JOIN {account} a ON a.id = b.account_id JOIN {strategy} s ON s.id = b.strategy_id) "+
			"ON "+condition+" ORDER BY CONCAT(a.account_id, '/', s.strategy_code) COLLATE utf8mb4_bin",
		args, func(row record) error {
			b, err := readBinding(row[0].String, row[1].String, row[2:])
			list = append(list, b)
			return err
		})
	return list, at, err
}

// Params implements query.RecordReader.
func (r *Reader) Params(ctx context.Context, code string, which query.Versions) ([]book.Param, query.At, error) {
	var args []any
	condition := exactly("s.strategy_code", code, &args)
	var conditions []string
	if which.Active {
		conditions = append(conditions, "p.is_active")
	}
	for _, v := range which.List {
		conditions = append(conditions, "p.version = ?")
		args = append(args, v)
	}
	if which.All() {
		// One key stands for its version.
		conditions = []string{"p.position = 0"}
	}
	var list []book.Param
	v := version{param: book.Param{StrategyCode: code}}
	flush := func() error {
		if len(v.members) == 0 {
			return nil
		}
		p, err := v.read()
		if which.All() {
			p.Params = nil
		}
		list = append(list, p)
		return err
	}
	at, err := r.read(ctx, "parameters of "+code, qualified("p", paramColumns),
		"LEFT JOIN ({strategy_param} p JOIN {strategy} s ON s.id = p.strategy_id) ON "+condition+" AND ("+
			strings.Join(conditions, " OR ")+") ORDER BY p.version, p.param_key", args, func(row record) error {
			if number := idOf(row[0]); len(v.members) > 0 && number != v.param.Version {
				if err := flush(); err != nil {
					return err
				}
				v = version{param: book.Param{StrategyCode: code}}
			}
			v.add(row)
			return nil
		})
	if err != nil {
		return nil, at, err
	}
	return list, at, wrap("read parameters of "+code, flush())
}
