package clickhouse

import (
	"context"
	"fmt"
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

func (t *Tier) sweepNowAndThen(ctx context.Context) error {
	if time.Since(t.swept) < sweepEvery {
		return nil
	}
	t.swept = time.Now()
	return wrapIf("clean up", t.sweep(ctx))
}

// sweep deletes what counts no more: generations that were dropped, rows of
// dead attempts and of outdated versions, old states. All of it is invisible
// already, so a kill anywhere in here leaves work for the next sweep only.
func (t *Tier) sweep(ctx context.Context) error {
	s := t.store
	if err := s.dropGenerations(ctx); err != nil {
		return err
	}
	if err := s.dropStates(ctx); err != nil {
		return err
	}
	p, err := s.placeNow(ctx, t.generation)
	if err != nil || p == nil {
		return err
	}
	if err := s.deleteDead(ctx, p); err != nil {
		return err
	}
	return t.deleteOutdated(ctx, p)
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
	for _, table := range tableNames[1:] {
		where := fmt.Sprintf("generation = %d AND attempt IN (%s)", p.Generation, numbers(p.Dead))
		if err := s.deleteRows(ctx, table, where); err != nil {
			return err
		}
	}
	return nil
}

func (s *store) deleteRows(ctx context.Context, table, where string) error {
	var found uint64
	if err := s.conn.QueryRow(ctx, "SELECT count() FROM "+table+" WHERE "+where).Scan(&found); err != nil || found == 0 {
		return err
	}
	return s.conn.Exec(ctx, "DELETE FROM "+table+" WHERE "+where)
}

// deleteOutdated leaves one row a key where there were several, and takes the
// names off the lists: readers have the plain scan again.
func (t *Tier) deleteOutdated(ctx context.Context, p *place) error {
	s := t.store
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
		{"tapedeck_daily_kline", "stock_code, date", "stock_code", stocks},
		{"tapedeck_trade", "sequence", "account_id", accounts},
	} {
		if len(c.names) == 0 {
			continue
		}
		where := fmt.Sprintf("%s AND %s IN (%s)", p.visible(), c.name, texts(c.names))
		// Marks of removal go last: until then they hide what is deleted here.
		outdated := fmt.Sprintf("%s AND (%s, attempt) NOT IN (SELECT %s, max(attempt) FROM %s WHERE %s GROUP BY %s)", where, c.key, c.key, c.table, where, c.key)
		for _, condition := range []string{outdated, where + " AND removed = 1"} {
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
