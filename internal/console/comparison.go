package console

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/compare"
)

type difference struct {
	Kind    string  `json:"kind" doc:"As replay verify names it. Of what cannot be read at all: positions, accounts, strategies, bindings, params or trades." example:"held_days"`
	Account string  `json:"account" doc:"The account that it is about; empty for none." example:"55009728"`
	Key     string  `json:"key" example:"55009728/600000.SH"`
	Tier    *string `json:"tier" doc:"What the tier has; null for no such row." example:"4"`
	Log     *string `json:"log" doc:"What the log says; null for no such row." example:"3"`
	Since   string  `json:"since" format:"date-time"`
}

func asDifference(d compare.Difference) difference {
	return difference{d.Kind, d.Account, d.Key, d.Tier, d.Log, events.FormatTime(d.Since)}
}

type comparedTier struct {
	Tier         string       `json:"tier" enum:"redis,mysql,clickhouse,file"`
	CheckedAt    *string      `json:"checked_at" doc:"When it was compared last; null for never."`
	Sequence     uint64       `json:"sequence" doc:"Where it was then."`
	Held         bool         `json:"held" doc:"A hold keeps it where it is, or leaves events out: it is not compared."`
	Error        string       `json:"error,omitempty" doc:"Why it was not compared in the last round: it cannot be reached, lags, or is held."`
	ComparedRows int          `json:"compared_rows"`
	Undecided    int          `json:"undecided" doc:"Rows that events changed too often to be compared; the next round looks again."`
	Differences  []difference `json:"differences" nullable:"false" doc:"At most 100, by kind and key. They stay until a look finds them gone."`
	More         int          `json:"more" doc:"Differences that are not listed."`
}

func asComparedTier(t compare.TierReport) comparedTier {
	listed := t.Differences[:min(len(t.Differences), compare.Listed)]
	return comparedTier{
		Tier: t.Tier, CheckedAt: timeOrNull(t.Checked), Sequence: t.Sequence, Held: t.Held, Error: textOf(t.Error), ComparedRows: t.Rows, Undecided: t.Undecided,
		Differences: each(listed, asDifference), More: len(t.Differences) - len(listed),
	}
}

type tiersComparison struct {
	IntervalSeconds float64        `json:"interval_seconds" doc:"Time between two rounds; 0 when there are none but those asked for."`
	CheckedAt       *string        `json:"checked_at" doc:"End of the last round; null before the first."`
	Sequence        uint64         `json:"sequence" doc:"Where the log was then."`
	Tiers           []comparedTier `json:"tiers" nullable:"false" doc:"Those that are configured."`
	Differences     int            `json:"differences" doc:"Of all tiers."`
}

func (a *api) comparisonNow() *body[tiersComparison] {
	report := a.comparer.Report()
	out := tiersComparison{
		IntervalSeconds: report.Every.Seconds(), CheckedAt: timeOrNull(report.Checked), Sequence: report.Sequence, Tiers: each(report.Tiers, asComparedTier),
	}
	for _, t := range report.Tiers {
		out.Differences += len(t.Differences)
	}
	return &body[tiersComparison]{out}
}

func (a *api) comparison(h huma.API) {
	get(h, "/v1/comparison", "get-comparison", "service", "What the last comparison of the tiers with the log found",
		func(context.Context, *struct{}) (*body[tiersComparison], error) { return a.comparisonNow(), nil })
	huma.Register(h, huma.Operation{
		OperationID: "compare-now", Method: http.MethodPost, Path: "/v1/comparison", Tags: []string{"service"},
		Summary: "Compare the tiers with the log now", Errors: []int{422, 503, 504},
	}, func(ctx context.Context, _ *struct{}) (*body[tiersComparison], error) {
		ctx, cancel := context.WithTimeout(ctx, requestBound)
		defer cancel()
		if err := a.comparer.Round(ctx); err != nil {
			if ctx.Err() != nil {
				err = huma.Error504GatewayTimeout("it took longer than " + requestBound.String() + "; GET tells what the rounds find")
			}
			return nil, refusal(err)
		}
		return a.comparisonNow(), nil
	})
}
