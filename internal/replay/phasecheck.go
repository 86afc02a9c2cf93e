package replay

import (
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/phase"
)

type checkAnswer struct {
	// Accounts are those in phase dual.
	Accounts []string     `json:"accounts"`
	Amiss    []amissPhase `json:"amiss"`
}

type amissPhase struct {
	Account string       `json:"account"`
	Holds   []phase.Hold `json:"holds"`
}

// check tells of each account in phase dual whether its folder, the log and the
// tiers are equal. Not to know is not to be equal. A folder that is being
// written is out of step for some tens of milliseconds: it is waited for.
func (c phaseCommand) check(e *Env) error {
	var dual []phase.Status
	for until := time.Now().Add(c.Within); ; {
		all, err := c.phases(e)
		if err != nil {
			return err
		}
		dual = slices.DeleteFunc(all, func(s phase.Status) bool { return s.Phase != phase.Dual })
		settled := !slices.ContainsFunc(dual, func(s phase.Status) bool { return !s.InStep })
		if settled || !time.Now().Before(until) {
			break
		}
		if err := pause(e.Context); err != nil {
			return err
		}
	}
	answer := checkAnswer{Accounts: []string{}, Amiss: []amissPhase{}}
	if len(dual) > 0 {
		compared := e.comparison()
		for _, s := range dual {
			answer.Accounts = append(answer.Accounts, s.Account)
			if holds := append(folderHolds(s), compared.holds(s.Account, phase.Tiers, time.Now())...); len(holds) > 0 {
				answer.Amiss = append(answer.Amiss, amissPhase{s.Account, holds})
			}
		}
	}
	if err := e.print(answer, answer.text); err != nil {
		return err
	}
	if len(answer.Amiss) > 0 {
		return ErrDifferences
	}
	return nil
}

// folderHolds are what ingest says of the account's folder.
func folderHolds(s phase.Status) []phase.Hold {
	var holds []phase.Hold
	for _, step := range s.Steps[:min(1, len(s.Steps))] {
		for _, h := range step.Holds {
			if h.Gate == phase.GateFolder || h.Gate == phase.GateDrifts {
				holds = append(holds, h)
			}
		}
	}
	return holds
}

func (a checkAnswer) text(w io.Writer) {
	for _, amiss := range a.Amiss {
		fmt.Fprintf(w, "%s:\n", amiss.Account)
		printHolds(w, amiss.Holds)
	}
	fmt.Fprintf(w, "%d accounts in phase dual, %d with something amiss\n", len(a.Accounts), len(a.Amiss))
}
