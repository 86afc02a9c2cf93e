package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// Reader reads the live folder while a projector goes on, without its lock, and
// writes nothing. What it answers was proved against the manifest's hashes, so
// it is of one instant. Files are parsed once for each of their versions. It is
// safe for concurrent use.
type Reader struct {
	folder

	mu     sync.Mutex
	newest *index
	parsed map[string]parsedFile
}

// index is a manifest as it was read.
type index struct {
	manifest
	// info is the manifest file's: each new manifest is a new file.
	info fs.FileInfo
	// afresh tells not to trust that a file is still what was parsed.
	afresh bool
}

// parsedFile is what a version of a file says.
type parsedFile struct {
	sum   string
	info  fs.FileInfo
	value any
}

const (
	// parsedFiles bounds how many files are remembered.
	parsedFiles = 256
	// settling is how long a reader waits before it looks again at a folder that
	// is being changed, and stuck how long it does so while the manifest stays.
	settling = 3 * time.Millisecond
	stuck    = 100 * time.Millisecond
)

var (
	_ query.PositionReader = (*Reader)(nil)
	_ query.RecordReader   = (*Reader)(nil)
	_ query.TradeReader    = (*Reader)(nil)
	_ query.KlineReader    = (*Reader)(nil)
)

// NewReader makes a reader of a folder that need not be there yet.
func NewReader(dir string) (*Reader, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("file: %w", err)
	}
	return &Reader{folder: folder{dir: dir, disk: osDisk{}}, parsed: make(map[string]parsedFile)}, nil
}

// Name implements query.Tier.
func (r *Reader) Name() string { return "file" }

// Close implements query.Tier.
func (r *Reader) Close() error { return nil }

// At implements query.Tier.
func (r *Reader) At(context.Context) (query.At, error) {
	m, err := r.manifest()
	if err != nil {
		return query.At{}, fmt.Errorf("file: read checkpoint: %w", err)
	}
	return m.at(), nil
}

func (m manifest) at() query.At { return query.AtOf(m.Sequence, m.Hold) }

