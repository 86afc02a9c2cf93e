// Package settings reads a command's settings and sets up its log output, the
// same way for every command.
//
// Every setting is a flag (--max-queue), an environment variable
// (TAPEDECK_MAX_QUEUE) and a key of one optional JSON file named by --config
// ("max-queue" or "max_queue"). The flag wins over the environment, the
// environment over the file, the file over the default.
package settings

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
)

// The exit codes of every command.
const (
	ExitFine        = 0
	ExitUnhealthy   = 1 // differences, or the work failed
	ExitUsage       = 2 // wrong usage, or refused: trying again does not help
	ExitUnreachable = 3 // a tier or the log can't be reached
)

const envPrefix = "TAPEDECK"

// Common is what every command's settings embed.
type Common struct {
	Config    string `help:"JSON file whose keys are the names of these flags." placeholder:"FILE" type:"existingfile"`
	LogFormat string `help:"Log as ${enum}." enum:"text,json" default:"text"`
	LogLevel  string `help:"Log from this level on: ${enum}." enum:"debug,info,warn,error" default:"info"`
}

// Logger writes to w in the wanted format, from the wanted level on.
func (c Common) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		level = slog.LevelInfo
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// Parse fills cli, a pointer to a kong struct, from args (without the
// command's name), the environment and the config file. Wrong usage ends the
// process with a message and ExitUsage, --help with ExitFine.
func Parse(cli any, name, description string, args []string, options ...kong.Option) *kong.Context {
	options = append([]kong.Option{
		kong.Name(name),
		kong.Description(description),
		kong.DefaultEnvars(envPrefix),
		kong.Resolvers(&fileResolver{}),
		kong.UsageOnError(),
	}, options...)
	parser, err := kong.New(cli, options...)
	if err != nil {
		panic(fmt.Sprintf("settings of %s: %v", name, err)) // the struct's own tags are wrong
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		parser.Errorf("%s", err)
		fmt.Fprintf(parser.Stderr, "Run \"%s --help\" for all settings.\n", name)
		parser.Exit(ExitUsage)
	}
	return ctx
}

// Attrs lists the settings in force for a log line, secrets redacted: flags
// tagged `secret:""`, and passwords inside URLs and DSNs. Unset ones are left
// out.
func Attrs(ctx *kong.Context) []any {
	var attrs []any
	for _, group := range ctx.Model.AllFlags(false) {
		for _, flag := range group {
			value := fmt.Sprint(flag.Target.Interface())
			if flag.Name == "help" || value == "" {
				continue
			}
			if flag.Tag.Has("secret") {
				value = redacted
			}
			attrs = append(attrs, slog.String(strings.ReplaceAll(flag.Name, "-", "_"), Redact(value)))
		}
	}
	return attrs
}

const redacted = "***"

// urlPassword finds scheme://user:password@host, in a list too; dsnPassword
// user:password@tcp(host)/db, whose password may hold any character.
var (
	urlPassword = regexp.MustCompile(`(://[^:@/\s,]*):[^\s,]*@`)
	dsnPassword = regexp.MustCompile(`^([^:@/\s]*):.*@([a-z0-9]*\()`)
)

// Redact hides the password of a URL or DSN.
func Redact(value string) string {
	value = urlPassword.ReplaceAllString(value, "${1}:"+redacted+"@")
	return dsnPassword.ReplaceAllString(value, "${1}:"+redacted+"@${2}")
}

// lookupEnv tells whether a flag's own environment variable is set.
func lookupEnv(flag *kong.Flag) (string, bool) {
	for _, name := range flag.Envs {
		if value, ok := os.LookupEnv(name); ok {
			return value, true
		}
	}
	return "", false
}
