package redis

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

var (
	//go:embed layout.lua
	layoutSource string
	//go:embed apply.lua
	applySource string
	//go:embed begin.lua
	beginSource string
	//go:embed discard.lua
	discardSource string
	//go:embed hold.lua
	holdSource string
	//go:embed newcomers.lua
	newcomersSource string
	//go:embed promote.lua
	promoteSource string
	//go:embed repair.lua
	repairSource string

	applyScript   = goredis.NewScript(layoutSource + applySource)
	beginScript   = goredis.NewScript(layoutSource + beginSource)
	discardScript = goredis.NewScript(layoutSource + discardSource)
	holdScript    = goredis.NewScript(layoutSource + holdSource)
	promoteScript = goredis.NewScript(layoutSource + promoteSource)
	repairScript  = goredis.NewScript(layoutSource + repairSource)
)

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
	case "hold":
		return &otherHoldError{text: detail[0]}
	case "foreign":
		return errForeign(op, detail[0])
	case "schema":
		return errSchema(op, detail[0])
	default:
		return fmt.Errorf("redis: %s: %s; nothing was applied, rebuild the tier: %w", op, strings.Join(detail, " "), projector.ErrRefused)
	}
}
