package events

import (
	"errors"
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

	// maxLiteral bounds the text of a number, in bytes.
	maxLiteral = 400
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

// AppendText makes other encoders write the canonical form, too.
func (p Price) AppendText(b []byte) ([]byte, error) { return appendFixed(b, int64(p), priceScale), nil }

// AppendText makes other encoders write the canonical form, too.
func (m Money) AppendText(b []byte) ([]byte, error) { return appendFixed(b, int64(m), moneyScale), nil }

// AppendText makes other encoders write the canonical form, too.
func (p Percent) AppendText(b []byte) ([]byte, error) {
	return appendFixed(b, int64(p), percentScale), nil
}

var (
	errNotDecimal = errors.New("must be a decimal number such as 12.345")
	errTooLarge   = errors.New("is too large: at most 17 digits are kept")
	errNotWhole   = errors.New("must be a whole number")
	errTooLong    = errors.New("is too long for a number: at most 400 characters")
)

// literal is a number taken apart: the digits from the first to the last of
// its text, of which point are a power of ten below the units.
type literal struct {
	digits   [maxLiteral]byte // without leading zeros
	n        int
	exponent int // the value is digits × 10^exponent
	negative bool
}

// parseFixed reads a literal of the JSON number grammar into units of
// 10^-scale, rounding half away from zero.
func parseFixed[T ~string | ~[]byte](text T, scale int) (int64, error) {
	var l literal
	if err := readLiteral(&l, text); err != nil {
		return 0, err
	}
	// Wanted are units of 10^-scale: keep so many digits, pad with zeros.
	keep := l.n + l.exponent + scale
	if l.n == 0 || keep < 0 {
		return 0, nil
	}
	if keep > 17 {
		return 0, errTooLarge
	}
	var n int64
	for i := range keep {
		n *= 10
		if i < l.n {
			n += int64(l.digits[i] - '0')
		}
	}
	if keep < l.n && l.digits[keep] >= '5' {
		n++
	}
	if n > MaxUnscaled {
		return 0, errTooLarge
	}
	if l.negative {
		n = -n
	}
	return n, nil
}

// parseInteger reads a whole number; 100.0 and 1e2 are whole.
func parseInteger[T ~string | ~[]byte](text T) (int64, error) {
	var l literal
	if err := readLiteral(&l, text); err != nil {
		return 0, err
	}
	for l.n > 0 && l.digits[l.n-1] == '0' {
		l.n--
		l.exponent++
	}
	if l.n > 0 && l.exponent < 0 {
		return 0, errNotWhole
	}
	return parseFixed(text, 0)
}

// readLiteral reads the JSON number grammar: optional minus, digits without a
// leading zero, optional fraction, optional exponent.
func readLiteral[T ~string | ~[]byte](l *literal, text T) error {
	if len(text) > maxLiteral {
		return errTooLong
	}
	i := 0
	digits := func(fraction bool) bool {
		start := i
		for ; i < len(text) && text[i]-'0' <= 9; i++ {
			if fraction {
				l.exponent--
			}
			if l.n > 0 || text[i] != '0' {
				l.digits[l.n] = text[i]
				l.n++
			}
		}
		return i > start
	}
	if i < len(text) && text[i] == '-' {
		l.negative = true
		i++
	}
	start := i
	if !digits(false) || text[start] == '0' && i > start+1 {
		return errNotDecimal
	}
	if i < len(text) && text[i] == '.' {
		i++
		if !digits(true) {
			return errNotDecimal
		}
	}
	if i < len(text) && text[i]|0x20 == 'e' {
		i++
		minus := i < len(text) && text[i] == '-'
		if i < len(text) && (text[i] == '-' || text[i] == '+') {
			i++
		}
		// Beyond a million every exponent means zero or too large.
		start, e := i, 0
		for ; i < len(text) && text[i]-'0' <= 9; i++ {
			e = min(e*10+int(text[i]-'0'), 1_000_000)
		}
		if i == start {
			return errNotDecimal
		}
		if minus {
			e = -e
		}
		l.exponent += e
	}
	if i != len(text) {
		return errNotDecimal
	}
	return nil
}

func allDigits(s string) bool {
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return true
}

// appendFixed writes n units of 10^-scale with exactly scale digits after the
// point.
func appendFixed(dst []byte, n int64, scale int) []byte {
	u := uint64(n)
	if n < 0 {
		dst = append(dst, '-')
		u = -u
	}
	var buf [24]byte
	i := len(buf)
	for k := 0; u > 0 || k <= scale; k++ {
		if k == scale && scale > 0 {
			i--
			buf[i] = '.'
		}
		i--
		buf[i] = byte('0' + u%10)
		u /= 10
	}
	return append(dst, buf[i:]...)
}
