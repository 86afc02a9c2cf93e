package replay

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// input is one event to import and the place it comes from; line 0 is the
// file as a whole.
type input struct {
	event *events.Event
	file  string
	line  int
}

type inputs = iter.Seq2[input, error]

// folderInputs reads a strategy's cache folder.
func folderInputs(dir, account string, options silverquant.ImportOptions) inputs {
	return func(yield func(input, error) bool) {
		for event, err := range silverquant.ImportEvents(dir, account, options) {
			if !yield(input{event: event, file: dir}, err) {
				return
			}
		}
	}
}

// fileInputs reads a file of events in any format that readEventFile knows.
func fileInputs(path string) inputs {
	return func(yield func(input, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield(input{}, err)
			return
		}
		defer f.Close()
		texts, err := readEventFile(f)
		if err != nil {
			yield(input{}, fmt.Errorf("%s: %w", path, err))
			return
		}
		name := filepath.Base(path)
		for in, err := range texts {
			if err != nil {
				yield(input{}, fmt.Errorf("%s: %w", path, err))
				return
			}
			event, err := events.Decode(in.text)
			if err != nil {
				err = &silverquant.Reject{File: name, Line: in.line, Reason: err.Error(), Text: string(in.text)}
			}
			if !yield(input{event, name, in.line}, err) {
				return
			}
		}
	}
}

// rejectsFile lists what was refused; it is made with the first reject, anew.
type rejectsFile struct {
	path string
	file *os.File
	rows *csv.Writer
}

func (r *rejectsFile) add(why *silverquant.Reject) error {
	if r.file == nil {
		f, err := os.Create(r.path)
		if err != nil {
			return fmt.Errorf("rejects file: %w", err)
		}
		r.file, r.rows = f, csv.NewWriter(f)
		if err := r.rows.Write([]string{"file", "line", "reason", "text"}); err != nil {
			return fmt.Errorf("rejects file: %w", err)
		}
	}
	if err := r.rows.Write([]string{why.File, strconv.Itoa(why.Line), why.Reason, why.Text}); err != nil {
		return fmt.Errorf("rejects file: %w", err)
	}
	return nil
}

func (r *rejectsFile) close() error {
	if r.file == nil {
		return nil
	}
	r.rows.Flush()
	if err := errors.Join(r.rows.Error(), r.file.Close()); err != nil {
		return fmt.Errorf("rejects file: %w", err)
	}
	return nil
}

// publisher connects to ingest. A publisher retries for ever, so whether there
// is an ingest at all is asked first.
func (e *Env) publisher() (*events.Publisher, error) {
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.CLI.IngestURL+"/v1/log", nil)
	if err != nil {
		return nil, usage("--ingest-url %s: %v", settings.Redact(e.CLI.IngestURL), err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("reach ingest (is it running? set --ingest-url or TAPEDECK_INGEST_URL): %w", err)
	}
	answer.Body.Close()
	return events.NewPublisher(e.CLI.IngestURL, events.WithSessionPolicy("flag"))
}
