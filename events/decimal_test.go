package events_test

import (
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
)

func TestParsePrice(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"0", "0.000"},
		{"-0", "0.000"},
		{"-0.0e5", "0.000"},
		{"8.3", "8.300"},
		{"8.300000190734863", "8.300"},
		{"12.4305", "12.431"},
		{"12.4304999999999999999999999999999999999", "12.430"},
		{"-12.4305", "-12.431"},
		{"0.0005", "0.001"},
		{"0.00049999", "0.000"},
		{"5e-4", "0.001"},
		{"4.9e-4", "0.000"},
		{"0.9995", "1.000"},
		{"9.9995", "10.000"},
		{"1e-400", "0.000"},
		{"1e-99999999999999999999999", "0.000"},
		{"0e99999999999999999999999", "0.000"},
		{"0.00000e400", "0.000"},
		{"1E+2", "100.000"},
		{"1.5e1", "15.000"},
		{"0.000000000000000000000000000012345e30", "12.345"},
		{"99999999999999.999", "99999999999999.999"},
		{"-99999999999999.999", "-99999999999999.999"},
		{"99999999999999.9994", "99999999999999.999"},
	} {
		p, err := events.ParsePrice(c.text)
		require.NoError(t, err, c.text)
		require.Equal(t, c.want, p.String(), c.text)
	}
}

func TestParsePriceRefuses(t *testing.T) {
	const decimal, large = "must be a decimal number", "is too large"
	for _, c := range []struct{ text, rule string }{
		{"", decimal}, {"-", decimal}, {"+1", decimal}, {".5", decimal}, {"5.", decimal}, {"01", decimal},
		{"00", decimal}, {"-01", decimal}, {"1e", decimal}, {"1e+", decimal}, {"1e1.5", decimal}, {"1.e5", decimal},
		{" 1", decimal}, {"1 ", decimal}, {"1,000", decimal}, {"0x10", decimal}, {"1_000", decimal}, {"NaN", decimal},
		{"nan", decimal}, {"Infinity", decimal}, {"-inf", decimal}, {"--1", decimal}, {"1e--1", decimal}, {"1.2.3", decimal},
		{"１２", decimal}, {"12\x00", decimal},
		{"99999999999999.9995", large}, {"100000000000000", large}, {"1e400", large}, {"-1e400", large}, {"1e99999999999999999999999", large},
		{strings.Repeat("9", 400), large}, {"0." + strings.Repeat("0", 400), "is too long"},
	} {
		_, err := events.ParsePrice(c.text)
		require.ErrorContains(t, err, c.rule, c.text)
	}
}

func TestParseInteger(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "-0": 0, "100": 100, "100.0": 100, "1e2": 100, "1.50e1": 15, "-7": -7, "1000e-3": 1, "0.0e-400": 0,
		"99999999999999999": events.MaxUnscaled,
	} {
		n, err := events.ParseInteger(text)
		require.NoError(t, err, text)
		require.Equal(t, want, n, text)
	}
	for _, text := range []string{"100.5", "1e-1", "1e-400", "0.1", "1e17", "1e400", "", "1.", "NaN"} {
		_, err := events.ParseInteger(text)
		require.Error(t, err, text)
	}
}

// TestDecimalsAgainstBig holds parsing against exact rationals: literals of
// every shape, on both sides of every limit and of every half.
func TestDecimalsAgainstBig(t *testing.T) {
	digits := func(lo, hi int) *rapid.Generator[string] {
		return rapid.StringOfN(rapid.RuneFrom([]rune("0000123455556789999")), lo, hi, -1)
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.SampledFrom([]string{"", "-"}).Draw(t, "sign")
		whole := strings.TrimLeft(digits(1, 20).Draw(t, "whole"), "0")
		text += whole
		if whole == "" {
			text += "0"
		}
		if rapid.Bool().Draw(t, "pointed") {
			text += "." + digits(1, 25).Draw(t, "fraction")
		}
		if rapid.Bool().Draw(t, "exponential") {
			text += rapid.SampledFrom([]string{"e", "E", "e+", "E-", "e-"}).Draw(t, "e") +
				strconv.Itoa(rapid.IntRange(0, 30).Draw(t, "exponent"))
		}
		exact, ok := new(big.Rat).SetString(text)
		require.True(t, ok, text)

		for scale, parse := range map[int64]func(string) (int64, error){
			3: func(s string) (int64, error) { p, err := events.ParsePrice(s); return int64(p), err },
			2: func(s string) (int64, error) { m, err := events.ParseMoney(s); return int64(m), err },
		} {
			want := roundHalfAway(exact, scale)
			got, err := parse(text)
			if want.CmpAbs(big.NewInt(events.MaxUnscaled)) > 0 {
				require.Error(t, err, text)
				continue
			}
			require.NoError(t, err, text)
			require.Equal(t, want.Int64(), got, text)
		}

		n, err := events.ParseInteger(text)
		switch {
		case !exact.IsInt(), exact.Num().CmpAbs(big.NewInt(events.MaxUnscaled)) > 0:
			require.Error(t, err, text)
		default:
			require.NoError(t, err, text)
			require.Equal(t, exact.Num().Int64(), n, text)
		}
	})
}

// roundHalfAway is x in units of 10^-scale.
func roundHalfAway(x *big.Rat, scale int64) *big.Int {
	unit := new(big.Int).Exp(big.NewInt(10), big.NewInt(scale), nil)
	units := new(big.Rat).Mul(x, new(big.Rat).SetInt(unit))
	num, den := new(big.Int).Abs(units.Num()), units.Denom()
	// floor((2·num + den) / (2·den))
	num.Lsh(num, 1).Add(num, den)
	num.Quo(num, new(big.Int).Lsh(den, 1))
	if x.Sign() < 0 {
		num.Neg(num)
	}
	return num
}

func TestDecimalTextRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(-events.MaxUnscaled, events.MaxUnscaled).Draw(t, "unscaled")
		p, err := events.ParsePrice(events.Price(n).String())
		require.NoError(t, err)
		require.Equal(t, events.Price(n), p)
		m, err := events.ParseMoney(events.Money(n).String())
		require.NoError(t, err)
		require.Equal(t, events.Money(n), m)
		c, err := events.ParsePercent(events.Percent(n).String())
		require.NoError(t, err)
		require.Equal(t, events.Percent(n), c)
	})
}
