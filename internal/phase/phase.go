// Package phase is how far each account is on its way from files to tiers: a
// setting of ingest, and what must hold before it changes.
package phase

import (
	"fmt"
	"slices"
	"time"
)

// Phase says who has the truth about an account.
type Phase string

const (
	// Shadow: the strategy's files have it, and ingest records them.
	Shadow Phase = "shadow"
	// Dual: as Shadow, and readers may read tiers.
	Dual Phase = "dual"
	// Tiers: the log has it, for the strategy publishes. Nothing is recorded out
	// of its folder.
	Tiers Phase = "tiers"
)

// order is the way forward.
var order = []Phase{Shadow, Dual, Tiers}

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Phase) UnmarshalText(text []byte) error {
	if !slices.Contains(order, Phase(text)) {
		return fmt.Errorf("%q is no phase: shadow, dual and tiers are", text)
	}
	*p = Phase(text)
	return nil
}

// Follows tells whether what changes in the account's folder is recorded.
func (p Phase) Follows() bool { return p != Tiers }

// steps are the phases that may come next: forward one at a time, back to any.
func (p Phase) steps() []Phase {
	at := slices.Index(order, p)
	back := slices.Clone(order[:at])
	slices.Reverse(back)
	return append(slices.Clone(order[at+1:min(at+2, len(order))]), back...)
}

// forward tells whether p comes after other.
func (p Phase) forward(other Phase) bool { return slices.Index(order, p) > slices.Index(order, other) }

// Reconciliation is what a comparison with the broker's statement found.
type Reconciliation struct {
	// Statement is the file's name, SHA256 its content's.
	Statement string `json:"statement"`
	SHA256    string `json:"sha256"`
	// Sequence is that of the log which the statement was compared with.
	Sequence   uint64    `json:"sequence"`
	Breaks     int       `json:"breaks"`
	ComparedAt time.Time `json:"compared_at"`
}

// Status is how an account stands, as GET /v1/phases tells it.
type Status struct {
	Account string `json:"account"`
	Phase   Phase  `json:"phase"`
	// Since is when the phase was set; zero for one that nobody set.
	Since time.Time `json:"since,omitzero"`
	Folder
	Reconciliation *Reconciliation `json:"reconciliation,omitzero"`
	// Steps are the phases that may come next, the way forward first.
	Steps []Step `json:"steps"`
}

// Folder is how an account's folder stands at the last look at it.
type Folder struct {
	// Dir is empty when ingest watches no folder of the account.
	Dir       string `json:"dir,omitzero"`
	Following bool   `json:"following"`
	InStep    bool   `json:"in_step"`
	Waiting   string `json:"waiting_for,omitzero"`
	Drifts    int    `json:"drifts"`
	// Unrecorded are the events that the log lacks to equal the folder, how many
	// of each type.
	Unrecorded map[string]int `json:"unrecorded,omitempty"`
	LastStep   *Instant       `json:"last_step,omitzero"`
}

// Instant is a sequence of the log and when it was looked at.
type Instant struct {
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
}

// Step is a phase that may come next, and what keeps the account from it.
type Step struct {
	To    Phase  `json:"to"`
	Holds []Hold `json:"holds"`
}
