package replay

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"

	"github.com/seed-744e3d1b/tapedeck/internal/settings"
)

// service is an HTTP address that a command talks to, and the flag that names
// it.
type service struct{ flag, url string }

func (e *Env) ingest() service  { return service{"--ingest-url", e.CLI.IngestURL} }
func (e *Env) console() service { return service{"--console-url", e.CLI.ConsoleURL} }

// redacted is the address without a password.
func (s service) redacted() string { return settings.Redact(s.url) }

// call sends a service a request, with body as JSON unless it is nil, and
// returns the answer's status and text.
func (e *Env) call(to service, method, path string, body any) (status int, text []byte, err error) {
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return 0, nil, err
		}
		content = bytes.NewReader(raw)
	}
	ctx, cancel := context.WithTimeout(e.Context, e.CLI.Timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, to.url+path, content)
	if err != nil {
		return 0, nil, usage("%s %s: %v", to.flag, to.redacted(), err)
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(io.LimitReader(answer.Body, 16<<20))
	return answer.StatusCode, text, err
}
