package proof

import (
	"fmt"
	"strings"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
)

// Explainer finds for each difference the last event that is about its row.
type Explainer struct {
	differences []Difference
	// bySubject are the differences that an event of a subject's id may be
	// about; a trade's row is known by its event's sequence.
	bySubject map[string][]int
	// deals counts each account's trades, for a deal is known by its ordinal.
	deals map[string]int
}

// NewExplainer is an Explainer that fills in Sequence.
func NewExplainer(differences []Difference) *Explainer {
	x := &Explainer{differences, map[string][]int{}, map[string]int{}}
	for i, d := range differences {
		owner, part, _ := strings.Cut(d.Key, "/")
		switch d.Kind {
		case book.KindBinding:
			owner = part
		case book.KindDeal:
			owner = d.Key
		}
		x.bySubject[owner] = append(x.bySubject[owner], i)
	}
	return x
}

// See looks at the next event of the log.
func (x *Explainer) See(e *events.Event) {
	_, subject, _ := strings.Cut(e.Data.Subject(), "/")
	ids := []string{subject}
	if d, ok := e.Data.(*events.TradeRecorded); ok {
		x.deals[d.AccountID]++
		ids = append(ids, fmt.Sprintf("%020d", e.Sequence), fmt.Sprintf("%s/%010d", d.AccountID, x.deals[d.AccountID]))
	}
	for _, id := range ids {
		for _, i := range x.bySubject[id] {
			if d := &x.differences[i]; book.Concerns(e, d.Kind, d.Key) {
				d.Sequence = e.Sequence
			}
		}
	}
}
