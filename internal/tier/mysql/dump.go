package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Dump implements projector.Tier: one transaction reads one snapshot, row by
// row. Rows that somebody changed into what no row of ours looks like have
// their columns as value; of parents that are missing the key has the id, #7.
//
// The tables cannot be renamed while a Dump runs.
func (t *Tier) Dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	at, err := t.dump(ctx, yield)
	return at, wrap("dump", err)
}

func (t *Tier) dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	if _, err := t.read(ctx); err != nil {
		return eventlog.Checkpoint{}, err
	}
	tx, err := t.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return eventlog.Checkpoint{}, err
	}
	defer tx.Rollback() //nolint:errcheck // it only read
	// One statement that touches every table: a promotion comes before all of
	// them or has to wait for the end.
	var held int
	if err := tx.QueryRowContext(ctx, t.names.sql("SELECT COUNT(*) FROM {checkpoint} WHERE EXISTS(SELECT 1 FROM {account}) + EXISTS(SELECT 1 FROM {strategy}) "+
		"+ EXISTS(SELECT 1 FROM {user}) + EXISTS(SELECT 1 FROM {account_strategy}) + EXISTS(SELECT 1 FROM {strategy_param}) + EXISTS(SELECT 1 FROM {user_role}) >= 0")).Scan(&held); err != nil {
		return eventlog.Checkpoint{}, err
	}
	s, err := t.check(t.names.readState(ctx, tx, ""))
	if err != nil {
		return eventlog.Checkpoint{}, err
	}
	d := dumper{ctx, tx, t.names, yield}
	for _, relation := range []func() error{d.accounts, d.strategies, d.bindings, d.params, d.users, d.roles} {
		if err := relation(); err != nil {
			return eventlog.Checkpoint{}, err
		}
	}
	return s.at, nil
}

type dumper struct {
	ctx   context.Context
	tx    *sql.Tx
	names naming
	yield func(book.Row) error
}

// row yields a row, or what the record says where it is not one of ours.
func (d dumper) row(row book.Row, err error, r fmt.Stringer) error {
	if err != nil {
		row.Value = "unreadable: " + r.String()
	}
	return d.yield(row)
}

func (d dumper) each(query string, f func(record) error, args ...any) error {
	return each(d.ctx, d.tx, d.names.sql(query), args, f)
}

func (d dumper) accounts() error {
	return d.each("SELECT "+accountColumns+" FROM {account} ORDER BY account_id", func(r record) error {
		a, err := readAccount(r)
		return d.row(a.Row(), err, r)
	})
}

func (d dumper) strategies() error {
	return d.each("SELECT "+strategyColumns+" FROM {strategy} ORDER BY strategy_code", func(r record) error {
		s, err := readStrategy(r)
		return d.row(s.Row(), err, r)
	})
}

func (d dumper) users() error {
	return d.each("SELECT "+userColumns+" FROM {user} ORDER BY username", func(r record) error {
		u, err := readUser(r)
		return d.row(u.Row(), err, r)
	})
}

// Keys of two parts sort as a whole: a-1/x before a/x.

func (d dumper) bindings() error {
	const account, strategy = "COALESCE(a.account_id, CONCAT('#', b.account_id))", "COALESCE(s.strategy_code, CONCAT('#', b.strategy_id))"
	return d.each("SELECT "+account+", "+strategy+", "+qualified("b", bindingColumns)+" FROM {account_strategy} b "+
		"LEFT JOIN {account} a ON a.id = b.account_id LEFT JOIN {strategy} s ON s.id = b.strategy_id "+
		"ORDER BY CONCAT("+account+", '/', "+strategy+") COLLATE utf8mb4_bin", func(r record) error {
		b, err := readBinding(r[0].String, r[1].String, r[2:])
		return d.row(b.Row(), err, r)
	})
}

func (d dumper) roles() error {
	const user, role = "COALESCE(u.username, CONCAT('#', x.user_id))", "COALESCE(r.role_code, CONCAT('#', x.role_id))"
	return d.each("SELECT "+user+", "+role+" FROM {user_role} x "+
		"LEFT JOIN {user} u ON u.id = x.user_id LEFT JOIN role r ON r.id = x.role_id "+
		"ORDER BY CONCAT("+user+", '/', "+role+") COLLATE utf8mb4_bin", func(r record) error {
		return d.row(book.UserRole{Username: r[0].String, Role: r[1].String}.Row(), nil, r)
	})
}

// params goes strategy by strategy in the order of the primary key: sorting all
// versions would keep the server busy for long before the first row.
func (d dumper) params() error {
	names := map[int64]string{}
	if err := d.each("SELECT id, strategy_code FROM {strategy}", func(r record) error {
		names[idOf(r[0])] = r[1].String
		return nil
	}); err != nil {
		return err
	}
	type strategy struct {
		id   int64
		code string
	}
	var list []strategy
	if err := d.each("SELECT DISTINCT strategy_id FROM {strategy_param}", func(r record) error {
		s := strategy{id: idOf(r[0]), code: "#" + r[0].String}
		if code, ok := names[s.id]; ok {
			s.code = code
		}
		list = append(list, s)
		return nil
	}); err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b strategy) int { return strings.Compare(a.code+"/", b.code+"/") })
	for _, s := range list {
		if err := d.versions(s.id, s.code); err != nil {
			return err
		}
	}
	return nil
}

func (d dumper) versions(id int64, code string) error {
	v := version{param: book.Param{StrategyCode: code}}
	flush := func() error {
		if len(v.members) == 0 {
			return nil
		}
		p, err := v.read()
		row := book.Row{Kind: book.KindParam, Key: paramKey(code, v.param.Version)}
		if err == nil {
			row = p.Row()
		}
		return d.row(row, err, v)
	}
	err := d.each("SELECT "+paramColumns+" FROM {strategy_param} WHERE strategy_id = ? ORDER BY version, param_key", func(r record) error {
		if number := idOf(r[0]); len(v.members) > 0 && number != v.param.Version {
			if err := flush(); err != nil {
				return err
			}
			v = version{param: book.Param{StrategyCode: code}}
		}
		v.add(r)
		return nil
	}, id)
	if err != nil {
		return err
	}
	return flush()
}

// String shows a version that is not what one of ours looks like.
func (v version) String() string { return strconv.Quote(fmt.Sprintf("%v: %v", v.err, v.members)) }

// qualified puts a table's alias before each column.
func qualified(alias, columns string) string {
	return alias + "." + strings.ReplaceAll(columns, ", ", ", "+alias+".")
}
