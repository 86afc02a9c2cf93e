package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

type logStatus struct {
	LastSequence uint64 `json:"last_sequence" doc:"The log's end, as it was seen last."`
	Reachable    bool   `json:"reachable"`
	Error        string `json:"error,omitempty"`
}

type tierStatus struct {
	Name      string  `json:"name" enum:"redis,mysql,clickhouse,file,memory"`
	Reachable bool    `json:"reachable"`
	Sequence  uint64  `json:"sequence" doc:"Where the tier was seen last."`
	Lag       *uint64 `json:"lag" doc:"Events of the log that it lacked then; null while the log was never reached."`
	Held      bool    `json:"held" doc:"A hold keeps it there on purpose."`
	Parked    bool    `json:"parked" doc:"It lacks events that it could not apply."`
	Error     string  `json:"error,omitempty"`
}

// primaries are the settings that answer for each kind. A field that is left
// out of a change stays as it is.
type primaries struct {
	Positions string `json:"positions,omitempty" enum:"auto,redis,file,memory" doc:"Held days and marked prices."`
	Records   string `json:"records,omitempty" enum:"auto,mysql,file,memory" doc:"Accounts, strategies, bindings, parameters."`
	Trades    string `json:"trades,omitempty" enum:"auto,clickhouse,memory,file"`
	Klines    string `json:"klines,omitempty" enum:"auto,clickhouse,file,memory"`
}

func (p primaries) set() map[query.Kind]string {
	set := map[query.Kind]string{query.Positions: p.Positions, query.Records: p.Records, query.Trades: p.Trades, query.Klines: p.Klines}
	for kind, tier := range set {
		if tier == "" {
			delete(set, kind)
		}
	}
	return set
}

func (a *api) primaries() primaries {
	all := a.primary.All()
	return primaries{all[query.Positions], all[query.Records], all[query.Trades], all[query.Klines]}
}

type statusAnswer struct {
	Log     logStatus    `json:"log"`
	Tiers   []tierStatus `json:"tiers" nullable:"false"`
	Primary primaries    `json:"primary"`
}

type settingsAnswer struct {
	Primary primaries `json:"primary" doc:"auto is the first tier of the kind's order that is configured."`
}

type health struct {
	Ready  bool   `json:"ready"`
	Reason string `json:"reason,omitempty"`
}

func (a *api) status(h huma.API) {
	get(h, "/v1/status", "get-status", "service", "The log's end, and where each tier was seen last",
		func(context.Context, *struct{}) (*body[statusAnswer], error) {
			return &body[statusAnswer]{a.statusNow()}, nil
		})
	get(h, "/v1/settings", "get-settings", "settings", "The settings that can be changed while running",
		func(context.Context, *struct{}) (*body[settingsAnswer], error) {
			return &body[settingsAnswer]{settingsAnswer{a.primaries()}}, nil
		})
	huma.Register(h, huma.Operation{
		OperationID: "put-primary", Method: http.MethodPut, Path: "/v1/settings/primary", Tags: []string{"settings"},
		Summary:     "Choose which tier answers",
		Description: "Takes effect at once and outlives a restart. Kinds that are left out stay as they are.",
		Errors:      []int{422},
	}, func(_ context.Context, in *body[primaries]) (*body[settingsAnswer], error) {
		if err := a.primary.Set(in.Body.set()); err != nil {
			return nil, refusal(err)
		}
		return &body[settingsAnswer]{settingsAnswer{a.primaries()}}, nil
	})
	get(h, "/healthz", "get-health", "service", "Whether the process lives",
		func(context.Context, *struct{}) (*body[health], error) {
			return &body[health]{health{Ready: true}}, nil
		})
	get(h, "/readyz", "get-ready", "service", "Whether every kind of data can be read",
		func(context.Context, *struct{}) (*body[health], error) {
			for _, kind := range query.Kinds() {
				if err := a.router.Readable(kind); err != nil {
					return nil, err
				}
			}
			return &body[health]{health{Ready: true}}, nil
		}, 503)
}

func (a *api) statusNow() statusAnswer {
	seen := a.router.Status()
	answer := statusAnswer{Log: logStatus{LastSequence: seen.LogEnd, Reachable: seen.LogError == nil, Error: textOf(seen.LogError)}, Primary: a.primaries()}
	for _, t := range seen.Tiers {
		status := tierStatus{Name: t.Name, Reachable: t.Reachable, Sequence: t.At.Sequence, Held: t.At.Held, Parked: t.At.Parked, Error: textOf(t.Error)}
		if seen.LogSeen {
			lag := seen.LogEnd - min(seen.LogEnd, t.At.Sequence)
			status.Lag = &lag
		}
		answer.Tiers = append(answer.Tiers, status)
	}
	return answer
}

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
