package replay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

type importCommand struct {
	Path      string `arg:"" help:"Cache folder of a strategy, or a file of events: one JSON a line, or an export as CSV or Parquet."`
	Account   string `help:"Account that the folder belongs to (required for a folder)." placeholder:"ID"`
	Broker    string `help:"Broker of an account that the log does not know yet; by default GM for a UUID, else QMT." enum:",QMT,GM,TDX" default:""`
	Daily     string `help:"Folder of daily klines, <code>.csv each." type:"existingdir" placeholder:"DIR"`
	Overwrite bool   `help:"Make the log's positions and balances equal the folder's even where the log may be newer; without it they are left alone, and told."`
	Rejects   string `help:"File that lists what was refused: file, line, reason, text; by default import-rejects-<account>.csv in the current folder." placeholder:"FILE"`
}

type importAnswer struct {
	Path     string `json:"path"`
	Events   int    `json:"events"`
	Appended int    `json:"appended"`
	// Known events were on the log already, or change nothing.
	Known int `json:"known"`
	// Withheld events would turn positions or balances back: the log may be
	// newer than the folder.
	Withheld int    `json:"withheld"`
	Flagged  int    `json:"flagged"`
	Rejected int    `json:"rejected"`
	Rejects  string `json:"rejects_file,omitempty"`
	Sequence uint64 `json:"last_sequence"`
}

// importBatch is how many events one request to ingest carries.
const importBatch = 500

// Help says what the flags cannot.
func (importCommand) Help() string {
	return `A row of deal_hist.csv or assets.csv that the log holds, whichever way it came there, is not recorded again; nor is what changes no position. Where the log's positions are newer than the folder, or it has another balance of a day, the log's are left alone: what would turn them back is counted as withheld, and the exit code is 1. --overwrite records it all the same.`
}

// Run implements the command. Ids come from the content alone, so running it
// again, also after a crash in the middle, adds only what is missing.
func (c importCommand) Run(e *Env) (err error) {
	stat, err := os.Stat(c.Path)
	if err != nil {
		return usage("import: %v", err)
	}
	switch {
	case stat.IsDir() && c.Account == "":
		return usage("import of a folder needs --account")
	case !stat.IsDir() && c.Overwrite:
		return usage("--overwrite is for a folder: the events of a file are what they are")
	}
	var account *taped
	if stat.IsDir() {
		account = newTaped(c.Path, c.Account)
	}
	known, err := e.readKnown(account)
	if err != nil {
		return err
	}
	publisher, err := e.publisher()
	if err != nil {
		return err
	}
	bar := e.progress("importing", -1)
	defer bar.Close()
	run := &importRun{
		env: e, known: known, publisher: publisher, bar: bar,
		answer:  importAnswer{Path: c.Path},
		rejects: rejectsFile{path: c.rejectsPath()},
	}
	defer func() { err = errors.Join(err, publisher.Close(e.Context), run.rejects.close()) }()
	if account != nil {
		options := silverquant.ImportOptions{CreateAccount: !account.created, Broker: c.Broker, DailyDir: c.Daily, Open: account.open()}
		if c.Overwrite {
			options.After = account.last
		}
		err = run.all(account.missing(folderInputs(c.Path, c.Account, options), known, &run.answer, c.Overwrite))
	} else {
		err = run.all(fileInputs(c.Path))
	}
	if err != nil {
		return fmt.Errorf("import %s: after %d events appended (run it again to go on): %w", c.Path, run.answer.Appended, err)
	}
	if run.answer.Rejected > 0 {
		run.answer.Rejects = run.rejects.path
	}
	if err := e.print(run.answer, run.answer.text); err != nil {
		return err
	}
	if run.answer.Rejected+run.answer.Withheld > 0 {
		return ErrDifferences
	}
	return nil
}

func (c importCommand) rejectsPath() string {
	if c.Rejects != "" {
		return c.Rejects
	}
	if c.Account != "" {
		return "import-rejects-" + c.Account + ".csv"
	}
	return "import-rejects-" + filepath.Base(c.Path) + ".csv"
}

// importRun sends events in requests and counts their fates.
type importRun struct {
	env       *Env
	known     *knownEvents
	answer    importAnswer
	rejects   rejectsFile
	publisher *events.Publisher
	bar       *progress
	batch     []input
}

// all sends what the inputs yield; an error that is a *silverquant.Reject is
// listed, any other ends the import.
func (r *importRun) all(inputs inputs) error {
	for in, err := range inputs {
		var reject *silverquant.Reject
		switch {
		case errors.As(err, &reject):
			if err := r.reject(reject); err != nil {
				return err
			}
			continue
		case err != nil:
			return usage("%v", err)
		}
		r.answer.Events++
		if r.known.has(in.event) {
			r.answer.Known++
			continue
		}
		r.batch = append(r.batch, in)
		if len(r.batch) == importBatch {
			if err := r.send(); err != nil {
				return err
			}
		}
	}
	return r.send()
}

// send publishes the batch and counts what became of each event.
func (r *importRun) send() error {
	batch := make([]*events.Event, len(r.batch))
	for i, in := range r.batch {
		batch[i] = in.event
	}
	receipts, err := r.publisher.PublishBatch(r.env.Context, batch, false)
	rejected, err := rejections(err)
	if err != nil {
		return err
	}
	for i, receipt := range receipts {
		in := r.batch[i]
		if why, ok := rejected[i]; ok {
			text, _ := in.event.AppendJSON(nil) // it was encoded to be sent
			if err := r.reject(&silverquant.Reject{File: in.file, Line: in.line, Reason: why.Err.Error(), Text: string(text)}); err != nil {
				return err
			}
			continue
		}
		switch {
		case receipt.Duplicate || !receipt.WasApplied():
			r.answer.Known++
		default:
			r.answer.Appended++
		}
		if len(receipt.Flags) > 0 {
			r.answer.Flagged++
		}
		r.answer.Sequence = max(r.answer.Sequence, receipt.Sequence)
	}
	r.bar.add(int64(len(r.batch)))
	r.batch = r.batch[:0]
	return nil
}

// rejections sorts the single events' rejections from an error that is about
// the whole batch.
func rejections(err error) (map[int]*events.RejectedError, error) {
	rejected := make(map[int]*events.RejectedError)
	faults := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // the joined parts are wanted
		faults = joined.Unwrap()
	}
	var other []error
	for _, fault := range faults {
		var one *events.RejectedError
		if errors.As(fault, &one) {
			rejected[one.Index] = one
		} else if fault != nil {
			other = append(other, fault)
		}
	}
	return rejected, errors.Join(other...)
}

func (r *importRun) reject(why *silverquant.Reject) error {
	r.answer.Rejected++
	return r.rejects.add(why)
}

// leaveOut counts events that are not sent.
func (a *importAnswer) leaveOut(why fate, count int) {
	a.Events += count
	if why == turnsBack {
		a.Withheld += count
	} else {
		a.Known += count
	}
}

func (a importAnswer) text(w io.Writer) {
	fmt.Fprintf(w, "%s: %d events: %d appended, %d known already, %d flagged (outside the trading session), %d rejected\n",
		a.Path, a.Events, a.Appended, a.Known, a.Flagged, a.Rejected)
	if a.Withheld > 0 {
		fmt.Fprintf(w, "%d withheld, for they would turn positions or balances back that the log has later or otherwise: --overwrite makes the log equal the folder\n", a.Withheld)
	}
	if a.Rejected > 0 {
		fmt.Fprintf(w, "what was rejected, and why: %s\n", a.Rejects)
	}
}
