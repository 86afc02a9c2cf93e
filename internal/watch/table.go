package watch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// table is a CSV file as it was read last.
type table struct {
	name, account string
	raw           []byte
	hash          hash.Hash // of raw
	lines         int       // of raw
	badLine       int       // of the last row that could not be read
	deals         []deal
	assets        []silverquant.Asset
	drifts        []Drift
	// equal counts the rows read so far that say the same, each by its key and
	// by its entry's digest.
	equal   map[silverquant.DealKey]int
	digests map[string]int
	// The first checked rows were found on the log by the ledger of an epoch.
	checked, epoch int
}

// deal is a row of DealsFile, the which one it is of its key and of its
// entry's digest.
type deal struct {
	silverquant.Deal
	key       silverquant.DealKey
	nth, same int
}

// quoteLines is beyond how many lines a row that spans lines may end.
const quoteLines = 100

func newTable(name, account string) *table {
	return &table{name: name, account: account, hash: sha256.New(), equal: make(map[silverquant.DealKey]int), digests: make(map[string]int)}
}

// grow reads what was appended to the file. It is false when what was there
// before is not the same any more, or may read otherwise with what follows: a
// quote that was not closed may be now.
func (t *table) grow(raw []byte) bool {
	if !bytes.HasPrefix(raw, t.raw) {
		return false
	}
	added := raw[len(t.raw):]
	if len(added) == 0 {
		return true
	}
	if t.badLine > 0 && t.badLine > t.lines-quoteLines {
		return false
	}
	t.read(added)
	_, _ = t.hash.Write(added) // never fails
	t.lines += bytes.Count(added, []byte("\n"))
	t.raw = raw
	return true
}

func (t *table) read(added []byte) {
	if t.name != silverquant.DealsFile {
		for a, err := range silverquant.ReadAssetsAfter(t.name, bytes.NewReader(added), t.lines) {
			if err != nil {
				t.bad(err)
				continue
			}
			t.assets = append(t.assets, a)
		}
		return
	}
	for d, err := range silverquant.ReadDealsAfter(t.name, bytes.NewReader(added), t.lines) {
		if err == nil {
			err = t.add(d)
		}
		if err != nil {
			t.bad(err)
		}
	}
}

// add takes in a row that can be an event.
func (t *table) add(d silverquant.Deal) error {
	entry, err := silverquant.DealEntry(t.account, d.Deal)
	if err == nil {
		err = entry.Nth(1).Validate()
	}
	if err != nil {
		return &silverquant.Reject{File: t.name, Line: d.Line, Reason: err.Error()}
	}
	key := silverquant.KeyOf(entry.Nth(1).Data.(*events.TradeRecorded))
	t.equal[key]++
	t.digests[entry.Digest()]++
	t.deals = append(t.deals, deal{d, key, t.equal[key], t.digests[entry.Digest()]})
	return nil
}

func (t *table) bad(err error) {
	drift := Drift{File: t.name, Reason: err.Error()}
	var reject *silverquant.Reject
	if errors.As(err, &reject) {
		drift.Key, drift.Reason = fmt.Sprintf("line %d", reject.Line), reject.Reason
		t.badLine = reject.Line
	}
	t.drifts = append(t.drifts, drift)
}

// unchecked are the keys of the rows that this epoch's ledger was not yet found
// to hold. The log loses no trade: rows once found there are not looked for
// again.
func (t *table) unchecked(epoch int) []deal {
	if t == nil {
		return nil
	}
	if t.epoch != epoch {
		t.checked, t.epoch = 0, epoch
	}
	return t.deals[t.checked:]
}

// rows reads a CSV file up to its last whole line. What is gone from it stays
// on the log: a trade is a fact.
func (f *follower) rows(v *view, name string, raw []byte, now time.Time) {
	whole := raw[:bytes.LastIndexByte(raw, '\n')+1]
	t := f.kept[name]
	if t == nil || !t.grow(whole) {
		t = newTable(name, f.Account)
		t.grow(whole)
		f.kept[name] = t
	}
	if name == silverquant.DealsFile {
		v.deals = t
	} else {
		v.assets = t.assets
	}
	v.drifts = append(v.drifts, t.drifts...)
	v.files[name] = FileState{len(whole), hex.EncodeToString(t.hash.Sum(nil))}
	if len(whole) == len(raw) {
		delete(f.bad, name)
		return
	}
	v.wait(name + ": the last line is not whole yet")
	v.overdue(f, name, now, "the last line has no line end: it may be half-written")
}
