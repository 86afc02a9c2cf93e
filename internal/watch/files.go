package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// names are the files of a folder that are followed.
var names = []string{
	silverquant.PositionsFile, silverquant.HeldDaysFile, silverquant.MaxPriceFile, silverquant.MinPriceFile,
	silverquant.DealsFile, silverquant.AssetsFile,
}

// FileState is one file's content as it was compared.
type FileState struct {
	// Bytes and SHA256 are of the content that was believed: all of a JSON
	// file, the whole lines of a CSV file.
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// view is what a folder was seen to hold. A nil part is not known now: its file
// is being rewritten, or is damaged.
type view struct {
	held     map[string]int64 // open positions' days, by stock
	incDate  events.Date
	max, min map[string]events.Price
	// dim are the stocks whose entry in a file cannot be read, by file.
	dim    map[string]map[string]bool
	deals  *table // of DealsFile
	assets []silverquant.Asset
	// older tells that HeldDaysFile stands for PositionsFile.
	older bool
	// gone are the files that are missing or empty, but not for long yet.
	gone  map[string]bool
	files map[string]FileState
	// changed is the newest time of change of a file.
	changed time.Time
	// tomorrow bounds incDate, for events cannot take it back; 0 is no bound.
	tomorrow events.Date
	drifts   []Drift
	// unsettled is why some part is not known, which will pass.
	unsettled string
}

// follower reads a folder's files again and again.
type follower struct {
	Folder
	patience time.Duration
	// void is since when a file has been missing or empty, bad since when it
	// could not be read as a whole.
	void, bad map[string]time.Time
	// kept are parsed CSV files, by name: they grow long and change rarely.
	kept map[string]*table
}

// look reads the whole folder. The error is about the folder itself.
func (f *follower) look(now time.Time) (*view, error) {
	info, err := os.Stat(f.Dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, errors.New("not a folder")
	}
	v := &view{files: make(map[string]FileState), gone: make(map[string]bool), dim: make(map[string]map[string]bool), tomorrow: events.DateOf(now.AddDate(0, 0, 1).In(events.Zone))}
	found := 0
	for _, name := range names {
		raw, changed, err := stable(filepath.Join(f.Dir, name))
		switch {
		case err == nil:
			found++
		case errors.Is(err, errUnusable):
			found++
			v.drift(name, "", err.Error())
			continue
		case !errors.Is(err, fs.ErrNotExist):
			v.wait(fmt.Sprintf("%s: %v", name, err))
			v.overdue(f, name, now, err.Error())
			continue
		}
		if changed.After(v.changed) {
			v.changed = changed
		}
		f.take(v, name, raw, err == nil, now)
	}
	if found == 0 {
		return nil, errors.New("the folder holds none of the strategy's files: nothing is concluded from that, it may be a share that is not mounted")
	}
	// A file system without times, or a clock that was never set, says 1970.
	if v.changed.Before(firstTradingDay) || v.changed.After(now) {
		v.changed = now
	}
	return v, nil
}

// errMoving tells that a file was written while it was read.
var errMoving = errors.New("is being written")

// errUnusable tells of what is not read whatever it holds.
var errUnusable = errors.New("is not read")

// maxJSON bounds a JSON file, which is held as a whole: a position is some 50
// bytes.
const maxJSON = 64 << 20

// firstTradingDay is the exchange's: no file of a strategy is older.
var firstTradingDay = time.Date(1990, 12, 19, 0, 0, 0, 0, events.Zone)

// stable reads a file that does not change meanwhile. Opening a pipe would wait
// for its writer, so only regular files are opened.
func stable(path string) (raw []byte, changed time.Time, err error) {
	before, err := os.Stat(path)
	if err != nil {
		return nil, changed, err
	}
	switch {
	case !before.Mode().IsRegular():
		return nil, changed, fmt.Errorf("%w: must be a regular file, not %s", errUnusable, before.Mode().Type())
	case before.Size() > maxJSON && filepath.Ext(path) == ".json":
		return nil, changed, fmt.Errorf("%w: has %d bytes, must not have more than %d", errUnusable, before.Size(), maxJSON)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, changed, err
	}
	defer f.Close()
	if before, err = f.Stat(); err != nil {
		return nil, changed, err
	}
	raw = make([]byte, before.Size()+1)
	n, err := io.ReadFull(f, raw)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, changed, err
	}
	after, err := os.Stat(path)
	if err != nil {
		return nil, changed, err
	}
	if int64(n) != before.Size() || after.Size() != before.Size() || !after.ModTime().Equal(before.ModTime()) {
		return nil, changed, errMoving
	}
	return raw[:n], before.ModTime(), nil
}

