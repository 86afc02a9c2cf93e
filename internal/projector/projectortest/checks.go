package projectortest

import (
	"flag"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

const rapidChecks = "rapid.checks"

// Checks sets how many cases the properties of a test draw, where the command
// line does not say it: rapid knows no number of one property's own.
func Checks(t testing.TB, n int) {
	t.Helper()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == rapidChecks })
	if !given {
		setChecks(t, n)
	}
}

// atLeast raises the number of cases.
func atLeast(t testing.TB, n int) {
	t.Helper()
	if before, err := strconv.Atoi(flag.Lookup(rapidChecks).Value.String()); err != nil || before < n {
		setChecks(t, n)
	}
}

// setChecks sets it until the test ends.
func setChecks(t testing.TB, n int) {
	t.Helper()
	drawn := flag.Lookup(rapidChecks).Value
	before := drawn.String()
	require.NoError(t, drawn.Set(strconv.Itoa(n)))
	t.Cleanup(func() { require.NoError(t, drawn.Set(before)) })
}
