package book

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// AllKinds lists every kind.
func AllKinds() []Kind {
	return []Kind{
		KindHeldDays, KindMaxPrice, KindMinPrice, KindIncDate,
		KindAccount, KindAsset, KindStrategy, KindBinding, KindParam, KindUser, KindUserRole,
		KindTrade, KindDeal, KindKline,
	}
}

// Rows yields the contents as canonical rows, ordered by kinds as given, then
// by key bytewise. It stops at yield's first error and returns it. A Book
// without History has no rows of trade, deal, asset and kline.
func (b *Book) Rows(kinds []Kind, yield func(Row) error) error {
	for _, kind := range kinds {
		if err := b.rows(kind, yield); err != nil {
			return err
		}
	}
	return nil
}

func (b *Book) rows(kind Kind, yield func(Row) error) error {
	switch kind {
	case KindHeldDays, KindMaxPrice, KindMinPrice:
		return b.positionRows(kind, yield)
	case KindIncDate:
		for _, id := range sortedKeys(b.accounts, strings.Compare) {
			if date := b.accounts[id].incDate; date != 0 {
				if err := yield(IncDateRow(id, date)); err != nil {
					return err
				}
			}
		}
		return nil
	case KindAccount:
		return yieldAll(b.Accounts(), yield)
	case KindAsset:
		return yieldEach(sortedKeys(b.accounts, asFolders), b.Assets, yield)
	case KindStrategy:
		return yieldAll(b.Strategies(), yield)
	case KindBinding:
		return yieldAll(b.Bindings(), yield)
	case KindParam:
		return yieldAll(b.Params(), yield)
	case KindUser:
		return yieldAll(b.Users(), yield)
	case KindUserRole:
		return yieldAll(b.UserRoles(), yield)
	case KindTrade:
		return yieldAll(b.Trades(), yield)
	case KindDeal:
		return yieldEach(sortedKeys(b.accounts, asFolders), b.Deals, yield)
	case KindKline:
		return yieldEach(b.Stocks(), b.Klines, yield)
	}
	return fmt.Errorf("book: no such kind of row: %q", kind)
}

func (b *Book) positionRows(kind Kind, yield func(Row) error) error {
	for _, id := range sortedKeys(b.accounts, asFolders) {
		for _, p := range b.Positions(id) {
			var row Row
			switch {
			case kind == KindHeldDays && p.Open:
				row = HeldDaysRow(id, p.StockCode, p.HeldDays)
			case kind == KindMaxPrice && p.MaxPrice != 0:
				row = MaxPriceRow(id, p.StockCode, p.MaxPrice)
			case kind == KindMinPrice && p.MinPrice != 0:
				row = MinPriceRow(id, p.StockCode, p.MinPrice)
			default:
				continue
			}
			if err := yield(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// rower is one of the structs that a row is made from.
type rower interface{ Row() Row }

func yieldAll[T rower](items []T, yield func(Row) error) error {
	for _, item := range items {
		if err := yield(item.Row()); err != nil {
			return err
		}
	}
	return nil
}

func yieldEach[T rower](keys []string, items func(key string) []T, yield func(Row) error) error {
	for _, key := range keys {
		if err := yieldAll(items(key), yield); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V, compare func(a, b K) int) []K {
	return slices.SortedFunc(maps.Keys(m), compare)
}

// asFolders orders first parts of keys as the whole keys are ordered: "a-1/x"
// comes before "a/x", though "a" comes before "a-1".
func asFolders(a, b string) int { return strings.Compare(a+"/", b+"/") }
