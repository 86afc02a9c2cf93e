package events

import "strconv"

// What ingest answers over HTTP and NATS. A request with one event is
// answered with one Receipt, an array or ndjson with an array of them in the
// request's order; anything but success is a Problem.

// Receipt is the fate of one accepted event.
type Receipt struct {
	// ID is the event's id: the publisher's, or the one it was given.
	ID string `json:"id"`
	// Sequence is the event's number on the log; for a duplicate the number
	// it was first given; 0 when the event was not appended.
	Sequence uint64 `json:"sequence"`
	// Duplicate tells that the log already held this event.
	Duplicate bool `json:"duplicate"`
	// Applied is absent or true, except for a correct event that changes
	// nothing and was therefore not appended; Reason says why.
	Applied *bool  `json:"applied,omitzero"`
	Reason  string `json:"reason,omitzero"`
	// Flags are warnings about an event that was appended nevertheless, such
	// as a trade outside the trading session under the flag policy.
	Flags []string `json:"flags,omitzero"`
}

// WasApplied tells whether the event is on the log and in the state.
func (r *Receipt) WasApplied() bool { return r.Applied == nil || *r.Applied }

// ProblemMediaType is the content type of a Problem (RFC 9457).
const ProblemMediaType = "application/problem+json"

// Problem is the answer to a request that was not wholly accepted. Status 400:
// no JSON at all; 413: too large; 415: unknown media type; 422: at least one
// event broke a rule; 429 and 503: come again after Retry-After.
type Problem struct {
	Type   string         `json:"type"`
	Title  string         `json:"title"`
	Status int            `json:"status"`
	Detail string         `json:"detail,omitzero"`
	Errors []ProblemError `json:"errors,omitzero"`
	// Results tells each event's fate, in the request's order, when some
	// events of the request may have been appended.
	Results []Result `json:"results,omitzero"`
}

func (p *Problem) Error() string {
	msg := strconv.Itoa(p.Status) + " " + p.Title
	if p.Detail != "" {
		msg += ": " + p.Detail
	}
	return msg
}

// ProblemError tells which event of the request broke which rule.
type ProblemError struct {
	// Index is the event's place in the request, from 0.
	Index int    `json:"index"`
	Field string `json:"field"`
	Rule  string `json:"rule"`
	Value string `json:"value,omitzero"`
}

func (e *ProblemError) invalid() *InvalidError {
	return &InvalidError{Field: e.Field, Rule: e.Rule, Value: e.Value}
}

// Result is one event's fate in a request that was not wholly accepted:
// either a receipt or an error.
type Result struct {
	Index int `json:"index"`
	// Receipt is there when the event was accepted.
	*Receipt
	Error *ProblemError `json:"error,omitzero"`
}
