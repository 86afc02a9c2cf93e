// Package clickhouse is the cool tier: every trade and every daily kline, in
// ClickHouse, as the views that existing readers know.
//
//	trade                 view   one row a trade
//	daily_kline           view   one row a stock and day
//	tapedeck_trade        table  rows of trade, with the attempt that wrote them
//	tapedeck_daily_kline  table  rows of daily_kline, with the attempt that wrote them
//	tapedeck_state        table  checkpoint, holds, and which attempts count
//	tapedeck_schema       table  the migrations that were made
//
// Rows are inserted under the number of an attempt and count for nobody until
// one row in tapedeck_state says so: that row is the atomic step. See DESIGN.md
// in this folder.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

const (
	dialTimeout = 3 * time.Second
	// readTimeout bounds how long a server may be silent: one that hangs is an
	// error after it, never a wait for ever. The DSN's read_timeout overrides it.
	readTimeout = 30 * time.Second
)

// oldest is the oldest server that has all that is needed.
const oldestMajor, oldestMinor = 24, 8

// Options says which ClickHouse to use and how.
type Options struct {
	// DSN is clickhouse://user:password@host:port/database, or http(s)://… for
	// ClickHouse's HTTP door. The database is created when it is missing.
	DSN string
	// TakeOver allows to put aside, by renaming, what is called trade or
	// daily_kline and is not ours.
	TakeOver bool
}

// store is one database and a way to it; the live tier and its shadows share it.
type store struct {
	conn     driver.Conn
	options  *clickhouse.Options
	database string
	timeout  time.Duration
	takeOver bool
	// ready remembers that the tables were there once.
	ready   atomic.Bool
	sweeper background
}

// Tier is the live tier in one database of one ClickHouse server.
type Tier struct {
	store *store
	// generation is the one that is applied to; 0 is whichever is live.
	generation uint64
	attempt    attempt
	// known is the state that our last batch made.
	known  state
	newest newest
	swept  time.Time
}

// attempt is a number under which rows may be inserted; the zero attempt is none.
type attempt struct{ number, generation uint64 }

// newest knows each stock's newest day as of an attempt of a generation.
type newest struct {
	of   attempt
	days map[string]events.Date
}

var _ projector.Live = (*Tier)(nil)

// Open connects. The error of a server that does not answer is transient; one
// about the DSN wraps projector.ErrRefused and never contains the DSN.
func Open(ctx context.Context, o Options) (*Tier, error) {
	dsn, err := url.Parse(o.DSN)
	if err != nil || !slices.Contains([]string{"clickhouse", "http", "https"}, dsn.Scheme) {
		return nil, errDSN
	}
	options, err := clickhouse.ParseDSN(o.DSN)
	if err != nil {
		return nil, errDSN
	}
	if options.DialTimeout == 0 {
		options.DialTimeout = dialTimeout
	}
	if options.ReadTimeout == 0 {
		options.ReadTimeout = readTimeout
	}
	if options.Auth.Database == "" {
		options.Auth.Database = "default"
	}
	if options.Settings == nil {
		options.Settings = clickhouse.Settings{}
	}
	// What the tier relies on, whatever the user's profile says.
	maps.Copy(options.Settings, clickhouse.Settings{
		"async_insert": 0, "insert_deduplicate": 1, "max_partitions_per_insert_block": 0, "mutations_sync": 1, "lightweight_deletes_sync": 1,
	})
	// A dump, a projector and a sweep at once take two, one and two.
	options.MaxOpenConns, options.MaxIdleConns = 8, 4
	s := &store{options: options, database: options.Auth.Database, timeout: options.ReadTimeout, takeOver: o.TakeOver}
	if err := s.connect(ctx); err != nil {
		return nil, wrap("open", err)
	}
	return &Tier{store: s}, nil
}

// What the DSN's parser reports quotes parts of it, even of a password that was
// not percent-encoded.
var errDSN = fmt.Errorf("clickhouse: the DSN is not of the form clickhouse://user:password@host:port/database or http(s)://… "+
	"(percent-encode special characters of the password): %w", projector.ErrRefused)

