package ingest

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newHTTPServer is the HTTP door. Its timeouts let go of clients that are too
// slow to be served.
func newHTTPServer(d *desk, logger *slog.Logger) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("/v1/events", only(http.MethodPost, d.postEvents))
	mux.HandleFunc("/v1/log", only(http.MethodGet, d.getLog))
	mux.HandleFunc("/v1/watch", only(http.MethodGet, d.getWatch))
	mux.HandleFunc("/v1/phases", only(http.MethodGet, d.getPhases))
	mux.HandleFunc("/v1/phases/{account}", only(http.MethodPut, d.putPhase))
	mux.HandleFunc("/v1/reconciliations/{account}", only(http.MethodPut, d.putReconciliation))
	mux.HandleFunc("/healthz", only(http.MethodGet, func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	}))
	mux.HandleFunc("/readyz", only(http.MethodGet, d.getReady))
	mux.HandleFunc("/metrics", only(http.MethodGet, promhttp.HandlerFor(d.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeAnswer(w, answerError(&refusal{http.StatusNotFound, "not-found", "there is nothing at " + r.URL.Path, nil}))
	})
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// only answers other methods with a problem. HEAD is GET without the body.
func only(method string, handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method == method || r.Method == http.MethodHead && method == http.MethodGet {
			handler(w, r)
			return
		}
		w.Header().Set("Allow", method)
		writeAnswer(w, answerError(&refusal{http.StatusMethodNotAllowed, "method", "use " + method + " here", nil}))
	}
}

func writeAnswer(w http.ResponseWriter, a answer) {
	w.Header().Set("Content-Type", a.mediaType())
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	if a.retry() {
		w.Header().Set("Retry-After", retryAfter)
	}
	w.WriteHeader(a.status)
	w.Write(a.body)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		writeAnswer(w, answerError(err))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func (d *desk) postEvents(w http.ResponseWriter, r *http.Request) {
	space := workspaces.Get().(*workspace)
	a := d.receive(space, w, r)
	writeAnswer(w, a)
	space.release()
	d.count("http", a.status)
}

// receive reads the request and has it handled.
func (d *desk) receive(space *workspace, w http.ResponseWriter, r *http.Request) answer {
	f, err := formOf(r.Header.Get("Content-Type"))
	if err == nil && r.Header.Get("Content-Encoding") != "" {
		err = wrongMediaType("Content-Encoding " + strconv.Quote(r.Header.Get("Content-Encoding")) + " is not taken; send the body as it is")
	}
	if err != nil {
		return answerError(err)
	}
	o, err := d.query(r)
	if err != nil {
		return answerError(err)
	}
	size := r.ContentLength
	if size < 0 {
		size = MaxBody
	}
	if size > MaxBody {
		return d.tooLong(r.Body)
	}
	if err := d.enter(size); err != nil {
		return answerError(err)
	}
	defer d.leave(size)
	space.body.Grow(int(min(size, 64<<10)))
	_, err = space.body.ReadFrom(http.MaxBytesReader(w, r.Body, MaxBody))
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &long):
		return d.tooLong(r.Body)
	case err != nil:
		return answerError(badRequest("the body could not be read: " + err.Error()))
	}
	return d.handle(space, space.body.Bytes(), f, o)
}

// tooLong reads on for a while, so that a client that sends before it listens
// gets to see the answer.
func (d *desk) tooLong(body io.Reader) answer {
	const patience = 4 * MaxBody
	_, _ = io.CopyN(io.Discard, body, patience) // the answer is the same either way
	return answerError(tooLarge(fmt.Sprintf("a request has at most %d bytes", MaxBody)))
}

// query reads the URL's parameters. An unknown one is refused: a misspelt
// atomic=true must not pass.
func (d *desk) query(r *http.Request) (options, error) {
	if r.URL.RawQuery == "" {
		return d.options("", "")
	}
	values := r.URL.Query()
	for name := range values {
		if name != "atomic" && name != "session_policy" {
			return options{}, badRequest("unknown query parameter " + strconv.Quote(name) + "; there are atomic and session_policy")
		}
	}
	return d.options(values.Get("atomic"), values.Get("session_policy"))
}

// formOf reads a content type.
func formOf(contentType string) (form, error) {
	const known = "application/json, application/x-ndjson, application/cloudevents+json or application/cloudevents-batch+json"
	if contentType == "" {
		return formSniff, nil
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return 0, wrongMediaType("the content type cannot be read; it must be " + known)
	}
	switch charset := params["charset"]; charset {
	case "", "utf-8", "UTF-8":
	default:
		return 0, wrongMediaType("charset " + strconv.Quote(charset) + " is not taken; send UTF-8")
	}
	switch media {
	case "application/json":
		return formJSON, nil
	case "application/x-ndjson":
		return formLines, nil
	case "application/cloudevents+json":
		return formObject, nil
	case "application/cloudevents-batch+json":
		return formArray, nil
	}
	return 0, wrongMediaType("content type " + strconv.Quote(media) + " is not taken; it must be " + known)
}

func (d *desk) getLog(w http.ResponseWriter, _ *http.Request) {
	writer := d.committer.writing.Load()
	if writer == nil {
		writeAnswer(w, answerError(&refusal{http.StatusServiceUnavailable, "not-ready", "the log is not open yet", nil}))
		return
	}
	info := writer.Info()
	writeJSON(w, http.StatusOK, struct {
		First uint64 `json:"first_sequence"`
		Last  uint64 `json:"last_sequence"`
		Bytes uint64 `json:"bytes"`
		Chain string `json:"chain"`
	}{info.First, info.Last, info.Bytes, info.Chain.String()})
}

func (d *desk) getReady(w http.ResponseWriter, _ *http.Request) {
	if reason := d.committer.obstacle.Load(); reason != nil {
		w.Header().Set("Retry-After", retryAfter)
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"ready": false, "reason": *reason})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"ready": true})
}
