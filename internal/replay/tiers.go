package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/clickhouse"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/file"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

// tierFlags name the tiers. No server is used that was not named.
type tierFlags struct {
	RedisURL      string `help:"Redis tier, e.g. redis://127.0.0.1:6379/0." env:"TAPEDECK_REDIS_URL"`
	MysqlDSN      string `name:"mysql-dsn" help:"MySQL tier, e.g. user:password@tcp(127.0.0.1:3306)/tapedeck." env:"TAPEDECK_MYSQL_DSN"`
	ClickhouseDSN string `name:"clickhouse-dsn" help:"ClickHouse tier, e.g. clickhouse://user:password@127.0.0.1:9000/tapedeck." env:"TAPEDECK_CLICKHOUSE_DSN"`
	FileDir       string `help:"Folder of the file tier." env:"TAPEDECK_FILE_DIR"`
}

// tierKind is one kind of tier that replay can open.
type tierKind struct {
	name string
	// setting is what names it, for messages.
	setting string
	// place is where it is, "" when it was not named.
	place func(f tierFlags) string
	open  func(ctx context.Context, place string) (projector.Live, error)
}

// tierKinds are all, in the order replay shows them.
var tierKinds = []tierKind{
	{
		"redis", "--redis-url or TAPEDECK_REDIS_URL",
		func(f tierFlags) string { return f.RedisURL },
		func(ctx context.Context, url string) (projector.Live, error) {
			return redis.Open(ctx, redis.Options{URL: url})
		},
	},
	{
		"mysql", "--mysql-dsn or TAPEDECK_MYSQL_DSN",
		func(f tierFlags) string { return f.MysqlDSN },
		func(ctx context.Context, dsn string) (projector.Live, error) {
			return mysql.Open(ctx, mysql.Options{DSN: dsn})
		},
	},
	{
		"clickhouse", "--clickhouse-dsn or TAPEDECK_CLICKHOUSE_DSN",
		func(f tierFlags) string { return f.ClickhouseDSN },
		func(ctx context.Context, dsn string) (projector.Live, error) {
			return clickhouse.Open(ctx, clickhouse.Options{DSN: dsn})
		},
	},
	{
		"file", "--file-dir or TAPEDECK_FILE_DIR",
		func(f tierFlags) string { return f.FileDir },
		func(_ context.Context, dir string) (projector.Live, error) {
			return file.Open(dir, file.Options{Inspect: true})
		},
	},
}

func kindNamed(name string) (tierKind, bool) {
	for _, kind := range tierKinds {
		if kind.name == name {
			return kind, true
		}
	}
	return tierKind{}, false
}

// configured are the names of the tiers that flags or environment name.
func (f tierFlags) configured() []string {
	var names []string
	for _, kind := range tierKinds {
		if kind.place(f) != "" {
			names = append(names, kind.name)
		}
	}
	return names
}

// selectTiers turns a --tier value into names; "all" is every configured one.
func (f tierFlags) selectTiers(value string) ([]string, error) {
	if value == "all" {
		names := f.configured()
		if len(names) == 0 {
			settings := make([]string, 0, len(tierKinds))
			for _, kind := range tierKinds {
				settings = append(settings, kind.setting)
			}
			return nil, usage("no tier is configured: set %s", strings.Join(settings, ", "))
		}
		return names, nil
	}
	kind, ok := kindNamed(value)
	if !ok {
		return nil, usage("--tier %s: there is no such tier", value)
	}
	if kind.place(f) == "" {
		return nil, usage("tier %s is not configured: set %s", value, kind.setting)
	}
	return []string{value}, nil
}

// openTier opens a configured tier.
func (e *Env) openTier(name string) (projector.Live, error) {
	kind, ok := kindNamed(name)
	if !ok {
		return nil, fmt.Errorf("unknown tier %q", name)
	}
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	return kind.open(ctx, kind.place(e.CLI.tierFlags))
}

// eachTier runs do for every selected tier in turn, opened. One that fails keeps
// none of the others from its turn.
func (e *Env) eachTier(selected string, do func(tier projector.Live) error) error {
	names, err := e.CLI.selectTiers(selected)
	if err != nil {
		return err
	}
	var failed []error
	for _, name := range names {
		if e.Context.Err() != nil {
			return errors.Join(append(failed, e.Context.Err())...)
		}
		tier, err := e.openTier(name)
		if err != nil {
			failed = append(failed, fmt.Errorf("open tier %s: %w", name, err))
			continue
		}
		if err := do(tier); err != nil {
			failed = append(failed, fmt.Errorf("tier %s: %w", name, err))
		}
		tier.Close()
	}
	return errors.Join(failed...)
}
