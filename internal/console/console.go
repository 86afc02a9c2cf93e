// Package console is what people and strategies look at: the read API over
// HTTP, described by OpenAPI 3.1 that is made from the code. Every answer comes
// from package query, and says which sequence it is true at. It writes nothing
// but its own settings.
package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/compare"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/clickhouse"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/file"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/mysql"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/redis"
)

// Command is the console's command line. No server is used that was not named.
type Command struct {
	settings.Common
	Listen        string        `help:"Address of the read API." default:"127.0.0.1:8090"`
	Data          string        `help:"Folder for what the console itself remembers: which tier is primary." default:"./data-console"`
	NatsURL       string        `help:"NATS that holds the log." default:"nats://127.0.0.1:4222" env:"TAPEDECK_NATS_URL"`
	RedisURL      string        `help:"Redis tier, e.g. redis://127.0.0.1:6379/0." env:"TAPEDECK_REDIS_URL"`
	MysqlDSN      string        `name:"mysql-dsn" help:"MySQL tier, e.g. user:password@tcp(127.0.0.1:3306)/tapedeck." env:"TAPEDECK_MYSQL_DSN"`
	ClickhouseDSN string        `name:"clickhouse-dsn" help:"ClickHouse tier, e.g. clickhouse://user:password@127.0.0.1:9000/tapedeck." env:"TAPEDECK_CLICKHOUSE_DSN"`
	FileDir       string        `help:"Folder of the file tier." env:"TAPEDECK_FILE_DIR"`
	Primary       string        `help:"Primary tier of each kind, such as positions=file,klines=clickhouse; kinds are positions, records, trades and klines, and what is not named is auto. What was set while running wins." placeholder:"KIND=TIER,…"`
	Memory        string        `help:"What is kept in memory besides positions and records: ${enum}. trades costs about 100 bytes a trade, all also 60 a daily bar; auto is trades where there is a file tier, else all." enum:"auto,state,trades,all" default:"auto"`
	StaleAfter    time.Duration `help:"How far a tier may be behind the log before one that is not answers in its place." default:"5s"`
	CompareEvery  time.Duration `help:"How often the tiers are compared with the log; 0 is never." default:"1m"`
}

const (
	shutdownPatience = 5 * time.Second
	// logPatience is how long the start waits for the log: what is read before it
	// was reached is degraded.
	logPatience = 2 * time.Second
)

// Main serves until ctx ends and returns the process's exit code.
func (c Command) Main(ctx context.Context, out io.Writer) int {
	logger := c.Logger(out)
	if err := c.run(ctx, logger); err != nil {
		logger.Error("cannot go on", "error", err)
		return settings.ExitUsage
	}
	return settings.ExitFine
}

func (c Command) run(ctx context.Context, logger *slog.Logger) error {
	tape := &tape{config: eventlog.Config{URL: c.NatsURL, Name: "console", Logger: logger}}
	defer tape.close()
	inMemory := memory.NewReader(c.keep())
	tiers, err := c.tiers()
	if err != nil {
		return err
	}
	comparer := compare.New(compare.Options{Log: inMemory, Tiers: tiers, Every: c.CompareEvery, Logger: logger})
	tiers = append(tiers, inMemory)
	primary, err := c.primaries(tiers)
	if err != nil {
		return err
	}
	router := query.NewRouter(query.Options{Tiers: tiers, LogEnd: tape.end, StaleAfter: c.StaleAfter, Primary: primary, Logger: logger})
	defer router.Close()

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s (choose another with --listen): %w", c.Listen, err)
	}
	var all sync.WaitGroup
	defer all.Wait()
	running, stop := context.WithCancel(ctx)
	defer stop()
	reached := make(chan struct{})
	all.Go(func() {
		if log := tape.open(running); log != nil {
			close(reached)
			inMemory.Run(running, log, logger)
		}
	})
	select {
	case <-reached:
	case <-time.After(logPatience): // reads go on without it, degraded
	case <-ctx.Done():
	}
	router.Look(running)
	all.Go(func() { router.Run(running) })
	all.Go(func() { comparer.Run(running) })
	server := newServer(running, NewAPI(router, primary, comparer, tape), logger)
	all.Go(func() {
		<-running.Done()
		patient, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownPatience)
		defer cancel()
		if err := server.Shutdown(patient); err != nil {
			server.Close()
		}
	})
	logger.Info("ready", "http", listener.Addr().String(), "primary", primary.All(), "nats_url", settings.Redact(c.NatsURL))
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// tiers opens the readers of all tiers that were named.
func (c Command) tiers() ([]query.Tier, error) {
	var tiers []query.Tier
	var faults []error
	add := func(place string, open func(string) (query.Tier, error)) {
		if place == "" {
			return
		}
		tier, err := open(place)
		tiers, faults = append(tiers, tier), append(faults, err)
	}
	add(c.RedisURL, func(url string) (query.Tier, error) { return redis.NewReader(url) })
	add(c.MysqlDSN, func(dsn string) (query.Tier, error) { return mysql.NewReader(dsn) })
	add(c.ClickhouseDSN, func(dsn string) (query.Tier, error) { return clickhouse.NewReader(dsn) })
	add(c.FileDir, func(dir string) (query.Tier, error) { return file.NewReader(dir) })
	return tiers, errors.Join(faults...)
}

func (c Command) keep() memory.Keep {
	return memory.Keep{
		Trades: c.Memory != "state",
		Klines: c.Memory == "all" || c.Memory == "auto" && c.FileDir == "",
	}
}

func (c Command) primaries(tiers []query.Tier) (*query.Primaries, error) {
	if err := os.MkdirAll(c.Data, 0o755); err != nil {
		return nil, fmt.Errorf("data folder (choose another with --data): %w", err)
	}
	names := make([]string, len(tiers))
	for i, tier := range tiers {
		names[i] = tier.Name()
	}
	defaults := make(map[query.Kind]string)
	for _, part := range strings.FieldsFunc(c.Primary, func(r rune) bool { return r == ',' }) {
		kind, tier, ok := strings.Cut(part, "=")
		if !ok {
			return nil, fmt.Errorf("--primary %s: must be such as positions=file,klines=auto", c.Primary)
		}
		defaults[query.Kind(strings.TrimSpace(kind))] = strings.TrimSpace(tier)
	}
	return query.OpenPrimaries(filepath.Join(c.Data, "primary.json"), names, defaults)
}

// tape is the log, which may come up later than the console.
type tape struct {
	config eventlog.Config
	mu     sync.Mutex
	log    *eventlog.Log
}

// open connects, and tries until it can or ctx ends: then it returns nil.
func (t *tape) open(ctx context.Context) *eventlog.Log {
	for {
		log, err := eventlog.Open(ctx, t.config)
		if err == nil {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.log = log
			return log
		}
		t.config.Logger.Warn("waiting for the log", "error", err)
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil
		}
	}
}

// now is the log, or eventlog.ErrUnreachable before it was reached first.
func (t *tape) now() (*eventlog.Log, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.log == nil {
		return nil, eventlog.ErrUnreachable
	}
	return t.log, nil
}

func (t *tape) end(ctx context.Context) (uint64, error) {
	log, err := t.now()
	if err != nil {
		return 0, err
	}
	info, err := log.Info(ctx)
	return info.Last, err
}

func (t *tape) close() {
	if log, err := t.now(); err == nil {
		log.Close()
	}
}
