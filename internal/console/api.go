package console

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed-744e3d1b/tapedeck/internal/compare"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// requestBound is how long a request may take, but for the stream of events:
// longer than any wait that can be asked for.
const requestBound = 15 * time.Second

// source is what the API reads.
type source interface {
	// now is the log; it wraps eventlog.ErrUnreachable before it was reached.
	now() (*eventlog.Log, error)
}

// api answers requests.
type api struct {
	router   *query.Router
	primary  *query.Primaries
	comparer *compare.Comparer
	tape     source
}

// NewAPI is the read API as a handler.
func NewAPI(router *query.Router, primary *query.Primaries, comparer *compare.Comparer, tape source) http.Handler {
	mux := http.NewServeMux()
	registry := prometheus.NewRegistry()
	registry.MustRegister(router, comparer, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	a := &api{router, primary, comparer, tape}
	a.register(humago.New(mux, config()))
	return mux
}

func config() huma.Config {
	schemas := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	format := huma.Format{
		Marshal: write,
		// Huma takes a name in another case for the same, and json for none.
		Unmarshal: func(raw []byte, v any) error { return json.Unmarshal(raw, v, json.RejectUnknownMembers(true)) },
	}
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title:   "Tapedeck read API",
				Version: "1",
				Description: "Reads of positions, records, trades and klines. Each kind has a primary tier; when that cannot answer, the next one does, and the answer is marked degraded. " +
					"Prices, amounts and percentages are strings, never floats. Writes go to ingest.",
			},
			Components: &huma.Components{Schemas: schemas},
		},
		OpenAPIPath:                  "/openapi",
		Formats:                      map[string]huma.Format{"application/json": format, "json": format}, // the latter for what ends in +json
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
}

// write writes an answer.
func write(w io.Writer, v any) error {
	list, long := v.(tradeList)
	if !long {
		return json.MarshalWrite(w, v, json.Deterministic(true))
	}
	text, err := list.appendJSON(nil)
	if err == nil {
		_, err = w.Write(text)
	}
	return err
}

func (a *api) register(h huma.API) {
	a.positions(h)
	a.records(h)
	a.params(h)
	a.trades(h)
	a.klines(h)
	a.status(h)
	a.comparison(h)
	a.events(h)
	h.OpenAPI().AddOperation(&huma.Operation{
		OperationID: "metrics", Method: http.MethodGet, Path: "/metrics", Summary: "Metrics for Prometheus", Tags: []string{"service"},
		Responses: map[string]*huma.Response{"200": {Description: "Prometheus's text format", Content: map[string]*huma.MediaType{"text/plain": {}}}},
	})
}

// get registers one read.
func get[I, O any](h huma.API, path, id, tag, summary string, handler func(context.Context, *I) (*O, error), errors ...int) {
	huma.Register(h, huma.Operation{OperationID: id, Method: http.MethodGet, Path: path, Summary: summary, Tags: []string{tag}, Errors: append(errors, http.StatusUnprocessableEntity)},
		func(ctx context.Context, in *I) (*O, error) {
			ctx, cancel := context.WithTimeout(ctx, requestBound)
			defer cancel()
			out, err := handler(ctx, in)
			return out, refusal(err)
		})
}

// refusal turns what went wrong into a problem.
func refusal(err error) error {
	var primary *query.PrimaryError
	var said huma.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &said):
		return said
	case errors.Is(err, query.ErrBehind):
		return huma.Error504GatewayTimeout(err.Error())
	case errors.Is(err, query.ErrUnavailable), errors.Is(err, eventlog.ErrUnreachable):
		return huma.Error503ServiceUnavailable(err.Error())
	case errors.Is(err, query.ErrTooLarge):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.As(err, &primary):
		return huma.Error422UnprocessableEntity(err.Error(), &huma.ErrorDetail{Message: primary.Reason, Location: "body." + primary.Kind, Value: primary.Tier})
	}
	return huma.Error500InternalServerError(err.Error())
}

// newServer is the HTTP server of a handler. Its timeouts let go of clients that
// are too slow to be served. Requests end with ctx: the stream of events would
// hold up a stop.
func newServer(ctx context.Context, handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
