package events

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Money is decimal, never float: a count of the smallest unit, read from the
// literal's own text and written as a canonical string.

// Price is yuan a share in thousandths: scale 3.
type Price int64

// Money is an amount of yuan in fen: scale 2.
type Money int64

// Percent is hundredths of a percent: scale 2.
type Percent int64

const (
	priceScale   = 3
	moneyScale   = 2
	percentScale = 2

	// MaxUnscaled bounds every decimal: 17 digits, so that every tier's
	// DECIMAL(18,s) holds it and sums of ten stay inside an int64.
	MaxUnscaled = 99_999_999_999_999_999
	// MaxVolume bounds a volume, in shares.
	MaxVolume = 1_000_000_000_000
)

// ParsePrice reads a decimal literal, rounding half away from zero to 0.001.
func ParsePrice(text string) (Price, error) {
	n, err := parseFixed(text, priceScale)
	return Price(n), err
}

// ParseMoney reads a decimal literal, rounding half away from zero to 0.01.
func ParseMoney(text string) (Money, error) {
	n, err := parseFixed(text, moneyScale)
	return Money(n), err
}

// ParsePercent reads a decimal literal, rounding half away from zero to 0.01.
func ParsePercent(text string) (Percent, error) {
	n, err := parseFixed(text, percentScale)
	return Percent(n), err
}

// String is the canonical form: always three digits after the point.
func (p Price) String() string { return string(appendFixed(nil, int64(p), priceScale)) }

// String is the canonical form: always two digits after the point.
func (m Money) String() string { return string(appendFixed(nil, int64(m), moneyScale)) }

// String is the canonical form: always two digits after the point.
func (p Percent) String() string { return string(appendFixed(nil, int64(p), percentScale)) }

// parseFixed reads an optional sign, digits, an optional fraction and an
// optional exponent (the JSON number grammar, leading zeros and a leading '+'
// refused) into units of 10^-scale, rounding half away from zero.
func parseFixed(text string, scale int) (int64, error) {
	digits, exp, neg, err := splitNumber(text)
	if err != nil {
		return 0, err
	}
	// The value is digits × 10^exp; wanted are units of 10^-scale.
	shift := exp + scale
	roundUp := false
	if shift < 0 {
		cut := len(digits) + shift
		switch {
		case cut < 0:
			digits = ""
		default:
			roundUp = digits[cut] >= '5'
			digits = digits[:cut]
		}
	} else if digits != "" {
		if len(digits)+shift > 18 {
			return 0, errTooLarge()
		}
		digits += strings.Repeat("0", shift)
	}
	if len(digits) > 18 {
		return 0, errTooLarge()
	}
	var n int64
	for i := range len(digits) {
		n = n*10 + int64(digits[i]-'0')
	}
	if roundUp {
		n++
	}
	if n > MaxUnscaled {
		return 0, errTooLarge()
	}
	if neg {
		n = -n
	}
	return n, nil
}

func errTooLarge() error { return fmt.Errorf("is too large: at most 17 digits are kept") }

// splitNumber takes a JSON number literal apart: its digits without leading
// zeros, the power of ten they are to be multiplied with, and its sign.
func splitNumber(text string) (digits string, exp int, neg bool, err error) {
	bad := func() (string, int, bool, error) {
		return "", 0, false, fmt.Errorf("must be a decimal number such as 12.345")
	}
	rest, neg := strings.CutPrefix(text, "-")
	mantissa, exponent, hasExp := rest, "", false
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		mantissa, exponent, hasExp = rest[:i], rest[i+1:], true
	}
	whole, fraction, hasPoint := strings.Cut(mantissa, ".")
	if whole == "" || (len(whole) > 1 && whole[0] == '0') || (hasPoint && fraction == "") ||
		!allDigits(whole) || !allDigits(fraction) || len(text) > 400 {
		return bad()
	}
	if hasExp {
		e := strings.TrimPrefix(exponent, "+")
		n, convErr := strconv.Atoi(e)
		if convErr != nil || math.Abs(float64(n)) > 400 {
			return bad()
		}
		exp = n
	}
	digits = strings.TrimLeft(whole+fraction, "0")
	return digits, exp - len(fraction), neg, nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// appendFixed writes n units of 10^-scale with exactly scale digits after the
// point.
func appendFixed(dst []byte, n int64, scale int) []byte {
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	var buf [24]byte
	i := len(buf)
	for k := 0; n > 0 || k <= scale; k++ {
		if k == scale && scale > 0 {
			i--
			buf[i] = '.'
		}
		i--
		buf[i] = byte('0' + n%10)
		n /= 10
	}
	return append(dst, buf[i:]...)
}