// connect opens the database, which it creates when it is missing.
func (s *store) connect(ctx context.Context) error {
	if err := s.createDatabase(ctx); err != nil {
		return err
	}
	conn, err := clickhouse.Open(s.options)
	if err != nil {
		return errDSN
	}
	if err := conn.Ping(ctx); err != nil {
		conn.Close()
		return err
	}
	s.conn = conn
	return nil
}

// createDatabase makes the database if it is missing; it looks first, for whoever
// may not create one.
func (s *store) createDatabase(ctx context.Context) error {
	options := *s.options
	options.Auth.Database = "system"
	conn, err := clickhouse.Open(&options)
	if err != nil {
		return errDSN
	}
	defer conn.Close()
	if err := checkVersion(conn); err != nil {
		return err
	}
	var found uint64
	err = conn.QueryRow(ctx, "SELECT count() FROM system.databases WHERE name = "+quoteText(s.database)).Scan(&found)
	if err != nil || found > 0 {
		return err
	}
	return conn.Exec(ctx, "CREATE DATABASE IF NOT EXISTS "+quoteName(s.database))
}

func checkVersion(conn driver.Conn) error {
	server, err := conn.ServerVersion()
	if err != nil {
		return err
	}
	if v := server.Version; v.Major < oldestMajor || v.Major == oldestMajor && v.Minor < oldestMinor {
		return fmt.Errorf("the server is ClickHouse %d.%d, %d.%d or newer is needed: %w", v.Major, v.Minor, oldestMajor, oldestMinor, projector.ErrRefused)
	}
	return nil
}

// Name implements projector.Tier.
func (t *Tier) Name() string { return "clickhouse" }

// Kinds implements projector.Tier.
func (t *Tier) Kinds() []book.Kind { return []book.Kind{book.KindTrade, book.KindKline} }

// Close implements projector.Tier. It ends a sweep that runs still, and waits
// for its end. Closing twice does nothing.
func (t *Tier) Close() error {
	t.store.sweeper.close()
	if err := t.store.conn.Close(); err != nil {
		return wrap("close", err)
	}
	return nil
}

// Checkpoint implements projector.Tier. It makes the tables, or migrates them,
// when they are missing or old; a schema newer than this code knows wraps
// projector.ErrRefused.
func (t *Tier) Checkpoint(ctx context.Context) (eventlog.Checkpoint, error) {
	const op = "read checkpoint"
	if err := t.store.ensure(ctx); err != nil {
		return eventlog.Checkpoint{}, wrap(op, err)
	}
	now, err := t.store.read(ctx)
	if err != nil {
		return eventlog.Checkpoint{}, wrap(op, err)
	}
	p := now.of(t.generation)
	if p == nil && t.generation != 0 {
		return eventlog.Checkpoint{}, wrap(op, errGone)
	}
	at, err := p.checkpoint()
	if err != nil {
		return at, wrap(op, err)
	}
	return at, nil
}

var (
	errGone    = fmt.Errorf("the shadow was dropped, or belongs to another rebuild: %w", projector.ErrConflict)
	errEmptied = fmt.Errorf("someone emptied the tables: %w", projector.ErrConflict)
)

// Of ClickHouse's error codes (src/Common/ErrorCodes.cpp).
const (
	codeCannotReadAll   = 33
	codeChecksum        = 40
	codeUnknownDatabase = 81
	codeCorrupted       = 246
)

func isCode(err error, code int32) bool {
	var exception *clickhouse.Exception
	return errors.As(err, &exception) && exception.Code == code
}

// wrap names the operation, and the way out where the server cannot read what
// it keeps: bad disks, and parts that were written without room.
func wrap(op string, err error) error {
	for _, code := range []int32{codeCannotReadAll, codeChecksum, codeCorrupted} {
		if isCode(err, code) {
			return fmt.Errorf("clickhouse: %s: the server cannot read its own files, run replay rebuild --tier clickhouse to write them anew: %w", op, err)
		}
	}
	return fmt.Errorf("clickhouse: %s: %w", op, err)
}
