package projector

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Listen serves /metrics, /healthz and /readyz for a projector until ctx ends.
// It returns once the address is bound, with that address (port 0 picks one).
func (s *State) Listen(ctx context.Context, address string) (string, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("metrics: listen on %s (choose another with --metrics): %w", address, err)
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(s, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ready, reason := s.Ready(); !ready {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		lag := s.Lag()
		fmt.Fprintf(w, "ready, lag %d events, %.3f s\n", lag.Events, lag.Age.Seconds())
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() { server.Close() })
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.stopped(fmt.Errorf("metrics server: %w", err))
		}
	}()
	return listener.Addr().String(), nil
}
