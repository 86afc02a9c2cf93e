package settings

import (
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// fileResolver answers from the file that --config names. One file may serve
// all commands, so it leaves keys alone that are no flag of this one. What is
// for one command alone stands in an object under the command's name:
//
//	{"nats-url": "nats://db1:4222", "console": {"listen": "127.0.0.1:8090"}}
type fileResolver struct {
	loaded bool
	values map[string]any
}

// Validate has nothing to check before the file's name is known.
func (*fileResolver) Validate(*kong.Application) error { return nil }

// Resolve gives a flag's value from the file unless its environment variable
// is set.
func (r *fileResolver) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !r.loaded {
		r.loaded = true
		if err := r.load(ctx.Model.Name, configPath(ctx)); err != nil {
			return nil, err
		}
	}
	if _, ok := lookupEnv(flag); ok || flag.Name == "config" {
		return nil, nil
	}
	return r.values[flag.Name], nil
}

func configPath(ctx *kong.Context) string {
	for _, group := range ctx.Model.AllFlags(false) {
		for _, flag := range group {
			if flag.Name != "config" {
				continue
			}
			if path, _ := ctx.FlagValue(flag).(string); path != "" {
				return path
			}
			path, _ := lookupEnv(flag)
			return path
		}
	}
	return ""
}

func (r *fileResolver) load(command, path string) error {
	if path == "" {
		return nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("config file: %w", err)
	}
	var all map[string]jsontext.Value
	if err := json.Unmarshal(text, &all); err != nil {
		return fmt.Errorf("config file %s: must be one JSON object: %w", path, err)
	}
	r.values = make(map[string]any, len(all))
	own := make(map[string]jsontext.Value)
	for key, value := range all {
		if value.Kind() != '{' {
			continue
		}
		delete(all, key)
		if key != command {
			continue
		}
		if err := json.Unmarshal(value, &own); err != nil {
			return fmt.Errorf("config file %s: %s: %w", path, key, err)
		}
	}
	for _, values := range []map[string]jsontext.Value{all, own} {
		if err := r.take(values); err != nil {
			return fmt.Errorf("config file %s: %w", path, err)
		}
	}
	return nil
}

func (r *fileResolver) take(values map[string]jsontext.Value) error {
	for key, value := range values {
		v, err := setting(value)
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		r.values[strings.ReplaceAll(key, "_", "-")] = v
	}
	return nil
}

// setting is a JSON value as kong takes it: numbers keep their own text.
func setting(value jsontext.Value) (any, error) {
	switch value.Kind() {
	case '"':
		var s string
		err := json.Unmarshal(value, &s)
		return s, err
	case '0':
		return string(value), nil
	case 't', 'f':
		return value.Kind() == 't', nil
	default:
		return nil, fmt.Errorf("must be a string, a number or a boolean")
	}
}
