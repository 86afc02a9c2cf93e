package mysql

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// fold brings the tables from before a batch to after it: the rows that its
// events look at go into a Book, the Book applies the events, and what differs
// is written. So what an event means is decided in one place.
func (t *Tier) fold(ctx context.Context, tx *sql.Tx, batch []*events.Event) error {
	touched := touch(batch)
	if len(touched.events) == 0 {
		return nil
	}
	s, err := load(ctx, tx, t.names, touched)
	if err != nil {
		return err
	}
	for _, e := range touched.events {
		s.book.Apply(e)
	}
	return s.changes(touched).write(ctx, tx, t.names, s.ids)
}

// ids are the tables' own numbers of what is known by code and name.
type ids struct {
	accounts, strategies, users, roles map[string]int64
}

func newIDs() ids {
	return ids{map[string]int64{}, map[string]int64{}, map[string]int64{}, map[string]int64{}}
}

// stored is what the tables hold of the rows that a batch touches.
type stored struct {
	book *book.Book
	ids  ids
	// rows are the canonical rows by kind and key.
	rows map[book.Kind]map[string]string
	// versions tells the touched parameter versions that exist, and whether
	// each is active.
	versions map[versionOf]bool
}

// loader reads rows into stored.
type loader struct {
	ctx   context.Context
	tx    *sql.Tx
	names naming
	*stored
}

