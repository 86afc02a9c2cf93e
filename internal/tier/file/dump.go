package file

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// stateKinds are the kinds that a book without history holds; kinds are all
// that the tier holds.
var (
	stateKinds = []book.Kind{
		book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate, book.KindAccount,
		book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole,
	}
	kinds = []book.Kind{
		book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate, book.KindAccount, book.KindAsset,
		book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole, book.KindDeal, book.KindKline,
	}
)

// Dump reads the files afresh, whatever they hold: a file or row that does not
// parse becomes a row whose key has "!" where the stock or ordinal would be
// and whose value says why. It holds the directory's lock meanwhile, so yield
// must not use the tier.
func (t *Tier) Dump(ctx context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	var at eventlog.Checkpoint
	err := t.locked(func() error {
		if err := t.finishPromote(); err != nil {
			return err
		}
		if err := t.recover(); err != nil && !t.opts.Inspect {
			return err
		}
		if m, raw, err := t.readManifest(); err == nil && raw != nil {
			if at, err = m.checkpoint(); err != nil {
				return err
			}
		}
		r := reader{folder: t.folder}
		return r.rows(kinds, func(row book.Row) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			return yield(row)
		})
	})
	if err != nil {
		return at, fmt.Errorf("file: dump %s: %w", t.dir, err)
	}
	return at, nil
}

// reader turns files into canonical rows.
type reader struct {
	folder
	// strict makes what does not parse an error instead of a row.
	strict bool
}

var klineName = regexp.MustCompile(`^(\d{6}\.(?:SH|SZ|BJ))\.csv$`)

// rows yields the rows of kinds, ordered by kinds, then by key bytewise.
func (r reader) rows(kinds []book.Kind, yield func(book.Row) error) error {
	accounts, err := r.accounts()
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		rows, err := r.kind(kind, accounts)
		if err != nil {
			return err
		}
		slices.SortFunc(rows, func(a, b book.Row) int { return strings.Compare(a.Key, b.Key) })
		for _, row := range rows {
			if err := yield(row); err != nil {
				return err
			}
		}
	}
	return nil
}

