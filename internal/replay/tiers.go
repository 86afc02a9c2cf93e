package replay

import (
	"context"
	"fmt"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/file"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

// tierNames are the tiers that replay knows, in the order it shows them.
var tierNames = []string{"redis", "file"}

// configured tells whether a tier was named by flag or environment. No server
// is used that was not named.
func (c *CLI) configured(name string) bool {
	switch name {
	case "redis":
		return c.RedisURL != ""
	case "file":
		return c.FileDir != ""
	}
	return false
}

// setting is what names a tier.
var setting = map[string]string{
	"redis": "--redis-url or TAPEDECK_REDIS_URL",
	"file":  "--file-dir or TAPEDECK_FILE_DIR",
}

// selectTiers turns a --tier value into names; "all" is every configured one.
func (c *CLI) selectTiers(value string) ([]string, error) {
	if value != "all" {
		if !c.configured(value) {
			return nil, usage("tier %s is not configured: set %s", value, setting[value])
		}
		return []string{value}, nil
	}
	var names []string
	for _, name := range tierNames {
		if c.configured(name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, usage("no tier is configured: set %s", strings.Join([]string{setting["redis"], setting["file"]}, ", "))
	}
	return names, nil
}

// openTier opens a configured tier.
func (e *Env) openTier(name string) (projector.Live, error) {
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	switch name {
	case "redis":
		return redis.Open(ctx, redis.Options{URL: e.CLI.RedisURL})
	case "file":
		return file.Open(e.CLI.FileDir, file.Options{Inspect: true})
	}
	return nil, fmt.Errorf("unknown tier %q", name)
}
