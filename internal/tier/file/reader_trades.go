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
	var list []query.Trade
	at, err := r.deals(ctx, f, func(trades []query.Trade) { list = trades })
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
	var all []query.StockFills
	at, err := r.deals(ctx, f, func(trades []query.Trade) {
		// Deals of one account stand in the order of their sequences.
		slices.SortStableFunc(trades, func(a, b query.Trade) int {
			return cmp.Or(strings.Compare(a.AccountID, b.AccountID), strings.Compare(a.StockCode, b.StockCode), query.NewestFirst(b, a))
		})
		all = all[:0]
		for len(trades) > 0 {
			account, stock := trades[0].AccountID, trades[0].StockCode
			n := slices.IndexFunc(trades, func(t query.Trade) bool { return t.AccountID != account || t.StockCode != stock })
			if n < 0 {
				n = len(trades)
			}
			all = append(all, query.StockFills{Account: account, Stock: stock, Fills: query.AppendFills(nil, trades[:n], query.TradeFilter{})})
			trades = trades[n:]
		}
	})
	return all, at, err
}

// deals hands the trades of all accounts that pass the filter over, those of
// one account in the order of their sequences.
func (r *Reader) deals(ctx context.Context, f query.TradeFilter, use func([]query.Trade)) (query.At, error) {
	if f.Strategy != "" {
		return query.At{}, fmt.Errorf("file: %s has no strategies: %w", silverquant.DealsFile, query.ErrLacks)
	}
	return r.snapshot(ctx, "read trades", func(m *index) error {
		var trades []query.Trade
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
		use(trades)
		return nil
	})
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
