package silverquant

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// ImportOptions tell what the folder itself does not.
type ImportOptions struct {
	// CreateAccount is set where the log does not know the account yet: the
	// first event creates it, with the first row of assets.csv as capital.
	CreateAccount bool
	// Broker is QMT, GM or TDX; empty is GM for an account id that is a UUID
	// and QMT for any other.
	Broker string
	// DailyDir is a folder of klines, <code>.csv each; empty is none.
	DailyDir string
	// Open are the stocks whose positions the log has open. What the folder does
	// not hold of them is closed.
	Open []string
	// After, unless it is 0, makes other ids for what is about positions: it is
	// to count again although the log had it once, up to this sequence.
	After uint64
}

// importBars is how many bars one kline event carries at most.
const importBars = 1000

// unknownMoment is the exchange's first trading day. It dates positions in a
// folder that holds no date at all.
var unknownMoment = time.Date(1990, 12, 19, 15, 0, 0, 0, events.Zone)

// ImportEvents turns a cache folder into valid events: account.created where
// asked for, the trades in file order, a capital_updated per row of assets.csv,
// the klines, and then the positions: what is closed, _inc_date, so that it
// increments nothing that counts, held days, and marked prices. Positions are
// dated by the latest moment known in the folder.
//
// Ids depend on nothing but the content, so importing twice, or a grown
// folder, repeats the ids of what was imported before. An error that is a
// *Reject is about one row and the import goes on; any other ends it. Half a
// JSON file is noticed before the first event. Missing files are empty ones.
func ImportEvents(dir, account string, opts ImportOptions) iter.Seq2[*events.Event, error] {
	return func(yield func(*events.Event, error) bool) {
		im := &importer{dir: dir, account: account, opts: opts, seen: make(map[string]int), yield: yield}
		if err := im.run(); err != nil && !errors.Is(err, errStopped) {
			yield(nil, fmt.Errorf("import %s: %w", dir, err))
		}
	}
}

// errStopped ends an import whose consumer wants no more.
var errStopped = errors.New("stopped")

type importer struct {
	dir, account string
	opts         ImportOptions
	// seen counts identical rows, by their digest.
	seen   map[string]int
	latest time.Time
	yield  func(*events.Event, error) bool
}

func (im *importer) run() error {
	if info, err := os.Stat(im.dir); err != nil {
		return err
	} else if !info.IsDir() {
		return errors.New("not a folder")
	}
	pos, err := im.readPositions()
	if err != nil {
		return err
	}
	if im.opts.CreateAccount {
		if err := im.createAccount(); err != nil {
			return err
		}
	}
	for _, step := range []func() error{im.trades, im.assets, im.klines} {
		if err := step(); err != nil {
			return err
		}
	}
	return im.positions(pos)
}

// open opens a file for reading rows; a missing one is empty.
func open(path string) (readSeekCloser, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return emptyFile{bytes.NewReader(nil)}, nil
	}
	return f, err
}

type readSeekCloser interface {
	Read([]byte) (int, error)
	Seek(int64, int) (int64, error)
	Close() error
}

type emptyFile struct{ *bytes.Reader }

func (emptyFile) Close() error { return nil }

