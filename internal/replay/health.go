package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

type healthCommand struct {
	MaxLag time.Duration `help:"A tier further behind than this is degraded." default:"5s"`
}

// The states of a component.
const (
	stateOK       = "ok"
	stateDegraded = "degraded" // it works, and somebody should look
	stateDown     = "down"     // it cannot be reached, or stopped for good
)

type component struct {
	Component string `json:"component"`
	State     string `json:"state"`
	Detail    string `json:"detail"`
}

type healthAnswer struct {
	State      string      `json:"state"`
	Components []component `json:"components"`
}

// errDown ends a command that found a component down.
var errDown = errors.New("a component is down")

// Run implements the command. It exits with 0 when all is ok, 1 when something
// is degraded, 3 when something is down.
func (c healthCommand) Run(e *Env) error {
	answer := healthAnswer{State: stateOK}
	add := func(name, state, detail string) {
		answer.Components = append(answer.Components, component{name, state, detail})
		if state == stateDown || answer.State == stateOK {
			answer.State = state
		}
	}
	state, detail := e.ingestHealth()
	add("ingest", state, detail)
	log, err := e.openLog()
	if err != nil {
		add("log", stateDown, err.Error())
	} else {
		defer log.Close()
		c.overLog(e, log, add)
	}
	if err := e.print(answer, answer.text); err != nil {
		return err
	}
	switch answer.State {
	case stateDown:
		return errDown
	case stateDegraded:
		return ErrDifferences
	}
	return nil
}

// overLog looks at what takes the log to look at.
func (c healthCommand) overLog(e *Env, log *eventlog.Log, add func(name, state, detail string)) {
	info, err := log.Info(e.Context)
	if err != nil {
		add("log", stateDown, err.Error())
		return
	}
	add("log", stateOK, fmt.Sprintf("events %d to %d", info.First, info.Last))
	for _, name := range e.CLI.configured() {
		status, err := e.tierStatus(log, info, name)
		switch {
		case err != nil:
			add(name, stateDown, err.Error())
		case status.Held != "":
			add(name, stateDegraded, fmt.Sprintf("held at sequence %d: %s", status.Checkpoint, status.Held))
		case len(status.Parked) > 0:
			add(name, stateDegraded, fmt.Sprintf("%d subjects parked: replay parked list --tier %s", len(status.Parked), name))
		case status.LagSeconds > c.MaxLag.Seconds():
			add(name, stateDegraded, fmt.Sprintf("%d events and %.1f s behind: is projector-%s running?", status.LagEvents, status.LagSeconds, name))
		default:
			add(name, stateOK, fmt.Sprintf("at sequence %d, %d events behind", status.Checkpoint, status.LagEvents))
		}
	}
}

// ingestHealth asks ingest whether it accepts events.
func (e *Env) ingestHealth() (state, detail string) {
	ready, reason, err := e.askIngest()
	switch {
	case err != nil:
		return stateDown, err.Error()
	case !ready:
		return stateDegraded, reason
	}
	return stateOK, "accepts events"
}

// askIngest asks ingest whether it goes on with its log; if not, why. An error
// tells that it did not answer.
func (e *Env) askIngest() (ready bool, reason string, err error) {
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.CLI.IngestURL+"/readyz", nil)
	if err != nil {
		return false, "", usage("--ingest-url %s: %v", settings.Redact(e.CLI.IngestURL), err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, "", fmt.Errorf("ask ingest: %w", err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 1<<16))
	if err != nil {
		return false, fmt.Sprintf("its answer breaks off: %v", err), nil
	}
	return answer.StatusCode == http.StatusOK, strings.TrimSpace(string(text)), nil
}

func (a healthAnswer) text(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "COMPONENT\tSTATE\tDETAIL")
	for _, c := range a.Components {
		fmt.Fprintf(table, "%s\t%s\t%s\n", c.Component, c.State, c.Detail)
	}
	table.Flush()
}
