package silverquant

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// folderState is what the JSON files hold.
type folderState struct {
	file string
	// read tells that there is such a file.
	read     bool
	held     Positions
	max, min []Mark
	rejects  []*Reject
}

func (im *importer) readPositions() (s folderState, err error) {
	keep := func(rejects []*Reject) { s.rejects = append(s.rejects, rejects...) }
	read := func(file string) ([]byte, error) {
		raw, err := os.ReadFile(filepath.Join(im.dir, file))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		if err == nil && raw == nil {
			raw = []byte{}
		}
		return raw, err
	}
	var rejects []*Reject
	for _, s.file = range []string{PositionsFile, HeldDaysFile} {
		raw, err := read(s.file)
		if err != nil {
			return s, err
		}
		if raw == nil {
			continue
		}
		if s.held, rejects, err = ReadPositions(s.file, raw); err != nil {
			return s, err
		}
		keep(rejects)
		s.read = true
		break
	}
	for file, into := range map[string]*[]Mark{MaxPriceFile: &s.max, MinPriceFile: &s.min} {
		raw, err := read(file)
		if err != nil {
			return s, err
		}
		if raw == nil {
			continue
		}
		if *into, rejects, err = ReadPrices(file, raw); err != nil {
			return s, err
		}
		keep(rejects)
	}
	slices.SortStableFunc(s.rejects, func(a, b *Reject) int { return strings.Compare(a.File, b.File) })
	return s, nil
}

// positions emits what is about positions.
func (im *importer) positions(s folderState) error {
	for _, r := range s.rejects {
		if err := im.reject(r); err != nil {
			return err
		}
	}
	if s.held.IncDate != 0 {
		im.sawMoment(s.held.IncDate.Time())
	}
	if im.latest.IsZero() {
		im.latest = unknownMoment
	}
	if err := im.closeGone(s); err != nil {
		return err
	}
	if s.held.IncDate != 0 {
		if err := im.move(Reject{File: s.file}, &events.PositionDaysIncremented{AccountID: im.account, Date: s.held.IncDate},
			s.held.IncDate.String()); err != nil {
			return err
		}
	}
	for _, h := range s.held.Held {
		if !h.Open {
			continue
		}
		if err := im.move(Reject{File: s.file, Line: h.Line}, &events.PositionHeldDaysSet{AccountID: im.account, StockCode: h.StockCode, HeldDays: h.Days},
			h.StockCode, strconv.FormatInt(h.Days, 10)); err != nil {
			return err
		}
	}
	return im.marks(s)
}

// move emits one event about positions.
func (im *importer) move(where Reject, data events.Data, content ...string) error {
	content = append(content, events.FormatTime(im.latest))
	if im.opts.After > 0 {
		content = append(content, strconv.FormatUint(im.opts.After, 10))
	}
	return im.emit(accountEntry(im.account, im.latest, data, content...), where)
}

// closeGone closes what the log has open and the folder does not hold. Nothing
// is concluded from a file that is missing or has an entry that cannot be read.
func (im *importer) closeGone(s folderState) error {
	if !s.read || slices.ContainsFunc(s.rejects, func(r *Reject) bool { return r.File == s.file }) {
		return nil
	}
	held := make(map[string]bool)
	for _, h := range s.held.Held {
		// The contract's own form of the code.
		d := &events.PositionClosed{AccountID: im.account, StockCode: h.StockCode}
		e := events.Event{ID: "code", Source: dailySource, Time: im.latest, Data: d}
		if h.Open && e.Validate() == nil {
			held[d.StockCode] = true
		}
	}
	for _, code := range im.opts.Open {
		if held[code] {
			continue
		}
		if err := im.move(Reject{File: s.file}, &events.PositionClosed{AccountID: im.account, StockCode: code}, code); err != nil {
			return err
		}
	}
	return nil
}

// marks emits one event per stock that has a marked price.
func (im *importer) marks(s folderState) error {
	lowest := make(map[string]Mark)
	for _, m := range s.min {
		lowest[m.StockCode] = m
	}
	mark := func(file string, line int, code string, high, low *events.Price) error {
		content := []string{code, "", ""}
		for i, p := range []*events.Price{high, low} {
			if p != nil {
				content[1+i] = p.String()
			}
		}
		return im.move(Reject{File: file, Line: line}, &events.PositionPriceMarked{AccountID: im.account, StockCode: code, MaxPrice: high, MinPrice: low}, content...)
	}
	for _, m := range s.max {
		var low *events.Price
		if l, both := lowest[m.StockCode]; both {
			low = &l.Price
			delete(lowest, m.StockCode)
		}
		if err := mark(MaxPriceFile, m.Line, m.StockCode, &m.Price, low); err != nil {
			return err
		}
	}
	for _, m := range s.min {
		if _, alone := lowest[m.StockCode]; !alone {
			continue
		}
		if err := mark(MinPriceFile, m.Line, m.StockCode, nil, &m.Price); err != nil {
			return err
		}
	}
	return nil
}
