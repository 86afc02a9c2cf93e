// Package redis is the hot tier: open positions with their held days, highest
// and lowest prices, in the Redis layout that existing strategies read.
//
//	held_days:<account>    hash   stock code → decimal days
//	max_prices:<account>   hash   stock code → price, three digits
//	min_prices:<account>   hash   stock code → price, three digits
//	_inc_date:<account>    string date of the last increment, 2025-10-10
//	tapedeck:checkpoint    hash   sequence, chain, schema, hold where one lies on the tier
//	tapedeck:accounts      set    every account that ever had one of these keys
//	tapedeck:shadow:…      the same keys of a rebuild under way; its checkpoint has an owner and a plan
//	tapedeck:previous:…    the same keys of what the last promotion replaced; its checkpoint has an owner
//
// A batch is one Lua script: contents and checkpoint change in one atomic step,
// for readers as for the append-only file. See DESIGN.md in this folder.
package redis

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// schemaVersion is what this code writes and the newest that it knows. 2 added
// holds, which a program that knows 1 would pass; all else is as in 1, so the
// first script that writes makes a tier of schema 1 one of schema 2.
const schemaVersion = 2

const (
	checkpointKey  = "tapedeck:checkpoint"
	accountsKey    = "tapedeck:accounts"
	shadowPrefix   = "tapedeck:shadow:"
	previousPrefix = "tapedeck:previous:"
)

// kinds and dataPrefixes belong together: the keys of a kind of rows.
var (
	kinds        = []book.Kind{book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate}
	dataPrefixes = [...]string{"held_days:", "max_prices:", "min_prices:", "_inc_date:"}
)

const (
	dialTimeout = 3 * time.Second
	// ioTimeout bounds every single read and write on a connection: a server
	// that hangs is an error after it, never a wait for ever.
	ioTimeout = 5 * time.Second
)

// Options says which Redis to use and how.
type Options struct {
	// URL is redis://[user:password@]host:port/db, or rediss:// for TLS.
	URL string
	// TakeOver allows to delete our kinds of keys where they lie in the database
	// without a checkpoint of ours. No other key is ever touched.
	TakeOver bool
}

// Tier is the live tier in one database of one Redis server.
type Tier struct {
	client   *goredis.Client
	prefix   string
	owner    string
	takeOver bool
	// clean remembers that no foreign data was found while the tier was empty,
	// so that asking again and again does not scan again.
	clean bool
	// hold is the text of the hold that Apply met last.
	hold string
}

var _ projector.Live = (*Tier)(nil)

