package replay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/phase"
)

// comparedWithin is how old a comparison may be that a step relies on: the
// console makes one every minute.
const comparedWithin = 3 * time.Minute

// comparison is what the console found when it last compared the tiers with the
// log.
type comparison struct {
	CheckedAt time.Time      `json:"checked_at,omitzero"`
	Sequence  uint64         `json:"sequence"`
	Tiers     []comparedTier `json:"tiers"`
	// Missing says why nothing was compared.
	Missing string `json:"missing,omitempty"`
}

type comparedTier struct {
	Tier        string           `json:"tier"`
	CheckedAt   time.Time        `json:"checked_at,omitzero"`
	Sequence    uint64           `json:"sequence"`
	Error       string           `json:"error,omitempty"`
	Differences []tierDifference `json:"differences"`
}

type tierDifference struct {
	Kind    string `json:"kind"`
	Account string `json:"account"`
	Key     string `json:"key"`
}

// comparison asks the console. That it does not answer, or compares nothing, is
// told in the comparison itself.
func (e *Env) comparison() comparison {
	var c comparison
	status, text, err := e.call(e.console(), http.MethodGet, "/v1/comparison", nil)
	switch {
	case err != nil:
		c.Missing = fmt.Sprintf("the console does not answer: %v", err)
	case status != http.StatusOK:
		c.Missing = fmt.Sprintf("the console makes no comparisons: %d %s", status, http.StatusText(status))
	default:
		if err := json.Unmarshal(text, &c); err != nil {
			c = comparison{Missing: fmt.Sprintf("the console's answer cannot be read: %v", err)}
		} else if len(c.Tiers) == 0 {
			c.Missing = "the console has no tier to compare"
		}
	}
	return c
}

// differing names the tiers that differ from the log in what is of an account,
// and counts the differences.
func (c comparison) differing(account string) (tiers []string, count int) {
	for _, t := range c.Tiers {
		before := count
		for _, d := range t.Differences {
			if d.Account == account {
				count++
			}
		}
		if count > before {
			tiers = append(tiers, t.Tier)
		}
	}
	return tiers, count
}

// unproved says what was not compared of late; empty when all tiers were.
func (c comparison) unproved(now time.Time) string {
	if c.Missing != "" {
		return c.Missing
	}
	var late []string
	for _, t := range c.Tiers {
		at := t.CheckedAt
		if at.IsZero() {
			at = c.CheckedAt
		}
		switch {
		case t.Error != "":
			late = append(late, fmt.Sprintf("%s: %s", t.Tier, t.Error))
		case now.Sub(at) > comparedWithin:
			late = append(late, fmt.Sprintf("%s was last compared at %s", t.Tier, clock(at)))
		}
	}
	return strings.Join(late, "; ")
}

// holds lists what keeps an account from a step forward. Without a console that
// compares, dual may be gone to: nobody reads tiers yet.
func (c comparison) holds(account string, to phase.Phase, now time.Time) []phase.Hold {
	var holds []phase.Hold
	if tiers, count := c.differing(account); count > 0 {
		holds = append(holds, phase.Hold{
			Gate:   phase.GateComparison,
			Reason: fmt.Sprintf("the console found %d differences of %s and the log", count, strings.Join(tiers, ", ")),
			Remedy: fmt.Sprintf("replay verify --tier %s --repair tells and mends them", tiers[0]),
		})
	}
	if late := c.unproved(now); late != "" && to == phase.Tiers {
		holds = append(holds, phase.Hold{
			Gate:   phase.GateComparison,
			Reason: fmt.Sprintf("the tiers were not compared with the log within %s: %s", comparedWithin, late),
			Remedy: "see that the console of --console-url runs and reaches every tier, and wait a minute",
		})
	}
	return holds
}

// word tells what the comparison says of an account.
func (c comparison) word(account string, now time.Time) string {
	tiers, count := c.differing(account)
	switch {
	case count > 0:
		return fmt.Sprintf("%d differences: %s", count, strings.Join(tiers, ", "))
	case c.Missing != "":
		return "not compared"
	case c.unproved(now) != "":
		return "not all compared"
	}
	least := slices.MinFunc(c.Tiers, func(a, b comparedTier) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return fmt.Sprintf("equal at %d", least.Sequence)
}
