package settings

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"
)

type sample struct {
	Common
	Listen   string `help:"Address." default:"127.0.0.1:8080"`
	MaxQueue int    `help:"Events." default:"7"`
	Fast     bool   `help:"Hurry."`
	MysqlDSN string `name:"mysql-dsn" help:"DSN."`
	Token    string `help:"Token." secret:""`
}

func writeConfig(t *testing.T, text string) string {
	path := filepath.Join(t.TempDir(), "tapedeck.json")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestPrecedence(t *testing.T) {
	path := writeConfig(t, `{"listen":"all:1","max_queue":11,"fast":true,"redis-url":"of another command",
		"sample":{"listen":"file:1"}, "other":{"listen":"other:1"}}`)

	var cli sample
	Parse(&cli, "sample", "", nil)
	require.Equal(t, "127.0.0.1:8080", cli.Listen)

	cli = sample{}
	Parse(&cli, "sample", "", []string{"--config", path})
	require.Equal(t, "file:1", cli.Listen)
	require.Equal(t, 11, cli.MaxQueue)
	require.True(t, cli.Fast)

	t.Setenv("TAPEDECK_LISTEN", "env:1")
	t.Setenv("TAPEDECK_CONFIG", path)
	cli = sample{}
	Parse(&cli, "sample", "", nil)
	require.Equal(t, "env:1", cli.Listen, "the environment wins over the file")
	require.Equal(t, 11, cli.MaxQueue)

	cli = sample{}
	Parse(&cli, "sample", "", []string{"--listen=flag:1", "--max-queue=3"})
	require.Equal(t, "flag:1", cli.Listen, "the flag wins over all")
	require.Equal(t, 3, cli.MaxQueue)
}

func TestWrongUsageExitsTwo(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag":      {"--nonsense"},
		"not a number":      {"--max-queue=many"},
		"unknown log level": {"--log-level=loud"},
		"no such config":    {"--config=/nonexistent/tapedeck.json"},
		"config is no JSON": {"--config", writeConfig(t, "{")},
		"config is a list":  {"--config", writeConfig(t, `{"listen":["a"]}`)},
		"stray argument":    {"stray"},
	} {
		t.Run(name, func(t *testing.T) {
			code := -1
			var out, errOut bytes.Buffer
			var cli sample
			Parse(&cli, "sample", "", args, kong.Writers(&out, &errOut), kong.Exit(func(c int) {
				if code < 0 {
					code = c
				}
			}))
			require.Equal(t, ExitUsage, code)
			require.Contains(t, errOut.String(), "sample: error: ")
		})
	}
}

func TestAttrsHideSecrets(t *testing.T) {
	var cli sample
	ctx := Parse(&cli, "sample", "", []string{"--mysql-dsn=tape:s3cret@tcp(db:3306)/tape", "--token=s3cret"})
	text := fmt.Sprint(Attrs(ctx))
	require.NotContains(t, text, "s3cret")
	require.Contains(t, text, "mysql_dsn=tape:***@tcp(db:3306)/tape")
	require.Contains(t, text, "max_queue=7")
}

func TestRedact(t *testing.T) {
	for in, want := range map[string]string{
		"redis://:pw@host:6379/0":            "redis://:***@host:6379/0",
		"nats://u:p@a:4222,nats://u:q@b:1":   "nats://u:***@a:4222,nats://u:***@b:1",
		"root:p@ss@tcp(127.0.0.1:3306)/tape": "root:***@tcp(127.0.0.1:3306)/tape",
		"127.0.0.1:8080":                     "127.0.0.1:8080",
		"nats://127.0.0.1:4222":              "nats://127.0.0.1:4222",
	} {
		require.Equal(t, want, Redact(in), in)
	}
}

func TestLoggerFormats(t *testing.T) {
	var out bytes.Buffer
	Common{LogFormat: "json", LogLevel: "warn"}.Logger(&out).Info("quiet")
	require.Empty(t, out.String())
	Common{LogFormat: "json", LogLevel: "warn"}.Logger(&out).Warn("loud")
	require.Contains(t, out.String(), `"msg":"loud"`)
}