// Open connects. The error of a server that does not answer is transient; one
// about the URL wraps projector.ErrRefused and never contains the URL.
func Open(ctx context.Context, o Options) (*Tier, error) {
	if _, err := url.Parse(o.URL); err != nil {
		return nil, errURL
	}
	options, err := goredis.ParseURL(o.URL)
	if err != nil {
		return nil, errURL
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = dialTimeout, ioTimeout, ioTimeout
	options.ContextTimeoutEnabled = true
	// The runner retries, and asks for the checkpoint before it does.
	options.MaxRetries, options.DialerRetries = -1, 1
	options.PoolSize = 2
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // its own lines on stderr say nothing that the errors do not
	client := goredis.NewClient(options)
	if err := client.Ping(ctx).Err(); err != nil {
		client.Close()
		return nil, fmt.Errorf("redis: open %s: %w", options.Addr, err)
	}
	return &Tier{client: client, takeOver: o.TakeOver}, nil
}

// What the URL parsers report quotes parts of the URL, even of a password that
// was not percent-encoded.
var errURL = fmt.Errorf("redis: the URL is not of the form redis://[user:password@]host:port/db or rediss://… "+
	"(percent-encode special characters of the password): %w", projector.ErrRefused)

// Name implements projector.Tier.
func (t *Tier) Name() string { return "redis" }

// Kinds implements projector.Tier.
func (t *Tier) Kinds() []book.Kind { return append([]book.Kind(nil), kinds...) }

// Close implements projector.Tier. Closing twice does nothing.
func (t *Tier) Close() error {
	if err := t.client.Close(); err != nil && !errors.Is(err, goredis.ErrClosed) {
		return fmt.Errorf("redis: close: %w", err)
	}
	return nil
}

// Checkpoint implements projector.Tier. A schema newer than this code knows,
// and a checkpoint that cannot be read, wrap projector.ErrRefused.
func (t *Tier) Checkpoint(ctx context.Context) (eventlog.Checkpoint, error) {
	const op = "read checkpoint"
	found, err := t.read(ctx, op)
	if err != nil || found.at.Sequence > 0 {
		t.clean = false
		return found.at, err
	}
	if t.takeOver || t.clean || t.owner != "" {
		return found.at, nil
	}
	keys, err := t.dataKeys(ctx)
	if err != nil {
		return found.at, wrap(op, err)
	}
	if len(keys) == 0 {
		t.clean = true
		return found.at, nil
	}
	// Another projector's first batch may have come before the scan: then the
	// keys are no longer without a checkpoint.
	found, err = t.read(ctx, op)
	if err == nil && found.at.Sequence == 0 {
		err = errForeign(op, keys[0])
	}
	return found.at, err
}

// state is what lies at checkpointKey; the zero state when nothing does.
type state struct {
	at   eventlog.Checkpoint
	hold string
}

func (t *Tier) read(ctx context.Context, op string) (state, error) {
	fields, err := t.client.HGetAll(ctx, t.prefix+checkpointKey).Result()
	if err != nil {
		return state{}, wrap(op, err)
	}
	return t.parse(op, fields)
}

func (t *Tier) parse(op string, fields map[string]string) (state, error) {
	if fields["owner"] != t.owner {
		return state{}, fmt.Errorf("redis: %s: another run took over what was opened here, or it is gone: %w", op, projector.ErrConflict)
	}
	if len(fields) == 0 {
		return state{}, nil
	}
	if schema, err := strconv.Atoi(fields["schema"]); err != nil || schema < 1 || schema > schemaVersion {
		return state{}, errSchema(op, fields["schema"])
	}
	found := state{hold: fields["hold"]}
	var err error
	found.at.Sequence, err = strconv.ParseUint(fields["sequence"], 10, 64)
	if err == nil {
		found.at.Chain, err = eventlog.ParseChain(fields["chain"])
	}
	if err != nil {
		return state{}, fmt.Errorf("redis: %s: %s is damaged: %w: %w", op, checkpointKey, err, projector.ErrRefused)
	}
	return found, nil
}

// scan returns the keys with the given prefix, in no order, some perhaps twice.
func (t *Tier) scan(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	scan := t.client.Scan(ctx, 0, t.prefix+prefix+"*", 1000).Iterator()
	for scan.Next(ctx) {
		keys = append(keys, scan.Val())
	}
	return keys, scan.Err()
}

// dataKeys returns all keys of our kinds.
func (t *Tier) dataKeys(ctx context.Context) ([]string, error) {
	var all []string
	for _, prefix := range dataPrefixes {
		keys, err := t.scan(ctx, prefix)
		if err != nil {
			return nil, err
		}
		all = append(all, keys...)
	}
	return all, nil
}

// foundAccounts returns the accounts of all keys of our kinds, each once, in
// order.
func (t *Tier) foundAccounts(ctx context.Context) ([]string, error) {
	var accounts []string
	for _, prefix := range dataPrefixes {
		keys, err := t.scan(ctx, prefix)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			accounts = append(accounts, key[len(t.prefix+prefix):])
		}
	}
	slices.Sort(accounts)
	return slices.Compact(accounts), nil
}

func errSchema(op, found string) error {
	return fmt.Errorf("redis: %s: the tier has schema %q, this program knows %d: use the newer program, or rebuild the tier: %w",
		op, found, schemaVersion, projector.ErrRefused)
}

func errForeign(op, key string) error {
	return fmt.Errorf("redis: %s: key %q lies there but no contents of ours; choose another database, or let Tapedeck replace such keys with --take-over: %w",
		op, key, projector.ErrForeignData)
}

// wrap names the operation. A key of another type than ours stays so until a
// human acts; all else may pass.
func wrap(op string, err error) error {
	if goredis.HasErrorPrefix(err, "WRONGTYPE") {
		err = errors.Join(err, projector.ErrRefused)
	}
	return fmt.Errorf("redis: %s: %w", op, err)
}
