package projector

import (
	"fmt"
	"math"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// Parking is which events a tier leaves out because it could not apply them. It
// lies in the tier beside the checkpoint, as part of its Hold, so that contents,
// checkpoint and what is missing are never apart: the contents are the fold of
// the events up to the checkpoint that Excludes does not name.
type Parking struct {
	// Parked subjects wait from their first event that could not be applied on:
	// what comes later about the same subject builds on it.
	Parked []ParkedSubject `json:"parked,omitzero"`
	// Discarded are the sequences of events that somebody gave up.
	Discarded []uint64 `json:"discarded,omitzero"`
}

// ParkedSubject is a subject whose events wait.
type ParkedSubject struct {
	Subject string `json:"subject"`
	// From is the sequence of the event that could not be applied.
	From   uint64 `json:"from"`
	Reason string `json:"reason"`
}

// Excludes reports whether the tier leaves an event out.
func (p Parking) Excludes(e *events.Event) bool {
	if len(p.Discarded) > 0 && slices.Contains(p.Discarded, e.Sequence) {
		return true
	}
	for _, parked := range p.Parked {
		if e.Sequence >= parked.From && e.Data.Subject() == parked.Subject {
			return true
		}
	}
	return false
}

// Find is the parked subject of that name.
func (p Parking) Find(subject string) (ParkedSubject, bool) {
	i := slices.IndexFunc(p.Parked, func(s ParkedSubject) bool { return s.Subject == subject })
	if i < 0 {
		return ParkedSubject{}, false
	}
	return p.Parked[i], true
}

// Without is the parking without a parked subject.
func (p Parking) Without(subject string) Parking {
	p.Parked = slices.DeleteFunc(slices.Clone(p.Parked), func(s ParkedSubject) bool { return s.Subject == subject })
	return p
}

// ReadParking is what a hold says of parked events.
func (h Hold) ReadParking() (Parking, error) {
	var p Parking
	if h.Parking == "" {
		return p, nil
	}
	if err := json.Unmarshal([]byte(h.Parking), &p, json.RejectUnknownMembers(true)); err != nil {
		return p, fmt.Errorf("parked events %q: %w: %w", h.Parking, err, ErrRefused)
	}
	return p, nil
}

// WithParking is the hold with these parked events. Without a reason of its own
// it stops nothing.
func (h Hold) WithParking(p Parking) (Hold, error) {
	h.Parking = ""
	if len(p.Parked) > 0 || len(p.Discarded) > 0 {
		text, err := json.Marshal(p)
		if err != nil {
			return h, fmt.Errorf("encode parked events: %w", err)
		}
		h.Parking = string(text)
	}
	if h.Reason == "" {
		h.Until = 0
		if h.Parking != "" {
			h.Until = math.MaxUint64
		}
	}
	return h, nil
}

// Released is the hold without what stops the tier: the parked events stay.
func (h Hold) Released() Hold {
	if h.Parking == "" {
		return Hold{}
	}
	return Hold{Until: math.MaxUint64, Parking: h.Parking}
}
