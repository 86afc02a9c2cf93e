package proof

import (
	"context"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

// Difference is one row that a tier holds otherwise than the fold; nil is "no
// such row".
type Difference struct {
	Kind     book.Kind `json:"kind"`
	Key      string    `json:"key"`
	Expected *string   `json:"expected"`
	Found    *string   `json:"found"`
	// Sequence is the last event up to the checkpoint that is about the row; 0
	// when there is none, or nobody looked.
	Sequence uint64 `json:"sequence,omitempty"`
}

// Change is what makes the tier's row what it should be.
func (d Difference) Change() projector.Change {
	return projector.Change{Kind: d.Kind, Key: d.Key, Value: d.Expected}
}

// Reference folds the events up to the dump's checkpoint that only lets pass
// into a tier of the dump's kinds.
type Reference func(ctx context.Context, only func(*events.Event) bool) (projector.Tier, error)

// Parts is how many parts keep a book within the given bytes of memory, when
// the larger of dump and log has that many bytes. A folded bar takes about as
// much as its text, a folded trade half as much again; the rest is for reading
// and for the collector.
func Parts(bytes, memory int64) int { return int(max(1, (2*bytes+memory-1)/memory)) }

// Compare yields the differences of a dump from the fold, in the order of the
// rows within each part. The log is read once for each part.
func (d *Dump) Compare(ctx context.Context, kinds []book.Kind, parts int, fold Reference, yield func(Difference) error) error {
	split := splitter{uint64(parts), slices.Contains(kinds, book.KindTrade), slices.Contains(kinds, book.KindDeal)}
	for part := range split.parts {
		reference, err := fold(ctx, func(e *events.Event) bool { return split.event(e) == part })
		if err != nil {
			return err
		}
		if err := d.compare(ctx, kinds, reference, func(r book.Row) bool { return split.row(r) == part }, yield); err != nil {
			return err
		}
	}
	return nil
}

// compare merges the dump's rows of one part with the reference's, which come
// in the same order.
func (d *Dump) compare(ctx context.Context, kinds []book.Kind, reference projector.Tier, holds func(book.Row) bool, yield func(Difference) error) error {
	found := d.read()
	found.next(holds)
	extra := func() error {
		row := found.row
		found.next(holds)
		return yield(Difference{Kind: row.Kind, Key: row.Key, Found: &row.Value})
	}
	_, err := reference.Dump(ctx, func(want book.Row) error {
		for found.ok && order(kinds, found.row, want) < 0 {
			if err := extra(); err != nil {
				return err
			}
		}
		difference := Difference{Kind: want.Kind, Key: want.Key, Expected: &want.Value}
		if found.ok && order(kinds, found.row, want) == 0 {
			value := found.row.Value
			found.next(holds)
			if value == want.Value {
				return found.err
			}
			difference.Found = &value
		}
		if err := yield(difference); err != nil {
			return err
		}
		return found.err
	})
	for err == nil && found.ok {
		err = extra()
	}
	if err == nil {
		err = found.err
	}
	return err
}

func order(kinds []book.Kind, a, b book.Row) int {
	if a.Kind != b.Kind {
		return slices.Index(kinds, a.Kind) - slices.Index(kinds, b.Kind)
	}
	return strings.Compare(a.Key, b.Key)
}

// splitter deals events and rows out to parts, so that a part's rows come from
// the part's events alone. What can be many is spread: klines by stock, trades
// by sequence or, as deals, which are numbered, by account. All else needs each
// other and is in part 0, and so are trades and deals of a tier that has both.
type splitter struct {
	parts         uint64
	trades, deals bool
}

func (s splitter) event(e *events.Event) uint64 {
	switch d := e.Data.(type) {
	case *events.TradeRecorded:
		switch {
		case s.trades && s.deals:
			return 0
		case s.deals:
			return s.text(d.AccountID)
		}
		return e.Sequence % s.parts
	case *events.KlineRecorded:
		return s.text(d.StockCode)
	}
	return 0
}

func (s splitter) row(r book.Row) uint64 {
	if s.trades && s.deals && r.Kind != book.KindKline {
		return 0
	}
	owner, _, _ := strings.Cut(r.Key, "/")
	switch r.Kind {
	case book.KindTrade:
		sequence, _ := strconv.ParseUint(r.Key, 10, 64) // a key that is none is extra in any part
		return sequence % s.parts
	case book.KindDeal, book.KindKline:
		return s.text(owner)
	}
	return 0
}

func (s splitter) text(t string) uint64 { return uint64(crc32.ChecksumIEEE([]byte(t))) % s.parts }
