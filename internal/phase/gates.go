package phase

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Hold is one thing that keeps an account from a step.
type Hold struct {
	Gate   string `json:"gate"`
	Reason string `json:"reason"`
	// Remedy is what to do about it.
	Remedy string `json:"remedy"`
}

func (h Hold) String() string { return h.Reason + ": " + h.Remedy }

// The gates.
const (
	GateOrder          = "order"
	GateFolder         = "folder"
	GateDrifts         = "drifts"
	GateReconciliation = "reconciliation"
	GateComparison     = "comparison"
)

// ReconcileGate says what the account's last reconciliation must be for a step
// forward.
type ReconcileGate string

const (
	// ReconcileBreaks: without breaks, if there is one.
	ReconcileBreaks ReconcileGate = "breaks"
	// ReconcileRequired: there, and without breaks.
	ReconcileRequired ReconcileGate = "required"
	// ReconcileOff: anything.
	ReconcileOff ReconcileGate = "off"
)

// AddSteps fills in which phases may come next, and what keeps the account from
// each.
func (s *Status) AddSteps(gate ReconcileGate) {
	s.Steps = []Step{}
	for _, to := range s.Phase.steps() {
		s.Steps = append(s.Steps, Step{To: to, Holds: append([]Hold{}, s.Holds(to, gate)...)})
	}
}

// Holds lists what keeps the account from a phase. One that is not among the
// steps is held by GateOrder alone, which nothing overrides.
func (s *Status) Holds(to Phase, gate ReconcileGate) []Hold {
	forward := to.forward(s.Phase)
	switch {
	case s.Phase == Shadow && to == Tiers:
		return []Hold{{GateOrder, "from shadow to tiers is two steps", "go to dual first, and stay there as long as it takes to trust the tiers"}}
	case to == s.Phase, s.Phase == Dual && !forward:
		return nil // the files have the truth before and after
	}
	holds := s.folderHolds(!forward)
	if forward {
		holds = append(holds, s.reconciliationHolds(gate)...)
	}
	return holds
}

// folderHolds asks for a folder that equals the log: whoever reads the one may
// then read the other. The way back asks for the same, for a folder that was
// left behind would turn the log back.
func (s *Status) folderHolds(back bool) []Hold {
	if s.Dir == "" {
		return []Hold{{GateFolder, "no folder of the account is watched", fmt.Sprintf("start ingest with --watch DIR=%s", s.Account)}}
	}
	mend := "GET /v1/watch names each: mend the files, or record what they lack"
	if back {
		mend = fmt.Sprintf("with the strategy stopped, write the log's state with replay snapshot --out NEW and copy NEW/%s over the folder; silverquant.install() keeps a folder in step all the time", s.Account)
	}
	var holds []Hold
	if s.Drifts > 0 {
		holds = append(holds, Hold{GateDrifts, fmt.Sprintf("%d differences between %s and the log cannot be settled by events", s.Drifts, s.Dir), mend})
	}
	switch {
	case s.InStep:
	case back && len(s.Unrecorded) > 0:
		holds = append(holds, Hold{GateFolder, fmt.Sprintf("%s differs from the log, which would be changed to what it says: %s", s.Dir, s.lacking()), mend})
	case s.Waiting != "":
		holds = append(holds, Hold{GateFolder, fmt.Sprintf("%s is not in step with the log: %s", s.Dir, s.Waiting), "wait for that, and try again"})
	case len(holds) == 0:
		holds = append(holds, Hold{GateFolder, fmt.Sprintf("%s is not in step with the log", s.Dir), "GET /v1/watch tells why; try again when in_step is true"})
	}
	return holds
}

// lacking words which events the log lacks to equal the folder.
func (f *Folder) lacking() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(f.Unrecorded)) {
		words = append(words, fmt.Sprintf("%d %s", f.Unrecorded[name], name))
	}
	return strings.Join(words, ", ")
}

func (s *Status) reconciliationHolds(gate ReconcileGate) []Hold {
	again := fmt.Sprintf("replay reconcile --account %s --statement FILE", s.Account)
	switch r := s.Reconciliation; {
	case gate == ReconcileOff:
	case r != nil && r.Breaks > 0:
		return []Hold{{GateReconciliation, fmt.Sprintf("the reconciliation with %s at sequence %d found %d breaks", r.Statement, r.Sequence, r.Breaks),
			"settle them, then " + again}}
	case r == nil && gate == ReconcileRequired:
		return []Hold{{GateReconciliation, "the account was never reconciled with its broker's statement, and --reconcile-gate requires it", again}}
	}
	return nil
}
