package replay

import (
	"slices"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// ignoredRow is a row of a statement that is about no A-share.
type ignoredRow struct {
	Line int    `json:"line"`
	Code string `json:"code"`
	Name string `json:"name"`
}

// ranges are how the codes of an exchange's shares, funds and convertible bonds
// begin.
var ranges = []struct {
	suffix   string
	prefixes []string
}{
	{"SH", []string{"60", "68", "900", "50", "51", "52", "53", "55", "56", "58", "11"}},
	{"SZ", []string{"00", "30", "200", "15", "16", "18", "12"}},
	{"BJ", []string{"92", "43", "82", "83", "87", "880", "881", "889"}},
}

// never are codes of a broker's own: repos, and what they are pledged by.
var never = []string{"204", "131", "888880", "799999"}

// statementCode is a code as the contract writes it. Many exports have the six
// digits only; then the market's name tells, or the exchanges' ranges do.
func statementCode(code, market string) (string, error) {
	code = strings.ToUpper(code)
	for exchange, suffix := range map[string]string{"SHSE.": "SH", "SZSE.": "SZ", "BJSE.": "BJ"} {
		if digits, is := strings.CutPrefix(code, exchange); is {
			code = digits + "." + suffix // GM's form
		}
	}
	if len(code) < 6 && allDigits(code) {
		code = strings.Repeat("0", 6-len(code)) + code // a spreadsheet ate the zeros
	}
	if len(code) == 6 && allDigits(code) {
		code += "." + marketOf(code, market)
	}
	d := &events.PositionClosed{AccountID: "statement", StockCode: code}
	e := events.Event{Source: "statement", Time: time.Now(), Data: d}
	if err := e.Validate(); err != nil {
		return "", err
	}
	return d.StockCode, nil
}

// marketOf is the exchange that a statement's row names, or that the ranges
// tell; empty is none of them.
func marketOf(digits, market string) string {
	for _, known := range []struct{ words, suffix string }{{"沪 上海 上证 SH", "SH"}, {"深 SZ", "SZ"}, {"北 BJ", "BJ"}} {
		for word := range strings.FieldsSeq(known.words) {
			if strings.Contains(strings.ToUpper(market), word) {
				return known.suffix
			}
		}
	}
	for _, known := range ranges {
		if slices.ContainsFunc(known.prefixes, func(prefix string) bool { return strings.HasPrefix(digits, prefix) }) {
			return known.suffix
		}
	}
	return ""
}

// tradedHere tells whether a code is of Shanghai, Shenzhen or Beijing, as far
// as that can be said. Hong Kong's may be had through Shanghai (沪港通).
func tradedHere(code, market string) bool {
	code, market = strings.ToUpper(code), strings.ToUpper(market)
	if strings.Contains(market, "港") || strings.Contains(market, "HK") || strings.Contains(code, "HK") {
		return false
	}
	digits := strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ.")
	if slices.ContainsFunc(never, func(prefix string) bool { return len(digits) == 6 && strings.HasPrefix(digits, prefix) }) {
		return false
	}
	switch {
	case !allDigits(code):
		return true // it names its exchange, or is no code
	case len(code) == 5 && code[0] == '0':
		return marketOf("", market) != "" // Hong Kong's: a spreadsheet eats all zeros or none
	case len(code) < 6:
		return true
	}
	return len(code) != 6 || marketOf(code, market) != ""
}

func allDigits(text string) bool { return strings.Trim(text, "0123456789") == "" }