// forEach hands on each good row of a file and yields its rejects.
func forEach[T any](im *importer, path string, read func(string, readSeekCloser) Rows[T], use func(T) error) error {
	f, err := open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for row, err := range read(filepath.Base(path), f) {
		var reject *Reject
		switch {
		case errors.As(err, &reject):
			err = im.reject(reject)
		case err == nil:
			err = use(row)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func deals(name string, f readSeekCloser) Rows[Deal]   { return ReadDeals(name, f) }
func assets(name string, f readSeekCloser) Rows[Asset] { return ReadAssets(name, f) }
func bars(name string, f readSeekCloser) Rows[Bar]     { return ReadBars(name, f) }

func (im *importer) reject(r *Reject) error {
	if !im.yield(nil, r) {
		return errStopped
	}
	return nil
}

// emit validates and yields one event; where says which row it came from.
func (im *importer) emit(entry Entry, where Reject) error {
	im.seen[entry.digest]++
	e := entry.Nth(im.seen[entry.digest])
	if err := e.Validate(); err != nil {
		return im.reject(newReject(where.File, where.Line, err.Error(), strings.Join(entry.content, ",")))
	}
	if !im.yield(e, nil) {
		return errStopped
	}
	return nil
}

func (im *importer) createAccount() error {
	var first Asset
	found := errors.New("found")
	err := forEach(&importer{yield: func(*events.Event, error) bool { return true }}, filepath.Join(im.dir, AssetsFile), assets, func(a Asset) error {
		first = a
		return found
	})
	if err != nil && !errors.Is(err, found) {
		return err
	}
	if err == nil {
		return fmt.Errorf("account %s is unknown and %s has no row to take its initial capital from: create the account first", im.account, AssetsFile)
	}
	return im.emit(AccountEntry(im.account, im.opts.Broker, first), Reject{File: AssetsFile})
}

func (im *importer) sawMoment(t time.Time) {
	if t.After(im.latest) {
		im.latest = t
	}
}

func (im *importer) trades() error {
	return forEach(im, filepath.Join(im.dir, DealsFile), deals, func(d Deal) error {
		entry, err := DealEntry(im.account, d.Deal)
		if err != nil {
			return err
		}
		im.sawMoment(entry.event.Time)
		return im.emit(entry, Reject{File: DealsFile, Line: d.Line})
	})
}

func (im *importer) assets() error {
	return forEach(im, filepath.Join(im.dir, AssetsFile), assets, func(a Asset) error {
		entry := AssetEntry(im.account, a)
		im.sawMoment(entry.event.Time)
		return im.emit(entry, Reject{File: AssetsFile, Line: a.Line})
	})
}

func (im *importer) klines() error {
	if im.opts.DailyDir == "" {
		return nil
	}
	files, err := os.ReadDir(im.opts.DailyDir)
	if err != nil {
		return err
	}
	for _, f := range files {
		code, ok := strings.CutSuffix(f.Name(), ".csv")
		if !ok || f.IsDir() {
			continue
		}
		if err := im.stockKlines(f.Name(), code); err != nil {
			return err
		}
	}
	return nil
}

func (im *importer) stockKlines(file, code string) error {
	var all []Bar
	at := make(map[events.Date]int)
	if err := forEach(im, filepath.Join(im.opts.DailyDir, file), bars, func(b Bar) error {
		one := events.Event{
			ID: "bar", Source: dailySource, Time: b.Date.Time(),
			Data: &events.KlineRecorded{StockCode: code, Bars: []events.Bar{b.Bar}},
		}
		if err := one.Validate(); err != nil {
			return im.reject(newReject(file, b.Line, err.Error(), string(AppendBar(nil, b.Bar))))
		}
		i, again := at[b.Date]
		if !again {
			at[b.Date] = len(all)
			all = append(all, b)
			return nil
		}
		earlier := all[i]
		all[i] = b
		return im.reject(newReject(file, earlier.Line, fmt.Sprintf("line %d has the same date", b.Line), string(AppendBar(nil, earlier.Bar))))
	}); err != nil {
		return err
	}
	slices.SortFunc(all, func(a, b Bar) int { return int(a.Date - b.Date) })
	for chunk := range slices.Chunk(all, importBars) {
		data := &events.KlineRecorded{StockCode: code}
		var content []byte
		for _, b := range chunk {
			data.Bars = append(data.Bars, b.Bar)
			content = AppendBar(content, b.Bar)
		}
		last := chunk[len(chunk)-1]
		if err := im.emit(newEntry(dailySource, last.Date.Time().Add(15*time.Hour+30*time.Minute), data, code, string(content)), Reject{File: file, Line: last.Line}); err != nil {
			return err
		}
	}
	return nil
}