// manifest is the newest manifest; that of a folder without one is empty.
func (r *Reader) manifest() (*index, error) {
	info, err := os.Stat(r.path(manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return &index{}, nil
	}
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	newest := r.newest
	r.mu.Unlock()
	if newest != nil && sameFile(newest.info, info) {
		return newest, nil
	}
	// The file may be replaced between Stat and reading: then what is read is
	// newer than info, and the next call reads it again.
	m, found, err := r.readManifest()
	if err != nil || !found {
		return &index{}, err
	}
	newest = &index{manifest: m, info: info}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = newest
	return newest, nil
}

// errChanging: a file is not what the manifest says, or no longer.
var errChanging = errors.New("it is not what the manifest says: it is being changed, or another hand changed it")

// snapshot lets f read files as one manifest describes them, again and again
// while the folder changes meanwhile.
func (r *Reader) snapshot(ctx context.Context, op string, f func(m *index) error) (query.At, error) {
	var last *index
	since := time.Now()
	for {
		m, err := r.manifest()
		if err == nil {
			now := *m
			now.afresh = query.IsAfresh(ctx)
			err = f(&now)
		}
		if err == nil {
			return m.at(), nil
		}
		if m != last {
			last, since = m, time.Now()
		}
		// Stuck is what a projector leaves that was killed while it wrote, or
		// another hand.
		if !errors.Is(err, errChanging) || time.Since(since) > stuck {
			return query.At{}, fmt.Errorf("file: %s: %w", op, err)
		}
		select {
		case <-time.After(settling):
		case <-ctx.Done():
			return query.At{}, fmt.Errorf("file: %s: %w: %w", op, err, ctx.Err())
		}
	}
}

// of is what a file says as of a manifest; a file that it does not name is
// empty.
func of[T any](r *Reader, m *index, name string, parse func(raw []byte) (T, error)) (T, error) {
	var none T
	want, ok := m.Files[name]
	if !ok {
		return none, nil
	}
	r.mu.Lock()
	known, ok := r.parsed[name]
	r.mu.Unlock()
	if ok && known.sum == want.SHA256 && (!m.afresh || r.still(name, known.info, want.Size)) {
		return known.value.(T), nil
	}
	raw, info, err := r.raw(name, want, m.afresh)
	if err != nil {
		return none, err
	}
	value, err := parse(raw)
	if err != nil {
		return none, r.damaged(name, err.Error())
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for other := range r.parsed {
		if len(r.parsed) < parsedFiles {
			break
		}
		delete(r.parsed, other)
	}
	r.parsed[name] = parsedFile{want.SHA256, info, value}
	return value, nil
}

// still tells whether a file is the one that was parsed, and nothing more: what
// is appended is not what the manifest tells of.
func (r *Reader) still(name string, parsed fs.FileInfo, size int64) bool {
	info, err := os.Stat(r.path(name))
	return err == nil && sameFile(info, parsed) && info.Size() == size
}

func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// raw is a file's text, which must be what the manifest says; exactly tells that
// nothing may have been appended either.
func (r *Reader) raw(name string, want entry, exactly bool) ([]byte, fs.FileInfo, error) {
	file, err := os.Open(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: %w", name, errChanging)
	}
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	raw := make([]byte, want.Size)
	if _, err := io.ReadFull(file, raw); err != nil || entryOf(raw) != want || exactly && info.Size() != want.Size {
		return nil, nil, fmt.Errorf("%s: %w", name, errChanging)
	}
	return raw, info, nil
}

// Positions implements query.PositionReader.
func (r *Reader) Positions(ctx context.Context, account, stock string) (query.AccountPositions, query.At, error) {
	var positions query.AccountPositions
	if !folderName.MatchString(account) {
		at, err := r.At(ctx)
		return positions, at, err
	}
	at, err := r.snapshot(ctx, "read positions of "+account, func(m *index) error {
		held, err := of(r, m, path.Join(account, silverquant.PositionsFile), func(raw []byte) (silverquant.Positions, error) {
			p, rejects, err := silverquant.ReadPositions(silverquant.PositionsFile, raw)
			return p, whole(rejects, err)
		})
		if err != nil {
			return err
		}
		highest, err := r.marks(m, path.Join(account, silverquant.MaxPriceFile))
		if err != nil {
			return err
		}
		lowest, err := r.marks(m, path.Join(account, silverquant.MinPriceFile))
		if err != nil {
			return err
		}
		positions = merged(held, highest, lowest)
		positions.List = query.Position(positions.List, stock)
		return nil
	})
	return positions, at, err
}

func (r *Reader) marks(m *index, name string) ([]silverquant.Mark, error) {
	return of(r, m, name, func(raw []byte) ([]silverquant.Mark, error) {
		marks, rejects, err := silverquant.ReadPrices(name, raw)
		return marks, whole(rejects, err)
	})
}

// whole is the error of a file of which something could not be read.
func whole(rejects []*silverquant.Reject, err error) error {
	if err == nil && len(rejects) > 0 {
		return rejects[0]
	}
	return err
}

func merged(held silverquant.Positions, highest, lowest []silverquant.Mark) query.AccountPositions {
	byStock := make(map[string]*book.Position)
	entry := func(stock string) *book.Position {
		p := byStock[stock]
		if p == nil {
			p = &book.Position{StockCode: stock}
			byStock[stock] = p
		}
		return p
	}
	for _, h := range held.Held {
		if h.Open {
			p := entry(h.StockCode)
			p.Open, p.HeldDays = true, h.Days
		}
	}
	for _, m := range highest {
		entry(m.StockCode).MaxPrice = m.Price
	}
	for _, m := range lowest {
		entry(m.StockCode).MinPrice = m.Price
	}
	positions := query.AccountPositions{IncDate: held.IncDate, List: make([]book.Position, 0, len(byStock))}
	for _, p := range byStock {
		positions.List = append(positions.List, *p)
	}
	slices.SortFunc(positions.List, func(a, b book.Position) int { return strings.Compare(a.StockCode, b.StockCode) })
	return positions
}

// relation reads the file of a whole kind into a book of nothing else, which
// nobody changes any more.
func (r *Reader) relation(ctx context.Context, kind book.Kind) (b *book.Book, at query.At, err error) {
	at, err = r.snapshot(ctx, "read "+relations[kind], func(m *index) (err error) {
		b, err = of(r, m, relations[kind], func(raw []byte) (*book.Book, error) {
			rows, err := parseRelation(kind, raw)
			if err != nil {
				return nil, err
			}
			b := book.New(book.Keep{})
			for _, row := range rows {
				if err := b.Restore(row); err != nil {
					return nil, err
				}
			}
			return b, nil
		})
		if b == nil {
			b = book.New(book.Keep{})
		}
		return err
	})
	return b, at, err
}

// Accounts implements query.RecordReader.
func (r *Reader) Accounts(ctx context.Context, id string) ([]book.Account, query.At, error) {
	b, at, err := r.relation(ctx, book.KindAccount)
	if err != nil {
		return nil, at, err
	}
	return query.Accounts(b, id), at, nil
}

// Strategies implements query.RecordReader.
func (r *Reader) Strategies(ctx context.Context, code string) ([]book.Strategy, query.At, error) {
	b, at, err := r.relation(ctx, book.KindStrategy)
	if err != nil {
		return nil, at, err
	}
	return query.Strategies(b, code), at, nil
}

// Bindings implements query.RecordReader.
func (r *Reader) Bindings(ctx context.Context, account, code string) ([]book.Binding, query.At, error) {
	b, at, err := r.relation(ctx, book.KindBinding)
	if err != nil {
		return nil, at, err
	}
	return query.Bindings(b, account, code), at, nil
}

// Params implements query.RecordReader.
func (r *Reader) Params(ctx context.Context, code string, which query.Versions) ([]book.Param, query.At, error) {
	b, at, err := r.relation(ctx, book.KindParam)
	if err != nil {
		return nil, at, err
	}
	return query.Params(b, code, which), at, nil
}

// Klines implements query.KlineReader.
func (r *Reader) Klines(ctx context.Context, q query.KlineQuery) (map[string][]events.Bar, query.At, error) {
	var found map[string][]events.Bar
	at, err := r.snapshot(ctx, "read klines", func(m *index) error {
		found = make(map[string][]events.Bar, len(q.Stocks))
		for _, stock := range q.Stocks {
			bars, err := of(r, m, dailyFile(stock), func(raw []byte) ([]events.Bar, error) {
				return all(silverquant.ReadBars(stock, bytes.NewReader(raw)), func(b silverquant.Bar) events.Bar { return b.Bar })
			})
			if err != nil {
				return err
			}
			if bars = q.Pick(bars); len(bars) > 0 {
				found[stock] = bars
			}
		}
		return nil
	})
	return found, at, err
}

// all reads a CSV file of ours, in which every row is good.
func all[T, R any](rows silverquant.Rows[T], convert func(T) R) ([]R, error) {
	var list []R
	for row, err := range rows {
		if err != nil {
			return nil, err
		}
		list = append(list, convert(row))
	}
	return list, nil
}
