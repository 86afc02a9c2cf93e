package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

const (
	// sweepEvery is how often a writing tier cleans up behind itself.
	sweepEvery = time.Minute
	// sweepNames bounds how many stocks or accounts one sweep takes on.
	sweepNames = 500
	// statesKept is in units of the partitions of tapedeck_state.
	statesKept = 2
)

// sweepNowAndThen starts a sweep when it is time; nobody waits for it. One that
// fails is told, and no reason to stop: the next one begins where it ended.
func (t *Tier) sweepNowAndThen(ctx context.Context) {
	if t.swept.IsZero() {
		t.swept = time.Now() // a while after the first batch, also of a shadow
	}
	if time.Since(t.swept) < sweepEvery {
		return
	}
	s, generation := t.store, t.generation
	if !s.sweeper.start(ctx, func(ctx context.Context) {
		if err := s.sweep(ctx, generation); err != nil && ctx.Err() == nil && !errors.Is(err, errGone) {
			slog.WarnContext(ctx, "cannot clean up yet", "error", wrap("clean up", err))
		}
	}) {
		return
	}
	t.swept = time.Now()
}

// sweep deletes what counts no more: generations that were dropped, rows of
// dead attempts and of outdated versions, old states. All of it is invisible
// already, so a kill anywhere in here leaves work for the next sweep only.
func (s *store) sweep(ctx context.Context, generation uint64) error {
	if err := s.mutates(ctx); err != nil {
		return err
	}
	if err := s.dropGenerations(ctx); err != nil {
		return err
	}
	if err := s.dropStates(ctx); err != nil {
		return err
	}
	p, err := s.placeNow(ctx, generation)
	if err != nil || p == nil {
		return err
	}
	if err := s.deleteDead(ctx, p); err != nil {
		return err
	}
	return s.deleteOutdated(ctx, p)
}

// mutates is an error while the server has mutations of our tables to do: one
// more would only wait behind them, and too many hold inserts up.
func (s *store) mutates(ctx context.Context) error {
	var left uint64
	err := s.conn.QueryRow(ctx, "SELECT count() FROM system.mutations WHERE database = currentDatabase() AND NOT is_done"+
		" AND table IN ('"+strings.Join(tableNames, "', '")+"')").Scan(&left)
	if err == nil && left > 0 {
		err = fmt.Errorf("%d mutations are unfinished: see system.mutations", left)
	}
	return err
}

// dropGenerations drops what belongs to no place. A generation is in the state
// before its first row is inserted, so one that has rows now and is not in the
// state read afterwards is no one's any more.
func (s *store) dropGenerations(ctx context.Context) error {
	rows, err := s.conn.Query(ctx, "SELECT DISTINCT table, partition_id FROM system.parts WHERE database = currentDatabase() AND active"+
		" AND table IN ('tapedeck_trade', 'tapedeck_daily_kline')")
	if err != nil {
		return err
	}
	defer rows.Close()
	type partition struct{ table, id string }
	var partitions []partition
	for rows.Next() {
		var p partition
		if err := rows.Scan(&p.table, &p.id); err != nil {
			return err
		}
		partitions = append(partitions, p)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	now, err := s.read(ctx)
	if err != nil {
		return err
	}
	for _, p := range partitions {
		text, _, _ := strings.Cut(p.id, "-")
		generation, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return fmt.Errorf("partition %s of %s is not ours: %w", p.id, p.table, err)
		}
		if generation != 0 && now.of(generation) != nil {
			continue
		}
		if err := s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DROP PARTITION ID '%s'", p.table, p.id)); err != nil {
			return err
		}
	}
	return nil
}

// dropStates drops all but the last thousands of states.
func (s *store) dropStates(ctx context.Context) error {
	rows, err := s.conn.Query(ctx, "SELECT DISTINCT intDiv(revision, 1000) FROM tapedeck_state"+
		" WHERE intDiv(revision, 1000) + "+strconv.Itoa(statesKept)+" <= (SELECT intDiv(max(revision), 1000) FROM tapedeck_state)")
	if err != nil {
		return err
	}
	defer rows.Close()
	var old []uint64
	for rows.Next() {
		var n uint64
		if err := rows.Scan(&n); err != nil {
			return err
		}
		old = append(old, n)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	for _, n := range old {
		if err := s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE tapedeck_state DROP PARTITION %d", n)); err != nil {
			return err
		}
	}
	return nil
}

