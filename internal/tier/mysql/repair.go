package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Repair implements projector.Live. A row that others belong to can only be
// removed together with them, and a row only be made beside what it belongs to;
// else it wraps projector.ErrRefused and nothing is changed.
func (t *Tier) Repair(ctx context.Context, at eventlog.Checkpoint, list []projector.Change) error {
	return wrap(fmt.Sprintf("repair %d rows", len(list)), t.write(ctx, func(tx *sql.Tx, s state) error {
		if s.at != at {
			return fmt.Errorf("the tier is at %d: %w", s.at.Sequence, projector.ErrConflict)
		}
		var c changes
		for _, change := range list {
			if err := c.take(change); err != nil {
				return fmt.Errorf("%s %q: %w", change.Kind, change.Key, err)
			}
		}
		known := newIDs()
		if err := known.readAll(ctx, tx, t.names, list); err != nil {
			return err
		}
		if err := c.park(ctx, tx, t.names, known); err != nil {
			return err
		}
		return c.write(ctx, tx, t.names, known)
	}))
}

// take adds what a row shall be to the changes.
func (c *changes) take(change projector.Change) error {
	if change.Value == nil {
		return c.takeAway(change)
	}
	b := book.New(book.Keep{})
	if err := b.Restore(book.Row{Kind: change.Kind, Key: change.Key, Value: *change.Value}); err != nil {
		return err
	}
	c.accounts = append(c.accounts, b.Accounts()...)
	c.strategies = append(c.strategies, b.Strategies()...)
	c.users = append(c.users, b.Users()...)
	// Rows of these have no key of their own in another row: they are put anew.
	c.bindings = append(c.bindings, b.Bindings()...)
	c.params = append(c.params, b.Params()...)
	c.roles = append(c.roles, b.UserRoles()...)
	if change.Kind == book.KindParam || change.Kind == book.KindUserRole {
		return c.takeAway(change)
	}
	return nil
}

func (c *changes) takeAway(change projector.Change) error {
	switch change.Kind {
	case book.KindAccount:
		c.goneAccounts = append(c.goneAccounts, change.Key)
	case book.KindStrategy:
		c.goneStrategies = append(c.goneStrategies, change.Key)
	case book.KindUser:
		c.goneUsers = append(c.goneUsers, change.Key)
	case book.KindBinding:
		c.goneBindings = append(c.goneBindings, change.Key)
	case book.KindUserRole:
		c.goneRoles = append(c.goneRoles, change.Key)
	case book.KindParam:
		code, digits := cut(change.Key)
		number, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			return fmt.Errorf("no version in the key: %w", err)
		}
		c.goneParams = append(c.goneParams, versionOf{code, number})
	default:
		return fmt.Errorf("this tier has no such kind of row: %w", projector.ErrRefused)
	}
	return nil
}

// readAll reads the ids of all that the changes name.
func (i ids) readAll(ctx context.Context, q querier, names naming, list []projector.Change) error {
	accounts, strategies, users := set{}, set{}, set{}
	for _, change := range list {
		first, second := cut(change.Key)
		switch change.Kind {
		case book.KindAccount:
			accounts[change.Key] = true
		case book.KindStrategy:
			strategies[change.Key] = true
		case book.KindUser:
			users[change.Key] = true
		case book.KindBinding:
			accounts[first], strategies[second] = true, true
		case book.KindParam:
			strategies[first] = true
		case book.KindUserRole:
			users[first] = true
		}
	}
	for _, s := range []struct {
		query string
		keys  set
		into  map[string]int64
	}{
		{"SELECT account_id, id FROM {account} WHERE account_id IN ", accounts, i.accounts},
		{"SELECT strategy_code, id FROM {strategy} WHERE strategy_code IN ", strategies, i.strategies},
		{"SELECT username, id FROM {user} WHERE username IN ", users, i.users},
	} {
		for where, args := range among(s.keys.list()) {
			if err := each(ctx, q, names.sql(s.query)+where, args, func(r record) error {
				s.into[r[0].String] = idOf(r[1])
				return nil
			}); err != nil {
				return err
			}
		}
	}
	return i.readRoles(ctx, q)
}

// park gives the rows that will change values that nobody else has: two may
// have to exchange a name or an e-mail.
func (c *changes) park(ctx context.Context, q querier, names naming, known ids) error {
	w := writer{ctx, q, names, known}
	var strategies, users []any
	for _, s := range c.strategies {
		strategies = append(strategies, s.Code)
	}
	for _, u := range c.users {
		users = append(users, u.Username)
	}
	if err := w.each("UPDATE {strategy} SET strategy_name = CONCAT('#', id) WHERE strategy_code IN ", among(strategies)); err != nil {
		return err
	}
	return w.each("UPDATE {user} SET email = CONCAT('#', id), email_key = CONCAT('#', id) WHERE username IN ", among(users))
}

// cut takes a key of two parts apart; the second never has a slash, the first
// may when somebody changed it.
func cut(key string) (first, second string) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return key, ""
	}
	return key[:i], key[i+1:]
}

// idNamed is the id of a code, or of the #7 that Dump writes where there is none.
func idNamed(ids map[string]int64, code string) (int64, bool) {
	if id, ok := ids[code]; ok {
		return id, true
	}
	digits, ok := strings.CutPrefix(code, "#")
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(digits, 10, 64)
	return id, err == nil
}
