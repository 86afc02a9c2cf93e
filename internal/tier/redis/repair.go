package redis

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Repair implements projector.Live: one script, and so at most about 150,000
// changes. A key of a wrong type goes when the row that Dump shows for it is
// removed. An error about a change that fits no row of this tier comes before
// anything is changed.
func (t *Tier) Repair(ctx context.Context, at eventlog.Checkpoint, changes []projector.Change) error {
	op := fmt.Sprintf("repair at %d", at.Sequence)
	r := repair{prefix: t.prefix, keys: []string{t.prefix + checkpointKey, t.prefix + accountsKey}, index: make(map[string]int)}
	for _, c := range changes {
		if err := checkChange(c); err != nil {
			return fmt.Errorf("redis: %s: %w", op, err)
		}
		if c.Value == nil {
			r.remove(c)
		}
	}
	for _, c := range changes {
		if c.Value != nil {
			r.set(c)
		}
	}
	args := []any{schemaVersion, t.owner, at.Sequence, at.Chain.String(), len(r.accounts)}
	args = append(args, r.accounts...)
	return t.run(ctx, op, repairScript, r.keys, append(args, r.changes...))
}

// repair gathers the keys and arguments of repair.lua.
type repair struct {
	prefix   string
	keys     []string
	index    map[string]int // of a key in keys, as Lua counts
	accounts []any
	changes  []any
}

func (r *repair) add(command string, kind book.Kind, account, a, b string) {
	key := r.prefix + dataPrefixes[slices.Index(kinds, kind)] + account
	at := r.index[key]
	if at == 0 {
		r.keys = append(r.keys, key)
		at = len(r.keys)
		r.index[key] = at
	}
	r.changes = append(r.changes, command, at, a, b)
}

// checkChange refuses what can be no row of this tier.
func checkChange(c projector.Change) error {
	fits := slices.Contains(kinds, c.Kind)
	if fits && c.Value != nil {
		fits = strings.Contains(c.Key, "/") == (c.Kind != book.KindIncDate)
	}
	if !fits {
		return fmt.Errorf("this tier has no row of kind %q with key %q", c.Kind, c.Key)
	}
	return nil
}

// remove takes a row away as Dump names it. Fields and accounts of other hands
// may contain a slash, so a row's key may stand for several places: a row that
// must not be there is not there in any of them.
func (r *repair) remove(c projector.Change) {
	if c.Kind == book.KindIncDate {
		r.add("UNLINK", c.Kind, c.Key, "", "")
		return
	}
	r.add("CLEAR", c.Kind, c.Key, "", "")
	for i := range len(c.Key) {
		if c.Key[i] == '/' {
			r.add("HDEL", c.Kind, c.Key[:i], c.Key[i+1:], "")
		}
	}
}

func (r *repair) set(c projector.Change) {
	account, stock, isField := strings.Cut(c.Key, "/")
	if isField {
		r.add("HSET", c.Kind, account, stock, *c.Value)
	} else {
		r.add("SET", c.Kind, account, *c.Value, "")
	}
	r.accounts = append(r.accounts, account)
}