// accounts are the folders that hold an account's files.
func (r reader) accounts() ([]string, error) {
	entries, err := os.ReadDir(r.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		if e.IsDir() && folderName.MatchString(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

func (r reader) kind(kind book.Kind, accounts []string) (rows []book.Row, err error) {
	add := func(more []book.Row, name, bad string, err error) error {
		rows = append(rows, more...)
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if r.strict {
			return r.damaged(name, err.Error())
		}
		rows = append(rows, book.Row{Kind: kind, Key: bad, Value: "unreadable: " + err.Error()})
		return nil
	}
	perAccount := func(file string, read func(id, name string) ([]book.Row, error)) error {
		for _, id := range accounts {
			name := path.Join(id, file)
			more, err := read(id, name)
			if err := add(more, name, id+"/!"+file, err); err != nil {
				return err
			}
		}
		return nil
	}
	switch kind {
	case book.KindHeldDays, book.KindIncDate:
		err = perAccount(silverquant.PositionsFile, func(id, name string) ([]book.Row, error) { return r.positions(kind, id, name) })
	case book.KindMaxPrice:
		err = perAccount(silverquant.MaxPriceFile, func(id, name string) ([]book.Row, error) { return r.prices(kind, id, name) })
	case book.KindMinPrice:
		err = perAccount(silverquant.MinPriceFile, func(id, name string) ([]book.Row, error) { return r.prices(kind, id, name) })
	case book.KindAsset:
		err = perAccount(silverquant.AssetsFile, r.assets)
	case book.KindDeal:
		err = perAccount(silverquant.DealsFile, r.deals)
	case book.KindKline:
		var files []fs.DirEntry
		if files, err = os.ReadDir(filepath.Join(r.dir, silverquant.DailyDir)); errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		for _, f := range files {
			code := klineName.FindStringSubmatch(f.Name())
			if code == nil {
				continue
			}
			name := path.Join(silverquant.DailyDir, f.Name())
			more, err := r.klines(code[1], name)
			if err := add(more, name, code[1]+"/!", err); err != nil {
				return nil, err
			}
		}
	default:
		for name, k := range relationOf {
			if k != kind {
				continue
			}
			raw, readErr := os.ReadFile(r.path(name))
			var more []book.Row
			if readErr == nil {
				more, readErr = parseRelation(kind, raw)
			}
			err = add(more, name, "!"+name, readErr)
		}
	}
	return rows, err
}

func (r reader) positions(kind book.Kind, id, name string) (rows []book.Row, err error) {
	raw, err := os.ReadFile(r.path(name))
	if err != nil {
		return nil, err
	}
	p, rejects, err := silverquant.ReadPositions(name, raw)
	if kind == book.KindIncDate {
		if p.IncDate != 0 {
			rows = append(rows, book.IncDateRow(id, p.IncDate))
		}
		return rows, err
	}
	for _, h := range p.Held {
		if h.Open {
			rows = append(rows, book.HeldDaysRow(id, h.StockCode, h.Days))
		}
	}
	return r.withRejects(rows, kind, id, rejects), r.firstOf(err, rejects)
}

func (r reader) prices(kind book.Kind, id, name string) (rows []book.Row, err error) {
	raw, err := os.ReadFile(r.path(name))
	if err != nil {
		return nil, err
	}
	marks, rejects, err := silverquant.ReadPrices(name, raw)
	for _, m := range marks {
		if kind == book.KindMaxPrice {
			rows = append(rows, book.MaxPriceRow(id, m.StockCode, m.Price))
		} else {
			rows = append(rows, book.MinPriceRow(id, m.StockCode, m.Price))
		}
	}
	return r.withRejects(rows, kind, id, rejects), r.firstOf(err, rejects)
}

func (r reader) withRejects(rows []book.Row, kind book.Kind, owner string, rejects []*silverquant.Reject) []book.Row {
	if r.strict {
		return rows
	}
	for _, reject := range rejects {
		rows = append(rows, book.Row{Kind: kind, Key: fmt.Sprintf("%s/!%d", owner, reject.Line), Value: "unreadable: " + reject.Error()})
	}
	return rows
}

// firstOf lets a bad entry fail a strict reading.
func (r reader) firstOf(err error, rejects []*silverquant.Reject) error {
	if err == nil && r.strict && len(rejects) > 0 {
		return rejects[0]
	}
	return err
}

func (r reader) assets(id, name string) ([]book.Row, error) {
	return readRows(r, book.KindAsset, id, name, silverquant.ReadAssets, func(_ int64, a silverquant.Asset) book.Row {
		return book.Asset{AccountID: id, Date: a.Date, Total: a.Total}.Row()
	})
}

func (r reader) deals(id, name string) ([]book.Row, error) {
	return readRows(r, book.KindDeal, id, name, silverquant.ReadDeals, func(n int64, d silverquant.Deal) book.Row {
		d.AccountID, d.Ordinal = id, n
		return d.Row()
	})
}

func (r reader) klines(code, name string) ([]book.Row, error) {
	return readRows(r, book.KindKline, code, name, silverquant.ReadBars, func(_ int64, b silverquant.Bar) book.Row {
		return book.Kline{StockCode: code, Bar: b.Bar}.Row()
	})
}

// readRows reads a CSV file; row gets the ordinal of each, from 1, bad ones
// counted.
func readRows[T any](r reader, kind book.Kind, owner, name string, read func(string, io.ReadSeeker) silverquant.Rows[T],
	row func(int64, T) book.Row,
) (rows []book.Row, err error) {
	f, err := os.Open(r.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var n int64
	for item, err := range read(name, f) {
		n++
		var reject *silverquant.Reject
		switch {
		case err == nil:
			rows = append(rows, row(n, item))
		case errors.As(err, &reject):
			rows = r.withRejects(rows, kind, owner, []*silverquant.Reject{reject})
		default:
			return rows, err
		}
	}
	return rows, nil
}
