package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// dumpPipeline is how many keys are read in one round trip.
const dumpPipeline = 500

// Dump implements projector.Tier. Values are yielded as they are found, also
// those that no projector wrote. It is no snapshot: a batch may be applied
// meanwhile, so compare the checkpoint before and after. One kind at a time is
// held in memory.
func (t *Tier) Dump(ctx context.Context, yield func(book.Row) error) error {
	for i, kind := range kinds {
		rows, err := t.rows(ctx, kind, t.prefix+dataPrefixes[i])
		if err != nil {
			return wrap(fmt.Sprintf("dump %s", kind), err)
		}
		for _, row := range rows {
			if err := yield(row); err != nil {
				return err
			}
		}
	}
	return nil
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
