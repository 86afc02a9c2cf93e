package file

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// patch collects what a batch touches and turns it into changes of files.
type patch struct {
	folder   folder
	book     *book.Book
	encoding silverquant.Encoding
	manifest manifest
	sums     map[string]hash.Hash
	// entries are those of the changed files.
	entries map[string]entry

	// positions are accounts, relations the kinds that have a file each.
	positions map[string]bool
	relations map[book.Kind]bool
	deals     map[string][]byte
	assets    map[string]map[events.Date]events.Money
	bars      map[string]map[events.Date]events.Bar
}

// touch notes what one event changes.
func (p *patch) touch(e *events.Event) error {
	if id := book.AccountOf(e.Data); id != "" && !folderName.MatchString(id) {
		return fmt.Errorf("event %d: account %q cannot be a folder's name: %w", e.Sequence, id, projector.ErrRefused)
	}
	switch d := e.Data.(type) {
	case *events.TradeRecorded:
		// The ordinal is the row's place: it is not written.
		set(&p.deals, d.AccountID, silverquant.AppendDeal(p.deals[d.AccountID], book.DealOf(d, 0)))
	case *events.PositionOpened, *events.PositionHeldDaysSet, *events.PositionDaysIncremented,
		*events.PositionPriceMarked, *events.PositionClosed:
		set(&p.positions, book.AccountOf(d), true)
	case *events.CapitalUpdated:
		days := p.assets[d.AccountID]
		set(&days, book.CapitalDate(e, d), d.TotalAssets)
		set(&p.assets, d.AccountID, days)
		set(&p.relations, book.KindAccount, true)
	case *events.AccountCreated, *events.AccountUpdated, *events.AccountStatusChanged:
		set(&p.relations, book.KindAccount, true)
	case *events.StrategyCreated, *events.StrategyUpdated, *events.StrategyStatusChanged:
		set(&p.relations, book.KindStrategy, true)
	case *events.StrategyBound, *events.BindingChanged, *events.StrategyUnbound:
		set(&p.relations, book.KindBinding, true)
	case *events.ParamSaved, *events.ParamActivated:
		set(&p.relations, book.KindParam, true)
	case *events.KlineRecorded:
		days := p.bars[d.StockCode]
		for _, b := range d.Bars {
			set(&days, b.Date, b)
		}
		set(&p.bars, d.StockCode, days)
	case *events.UserRegistered, *events.RoleGranted, *events.RoleRevoked:
		set(&p.relations, book.KindUser, true)
		set(&p.relations, book.KindUserRole, true)
	case *events.UserLoggedIn, *events.UserLoginFailed, *events.UserStatusChanged, *events.UserPasswordChanged:
		set(&p.relations, book.KindUser, true)
	case *events.TierParked: // a record for people
	default:
		return fmt.Errorf("event %d: unknown type %s: %w", e.Sequence, e.Type(), projector.ErrRefused)
	}
	return nil
}

// set puts a value into a map that may be nil still.
func set[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = make(map[K]V)
	}
	(*m)[key] = value
}

// changes renders what was touched, in a fixed order.
func (p *patch) changes() ([]change, error) {
	p.entries = make(map[string]entry)
	var out []change
	replace := func(name string, data []byte) {
		p.entries[name] = entryOf(data)
		out = append(out, change{Path: name, Data: data})
	}
	for _, id := range sorted(p.positions) {
		replace(path.Join(id, silverquant.PositionsFile), positionsText(p.book, id))
		replace(path.Join(id, silverquant.MaxPriceFile), pricesText(p.book, id, maxPrice))
		replace(path.Join(id, silverquant.MinPriceFile), pricesText(p.book, id, minPrice))
	}
	for _, id := range sorted(p.deals) {
		c, err := p.appendDeals(path.Join(id, silverquant.DealsFile), p.deals[id])
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	for _, id := range sorted(p.assets) {
		name := path.Join(id, silverquant.AssetsFile)
		data, err := p.mergeAssets(name, p.assets[id])
		if err != nil {
			return nil, err
		}
		replace(name, data)
	}
	for _, code := range sorted(p.bars) {
		name := dailyFile(code)
		data, err := p.mergeBars(name, p.bars[code])
		if err != nil {
			return nil, err
		}
		replace(name, data)
	}
	for _, kind := range sorted(p.relations) {
		data, err := relationOf(p.book, kind)
		if err != nil {
			return nil, err
		}
		replace(relations[kind], data)
	}
	return out, nil
}

func sorted[K ~string, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func (p *patch) appendDeals(name string, rows []byte) (change, error) {
	before, known := p.manifest.Files[name]
	if !known {
		rows = append([]byte(silverquant.DealsHeader), rows...)
		p.sums[name] = sha256.New()
	}
	data, err := p.encoding.Encode(rows)
	if err != nil {
		return change{}, fmt.Errorf("%s: %w: %w", name, projector.ErrRefused, err)
	}
	p.sums[name].Write(data)
	p.entries[name] = entry{Size: before.Size + int64(len(data)), SHA256: sumText(p.sums[name])}
	return change{Path: name, Append: true, Offset: before.Size, Data: data}, nil
}

func (p *patch) mergeAssets(name string, days map[events.Date]events.Money) ([]byte, error) {
	err := p.each(name, func(f io.ReadSeeker) error {
		for row, err := range silverquant.ReadAssets(name, f) {
			if err != nil {
				return err
			}
			if _, newer := days[row.Date]; !newer {
				days[row.Date] = row.Total
			}
		}
		return nil
	})
	return assetsText(days), err
}

func (p *patch) mergeBars(name string, days map[events.Date]events.Bar) ([]byte, error) {
	err := p.each(name, func(f io.ReadSeeker) error {
		for row, err := range silverquant.ReadBars(name, f) {
			if err != nil {
				return err
			}
			if _, newer := days[row.Date]; !newer {
				days[row.Date] = row.Bar
			}
		}
		return nil
	})
	return barsText(days), err
}

// each opens a file that the manifest names; a new one has nothing to read.
func (p *patch) each(name string, read func(io.ReadSeeker) error) error {
	if _, known := p.manifest.Files[name]; !known {
		return nil
	}
	f, err := os.Open(p.folder.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	return read(f)
}
