package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

type auditCommand struct{}

type auditAnswer struct {
	Events uint64 `json:"events"`
	Frames int    `json:"frames"`
	Chain  string `json:"chain"`
	// Anchors are the tiers whose checkpoints were found on the log.
	Anchors []string `json:"anchors"`
}

// Run implements the command: every frame's sequence, count and chain value
// are proved from the first event on, then each configured tier's checkpoint
// is looked up, so that a log cut short and grown again is caught.
func (auditCommand) Run(e *Env) error {
	log, err := e.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	answer := auditAnswer{Anchors: []string{}}
	if err := e.walk(log, &answer); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	if err := e.askIngest(); err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	for _, name := range e.CLI.configured() {
		if err := e.auditAnchor(log, name); err != nil {
			return fmt.Errorf("audit: checkpoint of tier %s: %w", name, err)
		}
		answer.Anchors = append(answer.Anchors, name)
	}
	return e.print(answer, func(w io.Writer) {
		fmt.Fprintf(w, "log proved: %d events in %d frames, chain %s; anchors of %d tiers found on it\n", answer.Events, answer.Frames, answer.Chain, len(answer.Anchors))
	})
}

func (e *Env) walk(log *eventlog.Log, answer *auditAnswer) error {
	info, err := log.Info(e.Context)
	if err != nil {
		return err
	}
	frames, err := log.Read(e.Context, eventlog.Checkpoint{}, eventlog.ReadOptions{})
	if err != nil {
		return err
	}
	defer frames.Close()
	bar := e.progress("auditing", int64(info.Last))
	defer bar.Close()
	for {
		frame, err := frames.Next(e.Context)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		answer.Events, answer.Chain = frame.Last(), frame.Chain.String()
		answer.Frames++
		bar.add(int64(frame.Count))
	}
}

// askIngest asks the log's only writer, which remembers the last acknowledged
// sequence outside the log, whether the log still reaches it. An ingest that
// does not run cannot be asked.
func (e *Env) askIngest() error {
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.CLI.IngestURL+"/readyz", nil)
	if err != nil {
		return usage("--ingest-url %s: %v", settings.Redact(e.CLI.IngestURL), err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Fprintf(e.Err, "ingest at %s was not asked for its anchor: %v\n", settings.Redact(e.CLI.IngestURL), err)
		return nil
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusOK {
		return nil
	}
	reason, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return fmt.Errorf("ask ingest for its anchor: %w", err)
	}
	fmt.Fprintf(e.Err, "ingest does not go on with this log: %s\n", reason)
	return ErrDifferences
}

func (e *Env) auditAnchor(log *eventlog.Log, name string) error {
	tier, err := e.openTier(name)
	if err != nil {
		return err
	}
	defer tier.Close()
	at, err := tier.Checkpoint(e.Context)
	if err != nil {
		return err
	}
	return proveAnchor(e.Context, log, at)
}
