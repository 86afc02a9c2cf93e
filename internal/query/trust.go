package query

import (
	"errors"
	"fmt"

	"github.com/sony/gobreaker/v2"
)

// errBlind: the tiers answer, but whether they are up to date nobody knows.
var errBlind = errors.New("the log was not reached yet: how old this is, nobody knows")

// doubt tells why what a tier said should not be taken while another answers,
// and whether it is useless even when none does.
func (r *Router) doubt(s *source, at At) (why error, useless bool) {
	name := s.tier.Name()
	switch {
	case at.Parked:
		return fmt.Errorf("%s lacks events that it could not apply (replay parked list --tier %s)", name, name), false
	case at.Held:
		return nil, false
	case at.Sequence == 0 && r.begun():
		return fmt.Errorf("%s is at 0: it is being filled", name), true
	case at.Sequence < r.ends.floor():
		return fmt.Errorf("%s is at %d, the log was at %d %s ago", name, at.Sequence, r.ends.floor(), r.ends.keep), false
	case s.beyond.Load():
		return fmt.Errorf("%s is at %d, beyond the log's end: it was filled from another log, or the log was cut", name, at.Sequence), false
	}
	return nil, false
}

// begun tells that the log has events. While nobody has seen it, a tier that
// holds some tells.
func (r *Router) begun() bool {
	if r.ends.events.Load() {
		return true
	}
	if r.ends.blind.Load() {
		for _, s := range r.sources {
			if s.last.Load().at.Sequence > 0 {
				return true
			}
		}
	}
	return false
}

// Readable is nil while some tier can answer about a kind.
func (r *Router) Readable(kind Kind) error {
	for _, s := range r.chain(kind) {
		seen := s.last.Load()
		keeper, limited := s.tier.(Keeper)
		if limited && !keeper.Keeps(kind) || seen.err != nil || s.breaker.State() != gobreaker.StateClosed {
			continue
		}
		if _, useless := r.doubt(s, seen.at); !useless {
			return nil
		}
	}
	return fmt.Errorf("no tier that holds %s can be reached: %w", kind, ErrUnavailable)
}
