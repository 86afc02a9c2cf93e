package console

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	// keepAlive is how often a quiet stream shows that it lives.
	keepAlive = 15 * time.Second
	// writePatience is how long one write to a slow client may take.
	writePatience = 30 * time.Second
)

type feedInput struct {
	After       string `query:"after" pattern:"^\\d{1,16}$" doc:"The last sequence that you have: the stream begins behind it. 0 is the log's beginning; when neither this nor Last-Event-ID is there, the stream begins with the next event."`
	LastEventID string `header:"Last-Event-ID" pattern:"^\\d{1,16}$" doc:"The same, as browsers send it when they connect again; it wins."`
	Type        string `query:"type" doc:"Only events of these types, divided by commas, such as trade.recorded.v1; trade.* stands for all that begin so."`
	Account     string `query:"account" doc:"Only events about this account." pattern:"^[A-Za-z0-9_-]{1,50}$"`
}

func (a *api) events(h huma.API) {
	huma.Register(h, huma.Operation{
		OperationID: "stream-events", Method: http.MethodGet, Path: "/v1/events", Tags: []string{"events"},
		Summary: "The log's events as they come, as server-sent events",
		Description: "Each event has its sequence as id, its type as event, and its stored JSON as data. Frames are proved against the log's chain as they are read. " +
			"Events about users are not part of the stream: they hold password hashes. Resume with Last-Event-ID or after.",
		Errors: []int{409, 503},
		Responses: map[string]*huma.Response{"200": {
			Description: "An endless stream", Content: map[string]*huma.MediaType{"text/event-stream": {Schema: &huma.Schema{Type: huma.TypeString}}},
		}},
	}, func(ctx context.Context, in *feedInput) (*huma.StreamResponse, error) {
		frames, after, err := a.open(ctx, in)
		if err != nil {
			return nil, refusal(err)
		}
		return &huma.StreamResponse{Body: func(h huma.Context) {
			defer frames.Close()
			_, w := humago.Unwrap(h)
			f := feed{w: w, control: http.NewResponseController(w), after: after, admits: in.admits()}
			f.run(h.Context(), frames)
		}}, nil
	})
}

// open finds the place in the log that the stream begins at.
func (a *api) open(ctx context.Context, in *feedInput) (*eventlog.Reader, uint64, error) {
	log, err := a.tape.now()
	if err != nil {
		return nil, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestBound)
	defer cancel()
	info, err := log.Info(ctx)
	if err != nil {
		return nil, 0, err
	}
	after := info.Last
	for _, text := range []string{in.After, in.LastEventID} {
		if text != "" {
			after, _ = strconv.ParseUint(text, 10, 64) // its form was checked
		}
	}
	if after > info.Last {
		return nil, 0, huma.Error409Conflict(fmt.Sprintf("the log ends at %d: sequence %d is of another log, or of the future", info.Last, after))
	}
	at, err := log.CheckpointAt(ctx, after)
	if err != nil {
		return nil, 0, err
	}
	frames, err := log.Read(ctx, at, eventlog.ReadOptions{Follow: true})
	return frames, after, err
}

// admits tells which events are wanted.
func (in *feedInput) admits() func(*events.Event) bool {
	types := strings.FieldsFunc(in.Type, func(r rune) bool { return r == ',' || r == ' ' })
	return func(e *events.Event) bool {
		typ := string(e.Data.Type())
		if strings.HasPrefix(typ, "user.") || strings.HasPrefix(typ, "role.") || in.Account != "" && book.AccountOf(e.Data) != in.Account {
			return false
		}
		for _, want := range types {
			prefix, all := strings.CutSuffix(want, "*")
			if typ == want || all && strings.HasPrefix(typ, prefix) {
				return true
			}
		}
		return len(types) == 0
	}
}

// feed writes one stream.
type feed struct {
	w       http.ResponseWriter
	control *http.ResponseController
	after   uint64
	admits  func(*events.Event) bool
}

// run streams until the client goes or the log breaks; the client then connects
// again with its last id.
func (f *feed) run(ctx context.Context, frames *eventlog.Reader) {
	f.w.Header().Set("Content-Type", "text/event-stream")
	f.w.Header().Set("Cache-Control", "no-store")
	f.w.WriteHeader(http.StatusOK)
	if f.send(fmt.Appendf(nil, ": after %d\n\n", f.after)) != nil {
		return
	}
	for {
		quiet, cancel := context.WithTimeout(ctx, keepAlive)
		frame, err := frames.Next(quiet)
		cancel()
		var text []byte
		switch {
		case err == nil:
			text, err = f.format(frame)
		case ctx.Err() == nil && errors.Is(err, context.DeadlineExceeded):
			text, err = []byte(": still here\n\n"), nil
		}
		if err != nil {
			if ctx.Err() == nil {
				_ = f.send(fmt.Appendf(nil, "event: error\ndata: %s\n\n", strings.ReplaceAll(err.Error(), "\n", " "))) // it ends either way
			}
			return
		}
		if f.send(text) != nil {
			return
		}
	}
}

// format is the wanted events of a frame. Of a frame without any, a comment
// would not move the client's last id, so nothing is sent.
func (f *feed) format(frame eventlog.Frame) ([]byte, error) {
	var text []byte
	sequence := frame.First
	for line := range bytes.Lines(frame.Payload) {
		if sequence > f.after {
			e, err := events.DecodeStored(bytes.TrimSuffix(line, []byte{'\n'}))
			if err != nil {
				return nil, fmt.Errorf("sequence %d: %w", sequence, err)
			}
			if f.admits(e) {
				text = fmt.Appendf(text, "id: %d\nevent: %s\ndata: %s\n", sequence, e.Data.Type(), line)
			}
		}
		sequence++
	}
	return text, nil
}

func (f *feed) send(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	if err := f.control.SetWriteDeadline(time.Now().Add(writePatience)); err != nil {
		return err
	}
	if _, err := f.w.Write(text); err != nil {
		return err
	}
	return f.control.Flush()
}
