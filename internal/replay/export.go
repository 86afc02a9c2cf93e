package replay

import (
	"context"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

type exportCommand struct {
	Out           string   `help:"File to write; - is standard output. A name that ends in .gz is compressed (NDJSON and CSV)." required:"" placeholder:"FILE"`
	Format        string   `help:"Format: ${enum}; by default what the file's name ends in, else ndjson. NDJSON lines are the log's own bytes; CSV and Parquet have one row an event, and with a single --type its data's fields as columns." enum:",ndjson,csv,parquet" default:""`
	SinceSequence uint64   `help:"Leave out events before this sequence." xor:"since" placeholder:"N"`
	SinceTime     string   `help:"Leave out events whose own time is before this one; a bare date means the start of that day in Shanghai." xor:"since" placeholder:"TIME"`
	Account       []string `help:"Only events about this account; may be given several times." placeholder:"ID"`
	Type          []string `help:"Only events of this type, or of those that a pattern such as trade.* matches; may be given several times." placeholder:"TYPE"`
	Force         bool     `help:"Replace the file if it exists."`
	boundFlags
}

type exportAnswer struct {
	Out    string `json:"out"`
	Format string `json:"format"`
	Bound  string `json:"bound"`
	Events uint64 `json:"events"`
	// Bytes and SHA256 are of the file as it was written.
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
	// First and Last are the sequences of the first and the last exported
	// event; 0 when there is none.
	First uint64 `json:"first_sequence"`
	Last  uint64 `json:"last_sequence"`
	// LogSequence is how far the log was read, Chain its chain value there.
	LogSequence uint64 `json:"log_sequence"`
	Chain       string `json:"chain"`
}

// Run implements the command. The file appears whole or not at all.
func (c exportCommand) Run(e *Env) error {
	bound, err := c.bound()
	if err != nil {
		return err
	}
	filter, err := c.filter()
	if err != nil {
		return err
	}
	answer := exportAnswer{Out: c.Out, Format: c.format()}
	if answer.Format == formatParquet && strings.HasSuffix(c.Out, ".gz") {
		return usage("--out %s: Parquet is compressed already: leave .gz away", c.Out)
	}
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	out := e.Out
	if c.Out == stdout {
		// Standard output is the file's: what else is said goes elsewhere.
		told := *e
		told.Out = e.Err
		e = &told
	}
	file, err := createExport(c.Out, out, c.Force)
	if err != nil {
		return err
	}
	defer file.discard()
	rows, err := newEventWriter(answer.Format, file, filter.single())
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	at, err := e.export(log, bound, filter, rows, &answer)
	if err != nil {
		return fmt.Errorf("export to %s: %w", c.Out, err)
	}
	if err := rows.close(); err != nil {
		return fmt.Errorf("export to %s: %w", c.Out, err)
	}
	if answer.Bytes, answer.SHA256, err = file.commit(); err != nil {
		return fmt.Errorf("export to %s: %w", c.Out, err)
	}
	answer.Bound, answer.LogSequence, answer.Chain = describe(bound, at.Sequence), at.Sequence, at.Chain.String()
	return e.print(answer, answer.text)
}

// export plays the log into rows.
func (e *Env) export(log *eventlog.Log, bound projector.Bound, filter *exportFilter, rows eventWriter, answer *exportAnswer) (eventlog.Checkpoint, error) {
	var at eventlog.Checkpoint
	info, err := log.Info(e.Context)
	if err != nil {
		return at, fmt.Errorf("ask the log for its end: %w", err)
	}
	last, err := endOf(bound, info.Last)
	if err != nil {
		return at, err
	}
	if filter.sinceSequence > last {
		return at, usage("--since-sequence %d lies beyond the last event to be read, %d", filter.sinceSequence, last)
	}
	frames, err := log.Read(e.Context, at, eventlog.ReadOptions{})
	if err != nil {
		return at, fmt.Errorf("read log: %w", err)
	}
	defer frames.Close()
	bar := e.progress("exporting", int64(last))
	defer bar.Close()
	tape := &tape{frames: frames}
	sink := &exportTier{Tier: memory.New(nil), tape: tape, filter: filter, rows: rows, answer: answer}
	player := projector.Player{Bound: bound, Observe: bar}
	if at, err = player.Play(e.Context, tape, sink, at); err != nil {
		return at, err
	}
	return at, filter.unseen()
}

// endOf is the last sequence that a replay up to a bound reads, given the
// log's.
func endOf(bound projector.Bound, last uint64) (uint64, error) {
	if bound.UntilSequence > last {
		return 0, usage("--until-sequence %d lies beyond the log's end, %d", bound.UntilSequence, last)
	}
	if bound.UntilSequence > 0 {
		last = bound.UntilSequence
	}
	return last, nil
}

func (c exportCommand) format() string {
	if c.Format != "" {
		return c.Format
	}
	switch filepath.Ext(strings.TrimSuffix(c.Out, ".gz")) {
	case ".csv":
		return formatCSV
	case ".parquet":
		return formatParquet
	}
	return formatNDJSON
}

func (c exportCommand) filter() (*exportFilter, error) {
	f := &exportFilter{sinceSequence: c.SinceSequence}
	var err error
	if f.sinceTime, err = parseStart("--since-time", c.SinceTime); err != nil {
		return nil, err
	}
	if len(c.Account) > 0 {
		f.accounts = make(map[string]bool)
		for _, id := range c.Account {
			f.accounts[id] = false
		}
	}
	for _, pattern := range c.Type {
		found := false
		for _, data := range payloads {
			ok, err := path.Match(pattern, string(data.Type()))
			if err != nil {
				return nil, usage("--type %s: %v", pattern, err)
			}
			if found = found || ok; ok && !slices.Contains(f.types, data.Type()) {
				f.types = append(f.types, data.Type())
			}
		}
		if !found {
			return nil, usage("--type %s: there is no such type of event, but %s", pattern, payloadTypes())
		}
	}
	return f, nil
}

// parseStart is parseMoment for the first moment of a span: a bare date is the
// start of its day.
func parseStart(flag, text string) (time.Time, error) {
	if t, err := time.ParseInLocation(time.DateOnly, text, events.Zone); err == nil {
		return t, nil
	}
	return parseMoment(flag, text)
}

// exportFilter says which events are exported.
type exportFilter struct {
	sinceSequence uint64
	sinceTime     time.Time
	// accounts tells of each wanted account whether the log knows it; nil is
	// every event.
	accounts map[string]bool
	types    []events.Type // empty: all
}

func (f *exportFilter) admits(e *events.Event) bool {
	if f.accounts != nil {
		account := book.AccountOf(e.Data)
		if _, wanted := f.accounts[account]; !wanted {
			return false
		}
		f.accounts[account] = true
	}
	return e.Sequence >= f.sinceSequence &&
		!e.Time.Before(f.sinceTime) &&
		(len(f.types) == 0 || slices.Contains(f.types, e.Type()))
}

// single is the one type that is exported, or "".
func (f *exportFilter) single() events.Type {
	if len(f.types) == 1 {
		return f.types[0]
	}
	return ""
}

// unseen refuses an account that no event is about: it is a slip of the pen.
func (f *exportFilter) unseen() error { return unknownAccounts(f.accounts) }

func unknownAccounts(seen map[string]bool) error {
	var missing []string
	for id, ok := range seen {
		if !ok {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	slices.Sort(missing)
	return usage("--account %s: no event up to there is about it", strings.Join(missing, ", "))
}

// exportTier is a tier that writes events down.
type exportTier struct {
	*memory.Tier
	tape   *tape
	filter *exportFilter
	rows   eventWriter
	answer *exportAnswer
}

// Name implements projector.Tier.
func (t *exportTier) Name() string { return "export" }

// Apply implements projector.Tier.
func (t *exportTier) Apply(_ context.Context, b projector.Batch) error {
	for _, e := range b.Events {
		if !t.filter.admits(e) {
			continue
		}
		if err := t.rows.write(e, t.tape.line(e.Sequence)); err != nil {
			return fmt.Errorf("event %d: %w", e.Sequence, err)
		}
		if t.answer.Events++; t.answer.First == 0 {
			t.answer.First = e.Sequence
		}
		t.answer.Last = e.Sequence
	}
	t.tape.forget(b.To.Sequence)
	return nil
}

func (a exportAnswer) text(w io.Writer) {
	if a.Events == 0 {
		fmt.Fprintf(w, "%s: no event passed the filters; log read up to sequence %d\n", a.Out, a.LogSequence)
		return
	}
	fmt.Fprintf(w, "%s: %d events (%d to %d), %s, %d bytes, sha256 %s\n", a.Out, a.Events, a.First, a.Last, a.Format, a.Bytes, a.SHA256)
	fmt.Fprintf(w, "%s, log read up to sequence %d, chain %s\n", a.Bound, a.LogSequence, a.Chain)
}
