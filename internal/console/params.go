package console

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// anyJSON is a value as a strategy saved it, its numbers' text untouched.
type anyJSON struct{ jsontext.Value }

// Schema implements huma.SchemaProvider.
func (anyJSON) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Description: "Any JSON, as it was saved."}
}

type VersionHead struct {
	Version   int64  `json:"version"`
	Active    bool   `json:"active" doc:"Whether this is the version in force."`
	Remark    string `json:"remark"`
	CreatedAt string `json:"created_at" format:"date-time"`
}

type param struct {
	StrategyCode string `json:"strategy_code"`
	VersionHead
	Params map[string]anyJSON `json:"params"`
}

func asHead(p book.Param) VersionHead {
	return VersionHead{p.Version, p.Active, p.Remark, events.FormatTime(p.CreatedAt)}
}

type paramAnswer struct {
	Envelope
	Param param `json:"param"`
}

type versionsAnswer struct {
	Envelope
	StrategyCode string        `json:"strategy_code"`
	Versions     []VersionHead `json:"versions" nullable:"false" doc:"The newest first."`
}

type change struct {
	A anyJSON `json:"a"`
	B anyJSON `json:"b"`
}

type comparison struct {
	Envelope
	StrategyCode string             `json:"strategy_code"`
	A            int64              `json:"a"`
	B            int64              `json:"b"`
	Added        map[string]anyJSON `json:"added" doc:"Keys of b only."`
	Removed      map[string]anyJSON `json:"removed" doc:"Keys of a only."`
	Changed      map[string]change  `json:"changed" doc:"Keys whose values differ, as text."`
}

func (a *api) params(h huma.API) {
	get(h, "/v1/strategies/{strategy}/params", "get-params", "records", "The active version of a strategy's parameters, or a given one",
		func(ctx context.Context, in *struct {
			StrategyPath
			Wanted
			Version int64 `query:"version" minimum:"1" doc:"The version; the active one when absent."`
		}) (*body[paramAnswer], error) {
			which := query.Versions{Active: in.Version == 0}
			if in.Version != 0 {
				which.List = []int64{in.Version}
			}
			got, found, err := a.versions(ctx, in.want(), in.Strategy, which)
			if err != nil {
				return nil, err
			}
			if len(found) == 0 && in.Version == 0 {
				return nil, huma.Error404NotFound(fmt.Sprintf("strategy %q has no parameters as of sequence %d", in.Strategy, got.Sequence))
			}
			if len(found) == 0 {
				return nil, noVersion(in.Strategy, in.Version, got)
			}
			members, err := keys(found[0])
			if err != nil {
				return nil, err
			}
			return &body[paramAnswer]{paramAnswer{got, param{found[0].StrategyCode, asHead(found[0]), members}}}, nil
		}, 404, 503, 504)
	get(h, "/v1/strategies/{strategy}/params/versions", "list-param-versions", "records", "All versions of a strategy's parameters",
		func(ctx context.Context, in *struct {
			StrategyPath
			Wanted
		}) (*body[versionsAnswer], error) {
			strategy, err := a.strategy(ctx, in.want(), in.Strategy)
			if err != nil {
				return nil, err
			}
			got, err := a.router.Params(ctx, in.want(), strategy.Value.Code, query.Versions{})
			if err != nil {
				return nil, err
			}
			slices.Reverse(got.Value)
			return &body[versionsAnswer]{versionsAnswer{enveloped(got), strategy.Value.Code, each(got.Value, asHead)}}, nil
		}, 404, 503, 504)
	get(h, "/v1/strategies/{strategy}/params/compare", "compare-params", "records", "What changed between two versions of a strategy's parameters",
		func(ctx context.Context, in *struct {
			StrategyPath
			Wanted
			A int64 `query:"a" required:"true" minimum:"1"`
			B int64 `query:"b" required:"true" minimum:"1"`
		}) (*body[comparison], error) {
			got, found, err := a.versions(ctx, in.want(), in.Strategy, query.Versions{List: []int64{in.A, in.B}})
			if err != nil {
				return nil, err
			}
			var members [2]map[string]anyJSON
			for i, version := range []int64{in.A, in.B} {
				at := slices.IndexFunc(found, func(p book.Param) bool { return p.Version == version })
				if at < 0 {
					return nil, noVersion(in.Strategy, version, got)
				}
				if members[i], err = keys(found[at]); err != nil {
					return nil, err
				}
			}
			out := changesOf(members[0], members[1])
			out.Envelope, out.StrategyCode, out.A, out.B = got, found[0].StrategyCode, in.A, in.B
			return &body[comparison]{out}, nil
		}, 404, 503, 504)
}

// versions reads parameter versions of a strategy, which must exist.
func (a *api) versions(ctx context.Context, want query.Want, codeOrName string, which query.Versions) (Envelope, []book.Param, error) {
	strategy, err := a.strategy(ctx, want, codeOrName)
	if err != nil {
		return Envelope{}, nil, err
	}
	got, err := a.router.Params(ctx, want, strategy.Value.Code, which)
	return enveloped(got), got.Value, err
}

func noVersion(strategy string, version int64, at Envelope) error {
	return huma.Error404NotFound(fmt.Sprintf("strategy %q has no version %d as of sequence %d", strategy, version, at.Sequence))
}

// keys takes a version's parameters apart.
func keys(p book.Param) (map[string]anyJSON, error) {
	var texts map[string]jsontext.Value
	if err := json.Unmarshal(p.Params, &texts, jsontext.AllowDuplicateNames(true)); err != nil {
		return nil, fmt.Errorf("parameters %s/%d: %w", p.StrategyCode, p.Version, err)
	}
	members := make(map[string]anyJSON, len(texts))
	for key, value := range texts {
		members[key] = anyJSON{value}
	}
	return members, nil
}

func changesOf(a, b map[string]anyJSON) comparison {
	out := comparison{Added: map[string]anyJSON{}, Removed: map[string]anyJSON{}, Changed: map[string]change{}}
	for key, value := range a {
		other, both := b[key]
		switch {
		case !both:
			out.Removed[key] = value
		case !bytes.Equal(value.Value, other.Value):
			out.Changed[key] = change{value, other}
		}
	}
	for key, value := range b {
		if _, both := a[key]; !both {
			out.Added[key] = value
		}
	}
	return out
}