// take adds a file's content to the view.
func (f *follower) take(v *view, name string, raw []byte, exists bool, now time.Time) {
	switch name {
	case silverquant.DealsFile, silverquant.AssetsFile:
		f.rows(v, name, raw, now)
		return
	case silverquant.HeldDaysFile:
		if !exists || !v.older {
			return
		}
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		since, known := f.void[name]
		if !known {
			since = now
			f.void[name] = now
		}
		if now.Sub(since) < f.patience {
			v.gone[name] = true
			return
		}
		if v.older = name == silverquant.PositionsFile && !exists && f.has(silverquant.HeldDaysFile); v.older {
			return
		}
		raw = []byte("{}")
		v.files[name] = FileState{}
	} else {
		delete(f.void, name)
		sum := sha256.Sum256(raw)
		v.files[name] = FileState{len(raw), hex.EncodeToString(sum[:])}
	}
	if err := f.object(v, name, raw); err != nil {
		delete(v.files, name)
		v.wait(err.Error())
		v.overdue(f, name, now, err.Error())
		return
	}
	delete(f.bad, name)
}

func (f *follower) has(name string) bool {
	_, err := os.Stat(filepath.Join(f.Dir, name))
	return err == nil
}

// object reads a JSON file.
func (f *follower) object(v *view, name string, raw []byte) error {
	prices := func(into *map[string]events.Price) error {
		marks, rejects, err := silverquant.ReadPrices(name, raw)
		if err != nil {
			return err
		}
		*into = make(map[string]events.Price)
		for _, m := range marks {
			code, ok := f.stock(v, name, m.StockCode)
			switch {
			case !ok:
			case m.Price <= 0:
				// No event holds that: the log's word on it stays.
				v.drift(name, code, fmt.Sprintf("line %d: price must be greater than 0, is %s", m.Line, m.Price))
				v.dims(name, code)
			default:
				(*into)[code] = m.Price
			}
		}
		f.rejected(v, name, rejects)
		return nil
	}
	switch name {
	case silverquant.MaxPriceFile:
		return prices(&v.max)
	case silverquant.MinPriceFile:
		return prices(&v.min)
	}
	p, rejects, err := silverquant.ReadPositions(name, raw)
	if err != nil {
		return err
	}
	v.incDate, v.held = p.IncDate, make(map[string]int64)
	for _, h := range p.Held {
		if !h.Open {
			continue
		}
		if code, ok := f.stock(v, name, h.StockCode); ok {
			v.held[code] = h.Days
		}
	}
	f.rejected(v, name, rejects)
	return nil
}

// stock is a key of a JSON file as the contract writes the code. One that is
// no code can be in no event.
func (f *follower) stock(v *view, name, key string) (code string, ok bool) {
	d := &events.PositionClosed{AccountID: f.Account, StockCode: key}
	e := events.Event{Source: "watch", Time: anyTime, Data: d}
	if err := e.Validate(); err != nil {
		v.drift(name, key, err.Error())
		return "", false
	}
	return d.StockCode, true
}

// rejected notes the entries that cannot be read; what the log holds of them
// stays.
func (f *follower) rejected(v *view, name string, rejects []*silverquant.Reject) {
	for _, r := range rejects {
		key := ""
		// A reject of an entry begins with its key, quoted.
		if quoted, err := strconv.QuotedPrefix(r.Text); err == nil {
			key, _ = strconv.Unquote(quoted)
		}
		v.drift(name, key, fmt.Sprintf("line %d: %s", r.Line, r.Reason))
		d := &events.PositionClosed{AccountID: f.Account, StockCode: key}
		if (&events.Event{Source: "watch", Time: anyTime, Data: d}).Validate() == nil {
			v.dims(name, d.StockCode)
		}
	}
}

func (v *view) drift(file, key, reason string) {
	v.drifts = append(v.drifts, Drift{File: file, Key: key, Reason: reason})
}

// dims notes that a stock's entry in a file cannot be read.
func (v *view) dims(name, code string) {
	if v.dim[name] == nil {
		v.dim[name] = make(map[string]bool)
	}
	v.dim[name][code] = true
}

// wait notes that the view is not whole.
func (v *view) wait(reason string) {
	if v.unsettled == "" {
		v.unsettled = reason
	}
}

// overdue makes a drift of what should have passed long ago.
func (v *view) overdue(f *follower, name string, now time.Time, reason string) {
	since, known := f.bad[name]
	if !known {
		f.bad[name] = now
		return
	}
	if now.Sub(since) >= f.patience {
		v.drift(name, "", strings.TrimPrefix(reason, "read "+name+": "))
	}
}
