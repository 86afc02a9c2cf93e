package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// dumpTimeout replaces ioTimeout for Dump, whose answer comes all at once.
const dumpTimeout = time.Minute

// otherType is the value of a row that stands for a key that is not of our type.
const otherType = "(a Redis key of another type)"

// Dump implements projector.Tier: one transaction reads the checkpoint and all
// keys. Values are yielded as they are found, also those that no projector
// wrote; a key of another type is one row with the account as its key. All rows
// are held in memory.
func (t *Tier) Dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	const op = "dump"
	accounts, err := t.accounts(ctx)
	if err != nil {
		return eventlog.Checkpoint{}, wrap(op, err)
	}
	checkpoint, all, err := t.readAll(ctx, accounts)
	if err != nil {
		return eventlog.Checkpoint{}, wrap(op, err)
	}
	found, err := t.parse(op, checkpoint)
	if err != nil {
		return found.at, err
	}
	if rows := slices.Concat(all[:]...); found.at.Sequence == 0 && len(rows) > 0 && !t.takeOver {
		return found.at, errForeign(op, rows[0].Key)
	}
	for _, rows := range all {
		slices.SortFunc(rows, func(a, b book.Row) int { return strings.Compare(a.Key, b.Key) })
		for _, row := range rows {
			if err := yield(row); err != nil {
				return found.at, err
			}
		}
	}
	return found.at, nil
}

// accounts returns those that the tier knows and those of which there are keys.
func (t *Tier) accounts(ctx context.Context) ([]string, error) {
	known, err := t.client.SMembers(ctx, t.prefix+accountsKey).Result()
	if err != nil {
		return nil, err
	}
	found, err := t.foundAccounts(ctx)
	if err != nil {
		return nil, err
	}
	known = append(known, found...)
	slices.Sort(known)
	return slices.Compact(known), nil
}

// readAll reads the checkpoint, the given accounts, and those that came up since
// they were listed: all in one transaction, so as of one instant. Plain commands
// block Redis for a quarter of the time that a script over all accounts would.
func (t *Tier) readAll(ctx context.Context, accounts []string) (map[string]string, contents, error) {
	var found contents
	commands, err := t.client.WithTimeout(dumpTimeout).TxPipelined(ctx, func(pipe goredis.Pipeliner) error {
		pipe.HGetAll(ctx, t.prefix+checkpointKey)
		pipe.Eval(ctx, layoutSource+newcomersSource, nil, withAccounts(accounts, t.prefix)...)
		for _, account := range accounts {
			for i, prefix := range dataPrefixes {
				if key := t.prefix + prefix + account; kinds[i] == book.KindIncDate {
					pipe.Get(ctx, key)
				} else {
					pipe.HGetAll(ctx, key)
				}
			}
		}
		return nil
	})
	for _, command := range commands {
		if err := command.Err(); err != nil && !isAnswer(err) {
			return nil, found, err
		}
	}
	if err != nil && !isAnswer(err) {
		return nil, found, err
	}
	checkpoint, newcomers := commands[0].(*goredis.MapStringStringCmd), commands[1].(*goredis.Cmd)
	if err := errors.Join(checkpoint.Err(), newcomers.Err()); err != nil {
		return nil, found, err
	}
	for i, command := range commands[2:] {
		account, kind := accounts[i/len(kinds)], i%len(kinds)
		switch command := command.(type) {
		case *goredis.StringCmd:
			found.add(kind, account, command.Val(), command.Err())
		case *goredis.MapStringStringCmd:
			found.addHash(kind, account, command.Val(), command.Err())
		}
	}
	return checkpoint.Val(), found, found.addNewcomers(newcomers)
}

// isAnswer tells what a read of one key may answer, from a failure.
func isAnswer(err error) bool {
	return errors.Is(err, goredis.Nil) || goredis.HasErrorPrefix(err, "WRONGTYPE")
}

// contents are rows by kind, in the order of kinds.
type contents [len(dataPrefixes)][]book.Row

func (c *contents) add(kind int, key, value string, err error) {
	if errors.Is(err, goredis.Nil) {
		return
	}
	if err != nil {
		value = otherType
	}
	c[kind] = append(c[kind], book.Row{Kind: kinds[kind], Key: key, Value: value})
}

func (c *contents) addHash(kind int, account string, fields map[string]string, err error) {
	if err != nil {
		c.add(kind, account, "", err)
	}
	for field, value := range fields {
		c.add(kind, account+"/"+field, value, nil)
	}
}

// addNewcomers adds what newcomers.lua answered.
func (c *contents) addNewcomers(answer *goredis.Cmd) error {
	values, err := answer.Slice()
	if err != nil {
		return err
	}
	for each := range slices.Chunk(values, 1+len(kinds)) {
		account, _ := each[0].(string)
		for kind, value := range each[1:] {
			switch value := value.(type) {
			case nil:
			case error:
				c.add(kind, account, "", value)
			case string:
				c.add(kind, account, value, nil)
			case []any:
				for pair := range slices.Chunk(value, 2) {
					c.add(kind, fmt.Sprintf("%s/%s", account, pair[0]), fmt.Sprint(pair[1]), nil)
				}
			}
		}
	}
	return nil
}
