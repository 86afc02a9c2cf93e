package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/phase"
)

type phaseCommand struct {
	Phase   string        `arg:"" optional:"" help:"Phase to put the account into: shadow, dual or tiers. Without one all accounts are shown." enum:",shadow,dual,tiers" default:""`
	Account string        `help:"The account to put into the phase, or the only one to look at." placeholder:"ID"`
	Force   bool          `help:"Switch although something keeps the account from it. ingest logs what."`
	Check   bool          `help:"Only tell what is amiss with accounts in phase dual, by the exit code, too."`
	Within  time.Duration `help:"How long --check waits for a folder that is being written to be in step." default:"10s"`
}

// Help says what the flags cannot.
func (phaseCommand) Help() string {
	return `An account goes from its strategy's files to the tiers in three phases, one step at a time, and back: shadow (files are the truth), dual (the same, and readers may read tiers), tiers (the strategy publishes; nothing more is recorded out of its folder). ingest keeps the phase and lets nobody pass whose folder is not in step with the log; forward steps also ask for the last replay reconcile, and for the console's comparison of tiers and log.

  replay phase
  replay phase dual --account 55009728
  replay phase --check || alarm

Exit codes: 0 fine, 1 something keeps the account from the phase (or --check found something), 2 wrong usage, 3 ingest can't be reached.`
}

// accountPhase is how an account stands, for ingest and for the console.
type accountPhase struct {
	phase.Status
	Comparison string `json:"comparison"`
}

type phaseAnswer struct {
	Phases     []accountPhase `json:"phases"`
	Comparison comparison     `json:"comparison"`
}

// Run implements the command.
func (c phaseCommand) Run(e *Env) error {
	switch {
	case c.Check && (c.Phase != "" || c.Force):
		return usage("--check only looks: leave the phase and --force away")
	case c.Force && c.Phase == "":
		return usage("--force goes with a phase: replay phase dual --account ID --force")
	case c.Phase != "" && c.Account == "":
		return usage("name the account: replay phase %s --account ID", c.Phase)
	case c.Check:
		return c.check(e)
	case c.Phase != "":
		return c.switchTo(e, phase.Phase(c.Phase))
	}
	statuses, err := c.phases(e)
	if err != nil {
		return err
	}
	answer := phaseAnswer{Phases: []accountPhase{}, Comparison: e.comparison()}
	now := time.Now()
	for _, s := range statuses {
		for i := range s.Steps {
			s.Steps[i].Holds = append(s.Steps[i].Holds, comparisonHolds(answer.Comparison, s, s.Steps[i].To, now)...)
		}
		answer.Phases = append(answer.Phases, accountPhase{s, answer.Comparison.word(s.Account, now)})
	}
	return e.print(answer, answer.text)
}

// phases asks ingest how the accounts stand that are asked for.
func (c phaseCommand) phases(e *Env) ([]phase.Status, error) {
	status, text, err := e.call(e.ingest(), http.MethodGet, "/v1/phases", nil)
	if err != nil {
		return nil, fmt.Errorf("ask ingest for the phases (is it running? set --ingest-url or TAPEDECK_INGEST_URL): %w", err)
	}
	var all struct {
		Phases []phase.Status `json:"phases"`
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("ask ingest for the phases: %s", refusalOf(status, text))
	}
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("ask ingest for the phases: its answer cannot be read: %w", err)
	}
	if c.Account != "" {
		all.Phases = slices.DeleteFunc(all.Phases, func(s phase.Status) bool { return s.Account != c.Account })
		if len(all.Phases) == 0 {
			return nil, usage("account %[1]s is in no phase, and no folder of it is watched: start ingest with --watch DIR=%[1]s", c.Account)
		}
	}
	return all.Phases, nil
}

// comparisonHolds is what the comparison keeps an account from. The way back
// asks for nothing of the tiers.
func comparisonHolds(c comparison, s phase.Status, to phase.Phase, now time.Time) []phase.Hold {
	if len(s.Steps) == 0 || s.Steps[0].To != to || s.Phase == phase.Tiers {
		return nil
	}
	return c.holds(s.Account, to, now)
}

// refusalOf is what a service said against a request.
func refusalOf(status int, text []byte) string {
	var p events.Problem
	if json.Unmarshal(text, &p) == nil && p.Detail != "" {
		return p.Detail
	}
	return fmt.Sprintf("%d %s: %.1000s", status, http.StatusText(status), text)
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.In(events.Zone).Format(time.DateTime)
}

func (a phaseAnswer) text(w io.Writer) {
	if len(a.Phases) == 0 {
		fmt.Fprintln(w, "no account is watched, and none was put into a phase (ingest --watch DIR=ACCOUNT)")
		return
	}
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "ACCOUNT\tPHASE\tSINCE\tIN STEP\tRECONCILIATION\tTIERS\tNEXT STEP")
	for _, p := range a.Phases {
		next := "-"
		if len(p.Steps) > 0 {
			next = string(p.Steps[0].To) + gatesWord(p.Steps[0].Holds)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Account, p.Phase, clock(p.Since), stepWord(p.Folder), reconciliationWord(p.Reconciliation), p.Comparison, next)
	}
	table.Flush()
	for _, p := range a.Phases {
		if len(p.Steps) > 0 && len(p.Steps[0].Holds) > 0 {
			fmt.Fprintf(w, "\n%s stays in %s:\n", p.Account, p.Phase)
			printHolds(w, p.Steps[0].Holds)
		}
	}
	if a.Comparison.Missing != "" {
		fmt.Fprintf(w, "\ntiers and log are not compared: %s\n", a.Comparison.Missing)
	}
}

func printHolds(w io.Writer, holds []phase.Hold) {
	for _, h := range holds {
		fmt.Fprintf(w, "  %s: %s\n    %s\n", h.Gate, h.Reason, h.Remedy)
	}
}

func gatesWord(holds []phase.Hold) string {
	if len(holds) == 0 {
		return ": nothing keeps it"
	}
	var gates []string
	for _, h := range holds {
		if !slices.Contains(gates, h.Gate) {
			gates = append(gates, h.Gate)
		}
	}
	return ": kept by " + strings.Join(gates, ", ")
}

func stepWord(f phase.Folder) string {
	word := "no"
	switch {
	case f.Dir == "":
		return "not watched"
	case f.InStep:
		word = "yes"
	case f.Drifts > 0:
		word = fmt.Sprintf("no, %d drifts", f.Drifts)
	}
	if !f.Following {
		word += " (not followed)"
	}
	return word
}

func reconciliationWord(r *phase.Reconciliation) string {
	if r == nil {
		return "none"
	}
	return fmt.Sprintf("%d breaks at %d, %s", r.Breaks, r.Sequence, clock(r.ComparedAt))
}
