package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/calendar"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	// MaxBody is the longest request, in bytes.
	MaxBody = 8 << 20
	// MaxRequestEvents is how many events one request may hold; an atomic one
	// at most eventlog.MaxFrameEvents.
	MaxRequestEvents = 50_000
)

// form is how a request's body holds its events.
type form uint8

const (
	formSniff  form = iota // whichever the body looks like
	formJSON               // one event, or an array
	formObject             // one event
	formArray              // an array of events
	formLines              // one event a line
)

// options are what a request asks for besides its events.
type options struct {
	atomic bool
	policy calendar.Policy
	window calendar.Window
}

// request is the events of one request on their way through the committer.
// Until done is closed it belongs to the committer, after that to its maker.
type request struct {
	lone   bool // answered with an object, not an array
	atomic bool
	items  []item
	lines  []byte // the canonical lines that the items point into
	done   chan struct{}
	err    error // why the request's fate is not told by its items
}

// item is one event of a request and what became of it.
type item struct {
	event      *events.Event // nil when it could not be decoded
	start, end int           // its canonical line in request.lines, with '\n'
	mark       mark
	flag       string

	invalid   *events.InvalidError // set: rejected
	sequence  uint64
	duplicate bool
	skipped   string // set: correct, but not appended, and why
}

// parse reads a body. What is wrong with one event becomes that event's fate;
// what is wrong with the request as a whole is a *refusal. It runs outside the
// committer, as many at a time as there are requests.
func parse(r *request, body []byte, f form, o options) error {
	r.atomic = o.atomic
	r.done = make(chan struct{})
	var err error
	switch f = sniff(body, f); f {
	case formObject:
		r.lone = true
		err = r.one(body, o)
	case formArray:
		err = r.array(body, o)
	default:
		err = r.ndjson(body, o)
	}
	if err != nil {
		return err
	}
	if len(r.items) == 0 {
		return notJSON(0, &events.InvalidError{Rule: "must hold an event: the request is empty"})
	}
	if r.atomic && len(r.items) > eventlog.MaxFrameEvents {
		return tooLarge(fmt.Sprintf("an atomic request holds at most %d events, this one %d", eventlog.MaxFrameEvents, len(r.items)))
	}
	return nil
}

// sniff decides by the body itself where the sender left it open.
func sniff(body []byte, f form) form {
	if f != formSniff && f != formJSON {
		return f
	}
	text := bytes.TrimLeft(body, " \t\r\n")
	if len(text) > 0 && text[0] == '[' {
		return formArray
	}
	if f == formJSON {
		return formObject
	}
	// One event over several lines, or several lines of one event each.
	first, rest, _ := bytes.Cut(text, []byte("\n"))
	if len(bytes.TrimSpace(rest)) > 0 && jsontext.Value(first).IsValid(lenient) {
		return formLines
	}
	return formObject
}

// lenient leaves duplicate names and bad UTF-8 to the decoding of the event
// they are in.
var lenient = json.JoinOptions(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))

func (r *request) one(body []byte, o options) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return notJSON(0, &events.InvalidError{Rule: "must hold an event: the body is empty"})
	}
	if err := r.add(body, o); err != nil {
		return err
	}
	if r.items[0].invalid != nil && !jsontext.Value(body).IsValid(lenient) {
		return notJSON(0, r.items[0].invalid)
	}
	return nil
}

func (r *request) ndjson(body []byte, o options) error {
	for len(body) > 0 {
		var line []byte
		line, body, _ = bytes.Cut(body, []byte("\n"))
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if err := r.add(line, o); err != nil {
			return err
		}
	}
	return nil
}

func (r *request) array(body []byte, o options) error {
	dec := jsontext.NewDecoder(bytes.NewBuffer(body), lenient)
	if token, err := dec.ReadToken(); err != nil || token.Kind() != '[' {
		return notJSON(0, &events.InvalidError{Rule: "must be an array of events"})
	}
	for dec.PeekKind() != ']' {
		value, err := dec.ReadValue()
		if err != nil {
			return notJSON(len(r.items), &events.InvalidError{Rule: "must be JSON: " + err.Error()})
		}
		if err := r.add(value, o); err != nil {
			return err
		}
	}
	if _, err := dec.ReadToken(); err != nil {
		return notJSON(len(r.items), &events.InvalidError{Rule: "must be JSON: " + err.Error()})
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return notJSON(len(r.items), &events.InvalidError{Rule: "must be one array: something follows it"})
	}
	return nil
}

// add decodes one event, validates it, and encodes it canonically.
func (r *request) add(text []byte, o options) error {
	if len(r.items) == MaxRequestEvents {
		return tooLarge("one request holds at most " + strconv.Itoa(MaxRequestEvents) + " events")
	}
	r.items = append(r.items, item{start: len(r.lines)})
	it := &r.items[len(r.items)-1]
	if err := r.decode(it, text, o); err != nil {
		it.event, r.lines = nil, r.lines[:it.start]
		if !errors.As(err, &it.invalid) {
			return fmt.Errorf("ingest: decode event %d: %w", len(r.items)-1, err)
		}
	}
	return nil
}

func (r *request) decode(it *item, text []byte, o options) (err error) {
	if it.event, err = events.Decode(text); err != nil {
		return err
	}
	if it.flag, err = book.CheckSession(it.event, o.policy, o.window); err != nil {
		return err
	}
	if r.lines, err = it.event.AppendJSON(r.lines); err != nil {
		return err
	}
	it.mark.id = hashID(it.event.ID)
	if it.mark.content, err = it.event.ContentHashOf(r.lines[it.start:]); err != nil {
		return err
	}
	r.lines = append(r.lines, '\n')
	it.end = len(r.lines)
	return nil
}

// refused tells whether any event was rejected.
func (r *request) refused() bool {
	for i := range r.items {
		if r.items[i].invalid != nil {
			return true
		}
	}
	return false
}
