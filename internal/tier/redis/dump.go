package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// dumpPipeline is how many keys are read in one round trip.
const dumpPipeline = 500

// dumpAttempts bounds how often the keys are read again because a batch was
// applied meanwhile.
const dumpAttempts = 100

// Dump implements projector.Tier. Values are yielded as they are found, also
// those that no projector wrote. All rows are held in memory.
func (t *Tier) Dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	before, err := t.Checkpoint(ctx)
	for range dumpAttempts {
		if err != nil {
			return before, err
		}
		var all []book.Row
		for i, kind := range kinds {
			rows, err := t.rows(ctx, kind, t.prefix+dataPrefixes[i])
			if err != nil {
				return before, wrap(fmt.Sprintf("dump %s", kind), err)
			}
			all = append(all, rows...)
		}
		var after eventlog.Checkpoint
		if after, err = t.Checkpoint(ctx); err != nil || after != before {
			before = after
			continue
		}
		for _, row := range all {
			if err := yield(row); err != nil {
				return before, err
			}
		}
		return before, nil
	}
	return before, fmt.Errorf("redis: dump: the tier moved on during each of %d attempts", dumpAttempts)
}

// rows reads all keys of a kind.
func (t *Tier) rows(ctx context.Context, kind book.Kind, prefix string) ([]book.Row, error) {
	keys, err := t.scan(ctx, strings.TrimPrefix(prefix, t.prefix))
	if err != nil {
		return nil, err
	}
	slices.Sort(keys)
	var rows []book.Row
	for chunk := range slices.Chunk(slices.Compact(keys), dumpPipeline) {
		commands, err := t.client.Pipelined(ctx, func(pipe goredis.Pipeliner) error {
			for _, key := range chunk {
				if kind == book.KindIncDate {
					pipe.Get(ctx, key)
				} else {
					pipe.HGetAll(ctx, key)
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, goredis.Nil) && !goredis.HasErrorPrefix(err, "WRONGTYPE") {
			return nil, err
		}
		for i, command := range commands {
			account := strings.TrimPrefix(chunk[i], prefix)
			if goredis.HasErrorPrefix(command.Err(), "WRONGTYPE") {
				rows = append(rows, book.Row{Kind: kind, Key: account, Value: "(a Redis key of another type)"})
				continue
			}
			switch command := command.(type) {
			case *goredis.StringCmd:
				if command.Err() == nil {
					rows = append(rows, book.Row{Kind: kind, Key: account, Value: command.Val()})
				}
			case *goredis.MapStringStringCmd:
				for code, value := range command.Val() {
					rows = append(rows, book.Row{Kind: kind, Key: account + "/" + code, Value: value})
				}
			}
		}
	}
	slices.SortFunc(rows, func(a, b book.Row) int { return strings.Compare(a.Key, b.Key) })
	return rows, nil
}