// deleteDead deletes the rows of attempts that can never count. Their numbers
// stay in the state: a server may still execute an insert of theirs.
func (s *store) deleteDead(ctx context.Context, p *place) error {
	if len(p.Dead) == 0 {
		return nil
	}
	condition := fmt.Sprintf("generation = %d AND attempt IN (%s)", p.Generation, numbers(p.Dead))
	for _, table := range tableNames[1:] {
		if err := s.deleteRows(ctx, table, func(string) string { return condition }); err != nil {
			return err
		}
	}
	return nil
}

// deleteRows deletes what a condition names, a partition at a time: a mutation
// looks at no part of another. within, if not empty, may narrow what the
// condition itself looks up to the partition.
func (s *store) deleteRows(ctx context.Context, table string, condition func(within string) string) error {
	partitions, err := s.partitionsWith(ctx, table, condition(""))
	if err != nil {
		return err
	}
	for _, id := range partitions {
		where := condition(" AND _partition_id = " + quoteText(id))
		if err := s.conn.Exec(ctx, fmt.Sprintf("ALTER TABLE %s DELETE IN PARTITION ID %s WHERE %s", table, quoteText(id), where)); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) partitionsWith(ctx context.Context, table, where string) ([]string, error) {
	rows, err := s.conn.Query(ctx, "SELECT DISTINCT _partition_id AS id FROM "+table+" WHERE "+where+" ORDER BY id")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var partitions []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		partitions = append(partitions, id)
	}
	return partitions, rows.Err()
}

// deleteOutdated leaves one row a key where there were several, and takes the
// names off the lists: readers have the plain scan again. What counts later than
// the state that it begins with is not touched, so a projector may go on.
func (s *store) deleteOutdated(ctx context.Context, p *place) error {
	stocks, accounts := first(p.Stocks), first(p.Accounts)
	if len(stocks)+len(accounts) == 0 {
		return nil
	}
	// Before the first row goes: a dump of an older state must notice.
	now, err := s.change(ctx, func(next *state) error {
		p := next.of(p.Generation)
		if p == nil {
			return errGone
		}
		p.Swept = p.Upto
		return nil
	})
	if err != nil {
		return err
	}
	p = now.of(p.Generation)
	upto := p.Upto
	for _, c := range []struct {
		table, key, name string
		names            []string
	}{
		{klineTable, "stock_code, date", "stock_code", stocks},
		{tradeTable, "sequence", "account_id", accounts},
	} {
		if len(c.names) == 0 {
			continue
		}
		where := fmt.Sprintf("%s AND %s IN (%s)", p.visible(), c.name, texts(c.names))
		outdated := func(within string) string {
			if c.table == tradeTable {
				within = "" // a repair may have moved the trade to another month
			}
			return fmt.Sprintf("%s AND (%s, attempt) NOT IN (SELECT %s, max(attempt) FROM %s WHERE %s%s GROUP BY %s)", where, c.key, c.key, c.table, where, within, c.key)
		}
		removed := func(string) string { return where + " AND removed = 1" }
		// Marks of removal go last: until then they hide what is deleted here.
		for _, condition := range []func(string) string{outdated, removed} {
			if err := s.deleteRows(ctx, c.table, condition); err != nil {
				return err
			}
		}
	}
	_, err = s.change(ctx, func(next *state) error {
		p := next.of(p.Generation)
		if p == nil {
			return errGone
		}
		unmark(p.Stocks, stocks, upto)
		unmark(p.Accounts, accounts, upto)
		return nil
	})
	return err
}

// unmark takes off what was not revised again since.
func unmark(marks map[string]uint64, names []string, upto uint64) {
	for _, name := range names {
		if marks[name] <= upto {
			delete(marks, name)
		}
	}
}

func first(marks map[string]uint64) []string {
	names := sortedKeys(marks)
	return names[:min(len(names), sweepNames)]
}

func texts(list []string) string {
	quoted := make([]string, len(list))
	for i, text := range list {
		quoted[i] = quoteText(text)
	}
	return strings.Join(quoted, ", ")
}
