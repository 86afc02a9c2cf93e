package phase_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/phase"
)

func TestGates(t *testing.T) {
	inStep := phase.Folder{Dir: "cache", Following: true, InStep: true}
	writing := phase.Folder{Dir: "cache", Following: true, Waiting: "max_price.json is being written"}
	drifting := phase.Folder{Dir: "cache", Following: true, Drifts: 1}
	stale := phase.Folder{Dir: "cache", Unrecorded: map[string]int{"position.closed.v1": 3}}
	clean, broken := &phase.Reconciliation{Sequence: 9}, &phase.Reconciliation{Sequence: 9, Breaks: 2}
	for _, c := range []struct {
		name     string
		from, to phase.Phase
		folder   phase.Folder
		found    *phase.Reconciliation
		gate     phase.ReconcileGate
		held     []string
	}{
		{"forward", phase.Shadow, phase.Dual, inStep, nil, phase.ReconcileBreaks, nil},
		{"a clean reconciliation", phase.Dual, phase.Tiers, inStep, clean, phase.ReconcileRequired, nil},
		{"two steps", phase.Shadow, phase.Tiers, inStep, clean, phase.ReconcileBreaks, []string{phase.GateOrder}},
		{"being written", phase.Shadow, phase.Dual, writing, nil, phase.ReconcileBreaks, []string{phase.GateFolder}},
		{"a drift", phase.Dual, phase.Tiers, drifting, nil, phase.ReconcileBreaks, []string{phase.GateDrifts}},
		{"all at once", phase.Dual, phase.Tiers, writing, broken, phase.ReconcileBreaks, []string{phase.GateFolder, phase.GateReconciliation}},
		{"breaks", phase.Shadow, phase.Dual, inStep, broken, phase.ReconcileBreaks, []string{phase.GateReconciliation}},
		{"breaks do not matter", phase.Shadow, phase.Dual, inStep, broken, phase.ReconcileOff, nil},
		{"none was made", phase.Shadow, phase.Dual, inStep, nil, phase.ReconcileRequired, []string{phase.GateReconciliation}},
		{"not watched", phase.Dual, phase.Tiers, phase.Folder{}, nil, phase.ReconcileBreaks, []string{phase.GateFolder}},
		{"back to shadow", phase.Dual, phase.Shadow, drifting, broken, phase.ReconcileRequired, nil},
		{"back from tiers", phase.Tiers, phase.Dual, inStep, broken, phase.ReconcileRequired, nil},
		{"back to a stale folder", phase.Tiers, phase.Shadow, stale, nil, phase.ReconcileBreaks, []string{phase.GateFolder}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := phase.Status{Account: account, Phase: c.from, Folder: c.folder, Reconciliation: c.found}
			var held []string
			for _, h := range s.Holds(c.to, c.gate) {
				require.NotEmpty(t, h.Reason)
				require.NotEmpty(t, h.Remedy)
				held = append(held, h.Gate)
			}
			require.Equal(t, c.held, held)
		})
	}
}

func TestSteps(t *testing.T) {
	for from, want := range map[phase.Phase][]phase.Phase{
		phase.Shadow: {phase.Dual}, phase.Dual: {phase.Tiers, phase.Shadow}, phase.Tiers: {phase.Dual, phase.Shadow},
	} {
		s := phase.Status{Phase: from}
		s.AddSteps(phase.ReconcileBreaks)
		var to []phase.Phase
		for _, step := range s.Steps {
			to = append(to, step.To)
		}
		require.Equal(t, want, to)
	}
}
