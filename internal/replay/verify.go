package replay

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

type verifyCommand struct {
	Tier string `help:"Tier to verify: redis, file or all." enum:"redis,file,all" default:"all"`
}

type verifyAnswer struct {
	Tier        string       `json:"tier"`
	Sequence    uint64       `json:"sequence"`
	Rows        int          `json:"rows"`
	Equal       bool         `json:"equal"`
	Differences []difference `json:"differences"`
}

// difference is one row that a tier holds otherwise than the fold; nil is "no
// such row".
type difference struct {
	Kind     book.Kind `json:"kind"`
	Key      string    `json:"key"`
	Expected *string   `json:"expected"`
	Found    *string   `json:"found"`
}

// Run implements the command.
func (c verifyCommand) Run(e *Env) error {
	names, err := e.CLI.selectTiers(c.Tier)
	if err != nil {
		return err
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	equal := true
	for _, name := range names {
		tier, err := e.openTier(name)
		if err != nil {
			return fmt.Errorf("open tier %s: %w", name, err)
		}
		answer, err := e.verify(log, tier)
		tier.Close()
		if err != nil {
			return fmt.Errorf("verify %s: %w", name, err)
		}
		equal = equal && answer.Equal
		if err := e.print(answer, answer.text); err != nil {
			return err
		}
	}
	if !equal {
		return ErrDifferences
	}
	return nil
}

func (e *Env) verify(log *eventlog.Log, tier projector.Tier) (verifyAnswer, error) {
	answer := verifyAnswer{Tier: tier.Name(), Differences: []difference{}}
	var found []book.Row
	at, err := tier.Dump(e.Context, collect(&found))
	if err != nil {
		return answer, err
	}
	if err := proveAnchor(e.Context, log, at); err != nil {
		return answer, err
	}
	reference := memory.New(tier.Kinds())
	if at.Sequence > 0 {
		if _, err := e.play(e.Context, log, reference, projector.Bound{UntilSequence: at.Sequence}); err != nil {
			return answer, err
		}
	}
	var expected []book.Row
	if _, err := reference.Dump(e.Context, collect(&expected)); err != nil {
		return answer, err
	}
	answer.Sequence, answer.Rows = at.Sequence, len(expected)
	answer.Differences = compare(tier.Kinds(), expected, found)
	answer.Equal = len(answer.Differences) == 0
	return answer, nil
}

func collect(rows *[]book.Row) func(book.Row) error {
	return func(r book.Row) error {
		*rows = append(*rows, r)
		return nil
	}
}

// compare merges two dumps of the same order.
func compare(kinds []book.Kind, expected, found []book.Row) []difference {
	rank := make(map[book.Kind]int, len(kinds))
	for i, kind := range kinds {
		rank[kind] = i
	}
	order := func(a, b book.Row) int {
		if d := rank[a.Kind] - rank[b.Kind]; d != 0 {
			return d
		}
		switch {
		case a.Key < b.Key:
			return -1
		case a.Key > b.Key:
			return 1
		}
		return 0
	}
	differences := []difference{}
	for len(expected) > 0 || len(found) > 0 {
		switch {
		case len(found) == 0 || len(expected) > 0 && order(expected[0], found[0]) < 0:
			row := expected[0]
			differences = append(differences, difference{row.Kind, row.Key, &row.Value, nil})
			expected = expected[1:]
		case len(expected) == 0 || order(expected[0], found[0]) > 0:
			row := found[0]
			differences = append(differences, difference{row.Kind, row.Key, nil, &row.Value})
			found = found[1:]
		default:
			want, got := expected[0], found[0]
			if want.Value != got.Value {
				differences = append(differences, difference{want.Kind, want.Key, &want.Value, &got.Value})
			}
			expected, found = expected[1:], found[1:]
		}
	}
	return differences
}

func (a verifyAnswer) text(w io.Writer) {
	if a.Equal {
		fmt.Fprintf(w, "%s equals the log at sequence %d: %d rows\n", a.Tier, a.Sequence, a.Rows)
		return
	}
	fmt.Fprintf(w, "%s differs from the log at sequence %d in %d of %d rows:\n", a.Tier, a.Sequence, len(a.Differences), a.Rows)
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "KIND\tKEY\tEXPECTED\tFOUND")
	for _, d := range a.Differences {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", d.Kind, d.Key, orNone(d.Expected), orNone(d.Found))
	}
	table.Flush()
	fmt.Fprintf(w, "mend it with: replay rebuild --tier %s\n", a.Tier)
}

func orNone(s *string) string {
	if s == nil {
		return "(none)"
	}
	return *s
}