func load(ctx context.Context, tx *sql.Tx, names naming, t touched) (*stored, error) {
	s := &stored{book: book.New(book.Keep{}), ids: newIDs(), rows: map[book.Kind]map[string]string{}, versions: map[versionOf]bool{}}
	for _, kind := range kinds {
		s.rows[kind] = map[string]string{}
	}
	l := loader{ctx, tx, names, s}
	for _, step := range []func(touched) error{l.masters, l.bindings, l.roles, l.params} {
		if err := step(t); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// put restores a row, the first time that it is met.
func (s *stored) put(row book.Row, err error, r record) error {
	if err != nil {
		return errUnreadable(row, r, err)
	}
	if _, known := s.rows[row.Kind][row.Key]; known {
		return nil
	}
	s.rows[row.Kind][row.Key] = row.Value
	return s.book.Restore(row)
}

func errUnreadable(row book.Row, r record, err error) error {
	return fmt.Errorf("%s %q cannot be read, somebody changed it: %s: %w; replay verify --repair mends it: %w", row.Kind, row.Key, r, err, projector.ErrRefused)
}

// masters loads accounts, strategies and users.
func (l loader) masters(t touched) error {
	account := func(r record) error {
		a, err := readAccount(r[1:])
		l.ids.accounts[a.ID] = idOf(r[0])
		return l.put(a.Row(), err, r)
	}
	strategy := func(r record) error {
		s, err := readStrategy(r[1:])
		l.ids.strategies[s.Code] = idOf(r[0])
		return l.put(s.Row(), err, r)
	}
	user := func(r record) error {
		u, err := readUser(r[1:])
		l.ids.users[u.Username] = idOf(r[0])
		return l.put(u.Row(), err, r)
	}
	for _, s := range []struct {
		query string
		keys  set
		f     func(record) error
	}{
		{"SELECT id, " + accountColumns + " FROM {account} WHERE account_id IN ", t.accounts, account},
		{"SELECT id, " + strategyColumns + " FROM {strategy} WHERE strategy_code IN ", t.strategies, strategy},
		{"SELECT id, " + strategyColumns + " FROM {strategy} WHERE strategy_name IN ", t.names, strategy},
		{"SELECT id, " + userColumns + " FROM {user} WHERE username IN ", t.users, user},
		{"SELECT id, " + userColumns + " FROM {user} WHERE email_key IN ", t.emails, user},
	} {
		if err := l.in(s.query, s.keys.list(), s.f); err != nil {
			return err
		}
	}
	return nil
}

// in runs a query for some keys after another.
func (l loader) in(query string, keys []any, f func(record) error) error {
	for where, args := range among(keys) {
		if err := each(l.ctx, l.tx, l.names.sql(query)+where, args, f); err != nil {
			return err
		}
	}
	return nil
}

// bindings loads those between touched accounts and touched strategies.
func (l loader) bindings(t touched) error {
	accounts, strategies := codes(l.ids.accounts), codes(l.ids.strategies)
	var keys []any
	for account := range t.boundAccounts {
		if id, ok := l.ids.accounts[account]; ok {
			keys = append(keys, id)
		}
	}
	return l.in("SELECT account_id, strategy_id, "+bindingColumns+" FROM {account_strategy} WHERE account_id IN ", keys, func(r record) error {
		strategy, ok := strategies[idOf(r[1])]
		if !ok {
			return nil
		}
		b, err := readBinding(accounts[idOf(r[0])], strategy, r[2:])
		return l.put(b.Row(), err, r)
	})
}

// roles loads the touched users' roles.
func (l loader) roles(t touched) error {
	if len(t.users) == 0 {
		return nil
	}
	if err := l.ids.readRoles(l.ctx, l.tx); err != nil {
		return err
	}
	users, roles := codes(l.ids.users), codes(l.ids.roles)
	keys := make([]any, 0, len(users))
	for id := range users {
		keys = append(keys, id)
	}
	return l.in("SELECT user_id, role_id FROM {user_role} WHERE user_id IN ", keys, func(r record) error {
		return l.put(book.UserRole{Username: users[idOf(r[0])], Role: roles[idOf(r[1])]}.Row(), nil, r)
	})
}

func (i ids) readRoles(ctx context.Context, q querier) error {
	return each(ctx, q, "SELECT id, role_code FROM role", nil, func(r record) error {
		i.roles[r[1].String] = idOf(r[0])
		return nil
	})
}

// params loads which of the touched versions exist and which are active; their
// contents do not matter, for a version that is saved again is replaced.
func (l loader) params(t touched) error {
	strategies := codes(l.ids.strategies)
	var keys []any
	for code := range t.paramStrategies {
		if id, ok := l.ids.strategies[code]; ok {
			keys = append(keys, id)
		}
	}
	put := func(active bool) func(record) error {
		return func(r record) error {
			v := versionOf{strategies[idOf(r[0])], idOf(r[1])}
			l.versions[v] = l.versions[v] || active
			return nil
		}
	}
	const from = " FROM {strategy_param} WHERE "
	if err := l.in("SELECT DISTINCT strategy_id, version"+from+"is_active = 1 AND strategy_id IN ", keys, put(true)); err != nil {
		return err
	}
	last := map[string]int64{}
	// MAX(version) GROUP BY reads all versions there are: optimizers take a range
	// of the primary key for cheaper than its groups.
	const newest = "SELECT id, COALESCE((SELECT version FROM {strategy_param} FORCE INDEX (PRIMARY) WHERE strategy_id = s.id ORDER BY version DESC LIMIT 1), 0) FROM {strategy} s WHERE id IN "
	if err := l.in(newest, keys, func(r record) error {
		last[strategies[idOf(r[0])]] = idOf(r[1])
		return nil
	}); err != nil {
		return err
	}
	var named [][2]int64
	for v := range t.versions {
		if v.version <= last[v.strategy] {
			named = append(named, [2]int64{l.ids.strategies[v.strategy], v.version})
		}
	}
	for where, args := range eitherOf("strategy_id", "version", named) {
		if err := each(l.ctx, l.tx, l.names.sql("SELECT DISTINCT strategy_id, version"+from)+where, args, put(false)); err != nil {
			return err
		}
	}
	for v, active := range l.versions {
		p := book.Param{StrategyCode: v.strategy, Version: v.version, Active: active, Params: jsontext.Value("{}"), CreatedAt: someTime}
		if err := l.book.Restore(p.Row()); err != nil {
			return err
		}
	}
	return nil
}

// someTime stands in for one that does not matter.
var someTime = time.Date(2000, 1, 1, 0, 0, 0, 0, events.Zone)

// changes are the differences between the tables and the Book.
func (s *stored) changes(t touched) changes {
	var c changes
	for _, a := range s.book.Accounts() {
		if s.differs(a.Row()) {
			c.accounts = append(c.accounts, a)
		}
	}
	for _, st := range s.book.Strategies() {
		if s.differs(st.Row()) {
			c.strategies = append(c.strategies, st)
		}
	}
	for _, u := range s.book.Users() {
		if s.differs(u.Row()) {
			c.users = append(c.users, u)
		}
	}
	for _, b := range s.book.Bindings() {
		if s.differs(b.Row()) {
			c.bindings = append(c.bindings, b)
		}
	}
	for _, r := range s.book.UserRoles() {
		if s.differs(r.Row()) {
			c.roles = append(c.roles, r)
		}
	}
	// What the Book went past stays in rows: it is gone.
	c.goneBindings, c.goneRoles = s.left(book.KindBinding), s.left(book.KindUserRole)
	for _, p := range s.book.Params() {
		v := versionOf{p.StrategyCode, p.Version}
		active, exists := s.versions[v]
		switch {
		case t.saved[v]:
			if exists {
				c.goneParams = append(c.goneParams, v)
			}
			c.params = append(c.params, p)
		case p.Active && !active:
			c.activated = append(c.activated, v)
		case !p.Active && active:
			c.deactivated = append(c.deactivated, v)
		}
	}
	return c
}

// differs tells whether a row is to be written, and takes it off the stored.
func (s *stored) differs(row book.Row) bool {
	before, exists := s.rows[row.Kind][row.Key]
	delete(s.rows[row.Kind], row.Key)
	return !exists || before != row.Value
}

func (s *stored) left(kind book.Kind) []string {
	var keys []string
	for key := range s.rows[kind] {
		keys = append(keys, key)
	}
	return keys
}

// idOf reads a number of the tables' own; what is none is 0, which no row has.
func idOf(v sql.NullString) int64 {
	id, _ := strconv.ParseInt(v.String, 10, 64)
	return id
}

// codes is the inverse of a map of ids.
func codes(ids map[string]int64) map[int64]string {
	inverse := make(map[int64]string, len(ids))
	for code, id := range ids {
		inverse[id] = code
	}
	return inverse
}
