package redis

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

//go:embed apply.lua
var applySource string

var applyScript = goredis.NewScript(applySource)

// Apply implements projector.Tier: one script for the whole batch. Contents
// that the script cannot go on from, such as held days that are no number,
// wrap projector.ErrRefused and nothing is applied.
//
// Redis carries at most a million arguments a command: about 170,000 events in
// the worst case. The runner's batches are far below.
func (t *Tier) Apply(ctx context.Context, b projector.Batch) error {
	op := fmt.Sprintf("apply %d–%d", b.From.Sequence+1, b.To.Sequence)
	p := program{
		keys: []string{t.prefix + checkpointKey, t.prefix + accountsKey},
		args: []any{b.From.Sequence, b.From.Chain.String(), b.To.Sequence, b.To.Chain.String(), schemaVersion, t.owner, 0, 0},
	}
	p.encode(t.prefix, coalesce(b.Events))
	if t.takeOver && b.From == (eventlog.Checkpoint{}) {
		foreign, err := t.dataKeys(ctx)
		if err != nil {
			return wrap(op, err)
		}
		p.keys = append(p.keys, foreign...)
		p.args[6] = 1
	}
	return t.run(ctx, op, applyScript, p.keys, p.args)
}

// run runs a script that answers {"ok"} or says what is wrong.
func (t *Tier) run(ctx context.Context, op string, script *goredis.Script, keys []string, args []any) error {
	answer, err := script.Run(ctx, t.client, keys, args...).StringSlice()
	if err != nil {
		return wrap(op, err)
	}
	switch detail := answer[1:]; answer[0] {
	case "ok":
		return nil
	case "conflict":
		return fmt.Errorf("redis: %s: the tier is at %s: %w", op, detail[0], projector.ErrConflict)
	case "foreign":
		return errForeign(op, detail[0])
	case "schema":
		return errSchema(op, detail[0])
	default:
		return fmt.Errorf("redis: %s: %s; nothing was applied, rebuild the tier: %w", op, strings.Join(detail, " "), projector.ErrRefused)
	}
}
