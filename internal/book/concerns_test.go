package book_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
)

// TestConcerns: whatever row an event changes, it is about that row.
func TestConcerns(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := book.New(book.Keep{History: true})
		before := map[[2]string]string{}
		for _, e := range booktest.Histories(rt, booktest.Options{Events: 60}) {
			b.Apply(e)
			after := map[[2]string]string{}
			require.NoError(rt, b.Rows(book.AllKinds(), func(r book.Row) error {
				after[[2]string{string(r.Kind), r.Key}] = r.Value
				return nil
			}))
			for row, value := range after {
				if old, ok := before[row]; !ok || old != value {
					require.True(rt, book.Concerns(e, book.Kind(row[0]), row[1]), "%s changed %s", e.Data.Type(), row)
				}
			}
			for row := range before {
				if _, ok := after[row]; !ok {
					require.True(rt, book.Concerns(e, book.Kind(row[0]), row[1]), "%s removed %s", e.Data.Type(), row)
				}
			}
			require.False(rt, book.Concerns(e, book.KindHeldDays, "nobody/600000.SH"))
			before = after
		}
	})
}
