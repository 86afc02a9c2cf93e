package replay

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/phase"
)

type switchAnswer struct {
	Account string      `json:"account"`
	From    phase.Phase `json:"from"`
	To      phase.Phase `json:"to"`
	// InPhase tells that the account is in phase To now.
	InPhase bool `json:"in_phase"`
	// Holds are what keeps the account from it, or what --force went over.
	Holds []phase.Hold `json:"holds"`
	Hint  string       `json:"hint,omitempty"`
}

// switchTo puts the account into a phase. What the console must say is asked
// here, for ingest knows no tiers; everything else ingest asks for itself.
func (c phaseCommand) switchTo(e *Env, to phase.Phase) error {
	known, err := c.phases(e)
	if err != nil {
		return err
	}
	s := known[0]
	answer := switchAnswer{Account: c.Account, From: s.Phase, To: to, Holds: []phase.Hold{}}
	if at := slices.IndexFunc(s.Steps, func(step phase.Step) bool { return step.To == to }); at >= 0 {
		compared := comparisonHolds(e.comparison(), s, to, time.Now())
		// What else is in the way is good to know at once.
		answer.Holds = append(append(answer.Holds, s.Steps[at].Holds...), compared...)
		if len(compared) > 0 && !c.Force {
			return answer.held(e)
		}
	}
	status, text, err := e.call(e.ingest(), http.MethodPut, "/v1/phases/"+url.PathEscape(c.Account), map[string]any{"phase": to, "force": c.Force})
	switch {
	case err != nil:
		return fmt.Errorf("put account %s into phase %s: %w", c.Account, to, err)
	case status == http.StatusConflict:
		var problem struct {
			Holds []phase.Hold `json:"holds"`
		}
		if err := json.Unmarshal(text, &problem); err != nil {
			return fmt.Errorf("put account %s into phase %s: %s", c.Account, to, refusalOf(status, text))
		}
		answer.Holds = problem.Holds
		return answer.held(e)
	case status == http.StatusNotFound, status == http.StatusUnprocessableEntity:
		return usage("put account %s into phase %s: %s", c.Account, to, refusalOf(status, text))
	case status != http.StatusOK:
		return fmt.Errorf("put account %s into phase %s: %s", c.Account, to, refusalOf(status, text))
	}
	if answer.InPhase, answer.Hint = true, e.phaseHint(answer.From, to); !c.Force {
		answer.Holds = []phase.Hold{} // they passed since ingest was asked
	}
	return e.print(answer, answer.text)
}

// phaseHint says what else belongs to a step: which tier readers read is a
// setting of the console for all accounts, and no account's phase changes it.
func (e *Env) phaseHint(from, to phase.Phase) string {
	primary := func(tier string) string {
		return fmt.Sprintf(`curl -X PUT %s/v1/settings/primary -H 'Content-Type: application/json' -d '{"positions":%q}'`, e.console().redacted(), tier)
	}
	switch {
	case from == to:
		return ""
	case to == phase.Tiers:
		return "nothing more is recorded out of the folder: start the strategy with its one line (silverquant.install() or Store)"
	case from == phase.Tiers:
		return "the folder is recorded again: take the strategy's one line away, or what it does is recorded twice"
	case to == phase.Dual:
		return "readers of all accounts go over one kind at a time: " + primary("auto")
	}
	return "readers read what they did before; back to the files, for all accounts: " + primary("file")
}

// held tells what keeps the account from the phase.
func (a switchAnswer) held(e *Env) error {
	if err := e.print(a, a.text); err != nil {
		return err
	}
	return ErrDifferences
}

func (a switchAnswer) text(w io.Writer) {
	switch {
	case !a.InPhase:
		fmt.Fprintf(w, "account %s stays in phase %s; what keeps it from %s:\n", a.Account, a.From, a.To)
		printHolds(w, a.Holds)
		return
	case a.From == a.To:
		fmt.Fprintf(w, "account %s is in phase %s already\n", a.Account, a.To)
		return
	}
	fmt.Fprintf(w, "account %s: %s, was %s\n", a.Account, a.To, a.From)
	if len(a.Holds) > 0 {
		fmt.Fprintln(w, "forced although")
		printHolds(w, a.Holds)
	}
	fmt.Fprintln(w, a.Hint)
}
