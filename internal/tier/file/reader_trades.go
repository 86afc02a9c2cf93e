package file

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// Trades implements query.TradeReader, as far as deal_hist.csv goes: see
// query.Trade. A filter by strategy wraps query.ErrLacks.
func (r *Reader) Trades(ctx context.Context, f query.TradeFilter) ([]query.Trade, query.At, error) {
	list, at, err := r.deals(ctx, f)
	// Deals of one account stand in the order of their sequences: of one second,
	// the last is the newest. How those of several accounts do is not known.
	slices.Reverse(list)
	slices.SortStableFunc(list, func(a, b query.Trade) int {
		return cmp.Or(query.NewestFirst(a, b), strings.Compare(a.AccountID, b.AccountID))
	})
	if f.Limit > 0 && len(list) > f.Limit {
		list = list[:f.Limit]
	}
	return list, at, err
}

// Fills implements query.TradeReader, with amounts of price × volume.
func (r *Reader) Fills(ctx context.Context, f query.TradeFilter) ([]query.StockFills, query.At, error) {
	f.Limit = 0
	trades, at, err := r.Trades(ctx, f)
	return query.MergeFills(nil, trades), at, err
}

// deals lists the trades of all accounts that pass the filter, those of one
// account in the order of their sequences.
func (r *Reader) deals(ctx context.Context, f query.TradeFilter) (trades []query.Trade, at query.At, err error) {
	if f.Strategy != "" {
		return nil, query.At{}, fmt.Errorf("file: %s has no strategies: %w", silverquant.DealsFile, query.ErrLacks)
	}
	at, err = r.snapshot(ctx, "read trades", func(m *index) error {
		trades = trades[:0] // perhaps of a manifest before
		for name := range m.Files {
			account := ownerOf(name)
			if path.Base(name) != silverquant.DealsFile || f.Account != "" && f.Account != account {
				continue
			}
			of, err := of(r, m, name, func(raw []byte) (*deals, error) { return readDeals(account, name, raw) })
			if err != nil {
				return err
			}
			if of != nil {
				trades = of.packed.AppendMatches(trades, of.list, f)
			}
		}
		return nil
	})
	if err != nil {
		return nil, at, err
	}
	return trades, at, nil
}

// deals are those of one file.
type deals struct {
	packed query.Packed
	list   []query.PackedTrade
}

func readDeals(account, name string, raw []byte) (*deals, error) {
	d := new(deals)
	var err error
	d.list, err = all(silverquant.ReadDeals(name, bytes.NewReader(raw)), func(deal silverquant.Deal) query.PackedTrade {
		trade := asTrade(account, deal.Deal)
		return d.packed.Add(&trade)
	})
	return d, err
}

// asTrade is what a deal says of a trade.
func asTrade(account string, d book.Deal) query.Trade {
	clock, _ := time.Parse(time.TimeOnly, d.Time) // silverquant parsed it
	at := d.Date.Time().Add(time.Duration(clock.Hour())*time.Hour + time.Duration(clock.Minute())*time.Minute + time.Duration(clock.Second())*time.Second)
	return query.Trade{TradeRecorded: events.TradeRecorded{
		AccountID: account, StockCode: d.StockCode, StockName: d.StockName, OrderType: d.OrderType, PriceType: d.PriceType,
		Price: d.Price, Volume: d.Volume, Amount: query.AmountOf(d.Price, d.Volume), Remark: d.Remark, TradedAt: at,
	}}
}
