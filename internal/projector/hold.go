package projector

import (
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
)

// Hold keeps a tier from passing a sequence. It lies in the tier itself, beside
// the checkpoint, so that it binds every projector, whichever starts when.
type Hold struct {
	// Until is the last sequence that the tier may reach.
	Until uint64 `json:"until"`
	// Reason tells a person who held the tier and why.
	Reason string `json:"reason"`
	// Bound is set when the contents are not the fold of all events up to the
	// checkpoint, and says of which: such a tier can only be rebuilt.
	Bound string `json:"bound,omitzero"`
	// Expires ends a hold by itself, so that a command that was killed leaves
	// none for ever; zero is never.
	Expires time.Time `json:"expires,omitzero"`
	// Owner tells one command's barrier from another's.
	Owner string `json:"owner,omitzero"`
	// Parking says which events the tier leaves out, as Parking.Text; "" is none.
	Parking string `json:"parking,omitzero"`
}

// IsZero reports whether this is no hold.
func (h Hold) IsZero() bool { return h == Hold{} }

// Expired reports whether the hold has ended by itself.
func (h Hold) Expired(now time.Time) bool { return !h.Expires.IsZero() && !now.Before(h.Expires) }

// IsBarrier reports whether the hold is one that a command lets stand only for
// as long as it works.
func (h Hold) IsBarrier() bool { return !h.Expires.IsZero() }

// Stops reports whether the hold forbids to bring a tier to a sequence.
func (h Hold) Stops(sequence uint64, now time.Time) bool {
	return !h.IsZero() && sequence > h.Until && !h.Expired(now)
}

// Holds reports whether the hold keeps the tier anywhere: one that only says
// which events are parked does not.
func (h Hold) Holds(now time.Time) bool { return h.Reason != "" && !h.Expired(now) }

// Admits is nil when a batch may be applied to a live tier under the hold. It
// wraps ErrHeld, or ErrConflict when the batch was cut for another parking.
func (h Hold) Admits(b Batch, now time.Time) error {
	if h.Stops(b.To.Sequence, now) {
		return h.Err()
	}
	if h.Parking != b.Parking {
		return fmt.Errorf("what the tier leaves out has changed: %w", ErrConflict)
	}
	return nil
}

// Err is the error of an Apply that the hold forbids; it wraps ErrHeld.
func (h Hold) Err() error {
	return fmt.Errorf("it may not pass sequence %d (%s): %w", h.Until, h.Reason, ErrHeld)
}

// Text is the hold as tiers store it; "" for the zero Hold. Equal holds have
// equal texts.
func (h Hold) Text() string {
	if h.IsZero() {
		return ""
	}
	if !h.Expires.IsZero() {
		h.Expires = h.Expires.UTC()
	}
	text, err := json.Marshal(h)
	if err != nil {
		panic(fmt.Sprintf("projector: encode hold: %v", err)) // it is made of plain fields
	}
	return string(text)
}

// ParseHold reads what Text wrote.
func ParseHold(text string) (Hold, error) {
	var h Hold
	if text == "" {
		return h, nil
	}
	if err := json.Unmarshal([]byte(text), &h, json.RejectUnknownMembers(true)); err != nil {
		return Hold{}, fmt.Errorf("hold %q: %w: %w", text, err, ErrRefused)
	}
	return h, nil
}
