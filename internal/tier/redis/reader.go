package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// Reader reads the live contents and writes nothing. It is safe for concurrent
// use.
type Reader struct{ client *goredis.Client }

var _ query.PositionReader = (*Reader)(nil)

// NewReader makes a reader; the server need not be there yet. The error is
// about the URL, and does not contain it.
func NewReader(url string) (*Reader, error) {
	options, err := goredis.ParseURL(url)
	if err != nil {
		return nil, errURL
	}
	options.DialTimeout, options.ReadTimeout, options.WriteTimeout = time.Second, time.Second, time.Second
	options.ContextTimeoutEnabled = true // the caller's bound is shorter
	options.MaxRetries, options.DialerRetries = -1, 1
	options.DisableIdentity = true
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	logging.Disable() // its own lines on stderr say nothing that the errors do not
	return &Reader{client: goredis.NewClient(options)}, nil
}

// Name implements query.Tier.
func (r *Reader) Name() string { return "redis" }

// Close implements query.Tier.
func (r *Reader) Close() error { return r.client.Close() }

// At implements query.Tier.
func (r *Reader) At(ctx context.Context) (query.At, error) {
	fields, err := r.client.HGetAll(ctx, checkpointKey).Result()
	if err != nil {
		return query.At{}, wrap("read checkpoint", err)
	}
	return at(fields)
}

// at reads the checkpoint of a live tier; none is an empty tier.
func at(fields map[string]string) (query.At, error) {
	found, err := (&Tier{}).parse("read checkpoint", fields)
	return query.AtOf(found.at.Sequence, found.hold), err
}

// Positions implements query.PositionReader: one MULTI, so one instant.
func (r *Reader) Positions(ctx context.Context, account, stock string) (query.AccountPositions, query.At, error) {
	var positions query.AccountPositions
	op := "read positions of " + account
	var checkpoint *goredis.MapStringStringCmd
	var held, highest, lowest func() map[string]string
	var incDate *goredis.SliceCmd
	_, err := r.client.TxPipelined(ctx, func(p goredis.Pipeliner) error {
		checkpoint = p.HGetAll(ctx, checkpointKey)
		held, highest, lowest = fields(ctx, p, "held_days:"+account, stock), fields(ctx, p, "max_prices:"+account, stock), fields(ctx, p, "min_prices:"+account, stock)
		incDate = p.MGet(ctx, "_inc_date:"+account) // unlike GET no error when there is none
		return nil
	})
	if err != nil {
		return positions, query.At{}, wrap(op, err)
	}
	seen, err := at(checkpoint.Val())
	if err != nil {
		return positions, seen, err
	}
	byStock := make(map[string]book.Position)
	faults := []error{
		each(held(), byStock, func(p *book.Position, text string) (err error) {
			p.Open = true
			p.HeldDays, err = strconv.ParseInt(text, 10, 64)
			return err
		}),
		each(highest(), byStock, func(p *book.Position, text string) (err error) {
			p.MaxPrice, err = events.ParsePrice(text)
			return err
		}),
		each(lowest(), byStock, func(p *book.Position, text string) (err error) {
			p.MinPrice, err = events.ParsePrice(text)
			return err
		}),
	}
	if text, ok := incDate.Val()[0].(string); ok {
		positions.IncDate, err = events.ParseDate(text)
		faults = append(faults, err)
	}
	for _, fault := range faults {
		if fault != nil {
			return positions, seen, fmt.Errorf("redis: %s: %w: %w", op, query.ErrDamaged, fault)
		}
	}
	positions.List = make([]book.Position, 0, len(byStock))
	for _, p := range byStock {
		positions.List = append(positions.List, p)
	}
	slices.SortFunc(positions.List, func(a, b book.Position) int { return strings.Compare(a.StockCode, b.StockCode) })
	return positions, seen, nil
}

// fields asks for one field of a hash, or for all.
func fields(ctx context.Context, p goredis.Pipeliner, key, field string) func() map[string]string {
	if field == "" {
		return p.HGetAll(ctx, key).Val
	}
	one := p.HMGet(ctx, key, field) // unlike HGET no error when there is none
	return func() map[string]string {
		if text, ok := one.Val()[0].(string); ok {
			return map[string]string{field: text}
		}
		return nil
	}
}

// each puts the fields of a hash into the positions.
func each(fields map[string]string, into map[string]book.Position, set func(*book.Position, string) error) error {
	for stock, text := range fields {
		p := into[stock]
		p.StockCode = stock
		if err := set(&p, text); err != nil {
			return fmt.Errorf("%s is %q: %w", stock, text, err)
		}
		into[stock] = p
	}
	return nil
}
