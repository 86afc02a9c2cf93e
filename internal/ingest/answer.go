package ingest

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// refusal is why a request as a whole was not taken.
type refusal struct {
	status int
	kind   string // the last part of the problem's type
	detail string
	// errors names the event that is no JSON.
	errors []events.ProblemError
}

func (r *refusal) Error() string { return r.detail }

// notJSON tells from which event of the request on the body is no JSON.
func notJSON(index int, invalid *events.InvalidError) error {
	return &refusal{http.StatusBadRequest, "not-json", invalid.Error(),
		[]events.ProblemError{{Index: index, Field: invalid.Field, Rule: invalid.Rule, Value: invalid.Value}}}
}

func badRequest(detail string) error {
	return &refusal{http.StatusBadRequest, "bad-request", detail, nil}
}

func tooLarge(detail string) error {
	return &refusal{http.StatusRequestEntityTooLarge, "too-large", detail, nil}
}

func wrongMediaType(detail string) error {
	return &refusal{http.StatusUnsupportedMediaType, "media-type", detail, nil}
}

func notReady(reason string) error {
	return &refusal{http.StatusServiceUnavailable, "not-ready", "nothing of the request was stored; " + reason, nil}
}

var (
	errBusy    = &refusal{http.StatusTooManyRequests, "busy", "too much is waiting; nothing of the request was stored, send it again later", nil}
	errUnknown = &refusal{http.StatusServiceUnavailable, "fate-unknown", "the log failed: the events may or may not be stored; retry with the same id", nil}
	errPanic   = &refusal{http.StatusInternalServerError, "internal", "an internal error, told in ingest's own log; the events may or may not be stored; retry with the same id", nil}
)

// retryAfter is how many seconds a client should wait after 429 and 503.
const retryAfter = "1"

// answer is what goes back through a door.
type answer struct {
	status int
	body   []byte
}

func (a answer) mediaType() string {
	if a.status == http.StatusOK {
		return "application/json"
	}
	return events.ProblemMediaType
}

func (a answer) retry() bool {
	return a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
}

const problemType = "urn:tapedeck:problem:"

// answerError turns an error into a problem; anything unforeseen is a 500 that
// says nothing of the inside.
func answerError(err error) answer {
	var r *refusal
	if !errors.As(err, &r) {
		r = errPanic
	}
	return answerProblem(events.Problem{
		Type:   problemType + r.kind,
		Title:  http.StatusText(r.status),
		Status: r.status,
		Detail: r.detail,
		Errors: r.errors,
	})
}

func answerProblem(p events.Problem) answer {
	body, err := json.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("ingest: encode a problem: %v", err)) // Problem holds nothing that cannot be encoded
	}
	return answer{status: p.Status, body: body}
}

// answerRequest tells the fate of each event; it appends to buf.
func answerRequest(r *request, buf []byte) answer {
	if r.err != nil {
		return answerError(r.err)
	}
	if r.refused() {
		return answerRejected(r)
	}
	if r.lone {
		return answer{http.StatusOK, append(appendReceipt(buf, &r.items[0]), '\n')}
	}
	buf = append(buf, '[')
	for i := range r.items {
		if i > 0 {
			buf = append(buf, ',')
		}
		buf = appendReceipt(buf, &r.items[i])
	}
	return answer{http.StatusOK, append(buf, "]\n"...)}
}

// appendReceipt writes events.Receipt; it is the hot path's own encoder.
func appendReceipt(b []byte, it *item) []byte {
	b = append(b, `{"id":`...)
	b = appendString(b, it.event.ID)
	b = append(b, `,"sequence":`...)
	b = strconv.AppendUint(b, it.sequence, 10)
	b = append(b, `,"duplicate":`...)
	b = strconv.AppendBool(b, it.duplicate)
	if it.skipped != "" {
		b = append(b, `,"applied":false,"reason":`...)
		b = appendString(b, it.skipped)
	}
	if it.flag != "" {
		b = append(b, `,"flags":[`...)
		b = appendString(b, it.flag)
		b = append(b, ']')
	}
	return append(b, '}')
}

func appendString(b []byte, s string) []byte {
	b, err := jsontext.AppendQuote(b, s)
	if err != nil {
		panic(fmt.Sprintf("ingest: quote %q: %v", s, err)) // decoded text is valid UTF-8
	}
	return b
}

// answerRejected names each rejected event; without atomic it tells the fate
// of the others, too.
func answerRejected(r *request) answer {
	p := events.Problem{
		Type:   problemType + "invalid-event",
		Title:  "an event broke a rule",
		Status: http.StatusUnprocessableEntity,
	}
	for i := range r.items {
		if invalid := r.items[i].invalid; invalid != nil {
			p.Errors = append(p.Errors, events.ProblemError{Index: i, Field: invalid.Field, Rule: invalid.Rule, Value: invalid.Value})
		}
	}
	p.Detail = fmt.Sprintf("%d of %d events rejected", len(p.Errors), len(r.items))
	if r.atomic {
		p.Detail += ", none stored"
		return answerProblem(p)
	}
	next := 0
	for i := range r.items {
		result := events.Result{Index: i}
		if r.items[i].invalid != nil {
			result.Error = &p.Errors[next]
			next++
		} else {
			result.Receipt = r.items[i].receipt()
		}
		p.Results = append(p.Results, result)
	}
	return answerProblem(p)
}

func (it *item) receipt() *events.Receipt {
	receipt := &events.Receipt{ID: it.event.ID, Sequence: it.sequence, Duplicate: it.duplicate}
	if it.skipped != "" {
		applied := false
		receipt.Applied, receipt.Reason = &applied, it.skipped
	}
	if it.flag != "" {
		receipt.Flags = []string{it.flag}
	}
	return receipt
}
