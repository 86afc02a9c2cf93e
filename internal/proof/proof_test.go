package proof_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/proof"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// damaged is a tier whose dump is what the test says.
type damaged struct {
	*memory.Tier
	rows []book.Row
}

func (d damaged) Dump(_ context.Context, yield func(book.Row) error) (eventlog.Checkpoint, error) {
	for _, row := range d.rows {
		if err := yield(row); err != nil {
			return eventlog.Checkpoint{}, err
		}
	}
	return eventlog.Checkpoint{Sequence: 7}, nil
}

// TestCompareFindsExactlyTheDamage removes, changes and adds random rows: they
// and no others are found, however many parts the comparison has.
func TestCompareFindsExactlyTheDamage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		history := booktest.Histories(rt, booktest.Options{})
		kinds := rapid.SampledFrom([][]book.Kind{
			book.AllKinds(), {book.KindTrade, book.KindKline}, {book.KindHeldDays, book.KindIncDate}, {book.KindDeal, book.KindAsset},
		}).Draw(rt, "kinds")
		fold := func(only func(*events.Event) bool) *memory.Tier {
			tier := memory.New(kinds)
			var batch projector.Batch
			for _, e := range history {
				if only(e) {
					batch.Events = append(batch.Events, e)
				}
			}
			require.NoError(rt, tier.Apply(t.Context(), batch))
			return tier
		}
		whole := fold(func(*events.Event) bool { return true })
		var rows []book.Row
		type damage struct{ expected, found string }
		want := map[[2]string]damage{}
		_, err := whole.Dump(t.Context(), func(r book.Row) error {
			key := [2]string{string(r.Kind), r.Key}
			switch rapid.IntRange(0, 9).Draw(rt, "damage") {
			case 0:
				want[key] = damage{expected: r.Value, found: "(none)"}
			case 1:
				rows = append(rows, book.Row{Kind: r.Kind, Key: r.Key, Value: r.Value + "x"})
				want[key] = damage{r.Value, r.Value + "x"}
			case 2:
				rows = append(rows, r, book.Row{Kind: r.Kind, Key: r.Key + "\x00", Value: "extra"})
				want[[2]string{string(r.Kind), r.Key + "\x00"}] = damage{"(none)", "extra"}
			default:
				rows = append(rows, r)
			}
			return nil
		})
		require.NoError(rt, err)

		dump, err := proof.Take(t.Context(), damaged{whole, rows})
		require.NoError(rt, err)
		defer func() { require.NoError(rt, dump.Close()) }()
		require.Equal(rt, len(rows), dump.Rows)
		require.EqualValues(rt, 7, dump.At.Sequence)
		got := map[[2]string]damage{}
		err = dump.Compare(t.Context(), kinds, rapid.IntRange(1, 5).Draw(rt, "parts"), func(_ context.Context, only func(*events.Event) bool) (projector.Tier, error) {
			return fold(only), nil
		}, func(d proof.Difference) error {
			got[[2]string{string(d.Kind), d.Key}] = damage{text(d.Expected), text(d.Found)}
			return nil
		})
		require.NoError(rt, err)
		require.Equal(rt, want, got)
	})
}

func text(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}

func TestDigestAndNoFileLeft(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	rows := []book.Row{{Kind: book.KindHeldDays, Key: "a/b", Value: "1"}}
	take := func(rows []book.Row) string {
		d, err := proof.Take(t.Context(), damaged{memory.New(nil), rows})
		require.NoError(t, err)
		require.NoError(t, d.Close())
		return d.Digest()
	}
	require.Equal(t, take(rows), take(rows))
	require.NotEqual(t, take(rows), take([]book.Row{{Kind: book.KindHeldDays, Key: "a", Value: "b1"}}))
	left, err := filepath.Glob(filepath.Join(os.TempDir(), "tapedeck-dump-*"))
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, 1, proof.Parts(100, 1000))
	require.Equal(t, 3, proof.Parts(1001, 1000))
}
