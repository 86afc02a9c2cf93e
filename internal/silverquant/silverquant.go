// Package silverquant reads and writes the existing strategies' cache folders:
// positions.json (held_days.json in older ones), max_price.json,
// min_price.json, deal_hist.csv, assets.csv and _daily/<code>.csv.
//
// Numbers go between text and decimal directly, never through a float. All
// functions are safe for concurrent use.
package silverquant

import (
	"fmt"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// The files of a cache folder.
const (
	PositionsFile = "positions.json"
	// HeldDaysFile is the older name of PositionsFile; its values are plain
	// numbers.
	HeldDaysFile = "held_days.json"
	MaxPriceFile = "max_price.json"
	MinPriceFile = "min_price.json"
	DealsFile    = "deal_hist.csv"
	AssetsFile   = "assets.csv"
	// DailyDir is the folder of klines beside the accounts' folders.
	DailyDir = "_daily"
)

// incDateKey sits among the stock codes of positions.json.
const incDateKey = "_inc_date"

// Reject is a row or entry that could not be read. It is an error about that
// row alone: reading goes on behind it.
type Reject struct {
	// File is the name given by the caller; Line counts from 1 and is 0 when
	// the whole file is meant.
	File string
	Line int
	// Reason says what is wrong with Text, which is shortened to 200 runes.
	Reason string
	Text   string
}

func (r *Reject) Error() string {
	return fmt.Sprintf("%s:%d: %s: %q", r.File, r.Line, r.Reason, r.Text)
}

func newReject(file string, line int, reason, text string) *Reject {
	text = strings.TrimRight(text, "\r\n")
	if runes := []rune(text); len(runes) > 200 {
		text = string(runes[:200]) + "…"
	}
	return &Reject{File: file, Line: line, Reason: reason, Text: text}
}

// FloatText writes a canonical decimal as Python's repr of the same float:
// 12.430 → 12.43, 64.000 → 64.0. It holds for all values below 10^16.
func FloatText(canonical string) string {
	whole, fraction, _ := strings.Cut(canonical, ".")
	fraction = strings.TrimRight(fraction, "0")
	if fraction == "" {
		fraction = "0"
	}
	return whole + "." + fraction
}

// parseWhole reads a count that may have been written as a float (1600.0).
func parseWhole(text string) (int64, error) {
	hundredths, err := events.ParseMoney(text)
	if err != nil {
		return 0, err
	}
	if hundredths%100 != 0 {
		return 0, fmt.Errorf("must be a whole number")
	}
	return int64(hundredths / 100), nil
}
