// Package query answers reads from whichever tier can: each kind of data has a
// primary tier, and the next one takes over within a second when it cannot be
// reached, hangs, or lags. An answer says which sequence it is true at, which
// tier gave it, and whether that is degraded. See DESIGN.md in this folder.
//
// The interfaces here are what a tier offers to readers; each lives beside the
// tier's own layout. All are safe for concurrent use, and everything they
// return is the caller's.
package query

import (
	"context"
	"errors"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Kind is what is read as a whole from one tier and has one primary.
type Kind string

// The kinds.
const (
	// Positions are held days, highest and lowest prices and the date of the
	// last increment.
	Positions Kind = "positions"
	// Records are accounts, strategies, bindings and parameters.
	Records Kind = "records"
	Trades  Kind = "trades"
	Klines  Kind = "klines"
)

// Kinds lists all.
func Kinds() []Kind { return []Kind{Positions, Records, Trades, Klines} }

// At is where in the log a tier's contents are.
type At struct {
	Sequence uint64
	// Held tells that a hold keeps the tier there on purpose.
	Held bool
	// Parked tells that events up to Sequence wait because the tier could not
	// apply them: its contents lack them.
	Parked bool
}

// AtOf is where a tier is that keeps this text of a hold beside its checkpoint.
// What cannot be read of it is not trusted.
func AtOf(sequence uint64, hold string) At {
	h, err := projector.ParseHold(hold)
	if err != nil {
		return At{Sequence: sequence, Parked: true}
	}
	parking, err := h.ReadParking()
	return At{Sequence: sequence, Held: h.Holds(time.Now()), Parked: err != nil || len(parking.Parked) > 0}
}

// Errors of readers, wrapped.
var (
	// ErrLacks: the tier does not hold what the question needs, such as the
	// strategy of a trade in deal_hist.csv. Another tier may.
	ErrLacks = errors.New("this tier does not hold that")
	// ErrDamaged: somebody changed what was asked for; all else is fine.
	ErrDamaged = errors.New("somebody changed it by hand")
	// ErrNotReady: the tier is being filled.
	ErrNotReady = errors.New("not ready yet")
)

type afresh struct{}

// Afresh is a context whose reads find what is there now, also where a reader
// could answer from what it remembers of an unchanged tier: another hand may have
// been there.
func Afresh(ctx context.Context) context.Context { return context.WithValue(ctx, afresh{}, true) }

// IsAfresh tells whether that is asked for.
func IsAfresh(ctx context.Context) bool { return ctx.Value(afresh{}) != nil }

// Tier is read by nobody but through one of the interfaces below.
type Tier interface {
	// Name is "redis", "mysql", "clickhouse", "file" or "memory".
	Name() string
	// At says how far the tier is; it is cheap.
	At(ctx context.Context) (At, error)
	Close() error
}

// Keeper is a tier that holds less than its name promises, by a setting.
type Keeper interface {
	// Keeps tells whether it holds a kind.
	Keeps(kind Kind) bool
}

// Pinger is a tier that can tell for much less than At costs that it answers.
type Pinger interface {
	Ping(ctx context.Context) error
}

// PositionReader reads positions.
type PositionReader interface {
	Tier
	// Positions are those of one account as of one instant, or that of one stock
	// when it is named; none when nothing is known of it.
	Positions(ctx context.Context, account, stock string) (AccountPositions, At, error)
}

// AccountPositions are an account's positions, sorted by stock.
type AccountPositions struct {
	// IncDate is 0 before the first increment.
	IncDate events.Date
	List    []book.Position
}

// RecordReader reads accounts, strategies, bindings and parameters. Lists are
// sorted by their keys; "" as a key asks for all.
type RecordReader interface {
	Tier
	Accounts(ctx context.Context, id string) ([]book.Account, At, error)
	Strategies(ctx context.Context, code string) ([]book.Strategy, At, error)
	Bindings(ctx context.Context, account, code string) ([]book.Binding, At, error)
	// Params are versions of one strategy's parameters, sorted by version.
	Params(ctx context.Context, code string, which Versions) ([]book.Param, At, error)
}

// Versions picks parameter versions: those listed and, with Active, the active
// one. The zero Versions picks all, without their contents.
type Versions struct {
	List   []int64
	Active bool
}

// All tells whether all versions are asked for.
func (v Versions) All() bool { return !v.Active && len(v.List) == 0 }

// Has tells whether a version is one of those asked for.
func (v Versions) Has(p book.Param) bool {
	if v.All() || v.Active && p.Active {
		return true
	}
	for _, version := range v.List {
		if version == p.Version {
			return true
		}
	}
	return false
}

// TradeFilter picks trades; empty fields pick all. From and To are days in
// events.Zone, both included.
type TradeFilter struct {
	Account, Stock, Strategy string
	// Alias is the other name of Strategy, if that has one: a trade carries
	// whatever its strategy called itself, its name or its code.
	Alias    string
	From, To events.Date
	// Limit bounds how many of the newest are listed; 0 is no bound.
	Limit int
}

// Matches tells whether a trade passes all but the limit.
func (f TradeFilter) Matches(t *events.TradeRecorded) bool {
	if f.Account != "" && f.Account != t.AccountID || f.Stock != "" && f.Stock != t.StockCode ||
		f.Strategy != "" && f.Strategy != t.StrategyName && (f.Alias == "" || f.Alias != t.StrategyName) {
		return false
	}
	day := events.DateOf(t.TradedAt)
	return day >= f.From && (f.To == 0 || day <= f.To)
}

// Trade is a trade as a tier holds it.
type Trade struct {
	// Sequence is 0 where the tier does not hold it. Then Whole is false, and
	// StrategyName and OrderID are unknown, TradedAt has no fraction of a
	// second, and Amount is price × volume.
	Sequence uint64
	Whole    bool
	events.TradeRecorded
}

// TradeReader reads trades.
type TradeReader interface {
	Tier
	// Trades are the newest first: by second of traded_at, then by sequence.
	Trades(ctx context.Context, f TradeFilter) ([]Trade, At, error)
	// Fills are the buys and sells that pass the filter, whose Limit does not
	// count, in no order of accounts and stocks.
	Fills(ctx context.Context, f TradeFilter) ([]StockFills, At, error)
}

// StockFills are the fills of one account and stock, oldest first by second of
// traded_at, then by sequence.
type StockFills struct {
	Account, Stock string
	Fills          []Fill
}

// Fill is an execution, reduced to what profits are computed from.
type Fill struct {
	// Second is traded_at in seconds since 1970.
	Second int64
	Sell   bool
	Price  events.Price
	Volume int64
	Amount events.Money
}

// Day is the day of the fill.
func (f Fill) Day() events.Date { return events.DateOf(time.Unix(f.Second, 0)) }

// KlineQuery picks bars of some stocks. From and To are both included; 0 is no
// bound. Last > 0 keeps the newest so many of each stock.
type KlineQuery struct {
	Stocks   []string
	From, To events.Date
	Last     int
}

// KlineReader reads klines.
type KlineReader interface {
	Tier
	// Klines are bars by stock, oldest first; a stock without any is absent.
	Klines(ctx context.Context, q KlineQuery) (map[string][]events.Bar, At, error)
}
