package console

import (
	"context"
	"fmt"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

type account struct {
	ID             string `json:"account_id"`
	Name           string `json:"account_name"`
	Broker         string `json:"broker" enum:"QMT,GM,TDX"`
	Status         string `json:"status" enum:"active,inactive,suspended"`
	InitialCapital string `json:"initial_capital" example:"100000.00"`
	CurrentCapital string `json:"current_capital"`
	TotalAssets    string `json:"total_assets"`
	PositionValue  string `json:"position_value"`
	CreatedAt      string `json:"created_at" format:"date-time"`
	UpdatedAt      string `json:"updated_at" format:"date-time"`
}

func asAccount(a book.Account) account {
	return account{
		a.ID, a.Name, a.Broker, a.Status, a.InitialCapital.String(), a.CurrentCapital.String(), a.TotalAssets.String(), a.PositionValue.String(),
		events.FormatTime(a.CreatedAt), events.FormatTime(a.UpdatedAt),
	}
}

type strategy struct {
	Code        string `json:"strategy_code"`
	Name        string `json:"strategy_name"`
	Type        string `json:"strategy_type" enum:"wencai,remote,technical"`
	Version     string `json:"version" example:"1.0.0"`
	Description string `json:"description"`
	Status      string `json:"status" enum:"testing,active,inactive"`
	CreatedAt   string `json:"created_at" format:"date-time"`
	UpdatedAt   string `json:"updated_at" format:"date-time"`
}

func asStrategy(s book.Strategy) strategy {
	return strategy{s.Code, s.Name, s.Type, s.Version, s.Description, s.Status, events.FormatTime(s.CreatedAt), events.FormatTime(s.UpdatedAt)}
}

type binding struct {
	AccountID        string `json:"account_id"`
	StrategyCode     string `json:"strategy_code"`
	AllocatedCapital string `json:"allocated_capital" example:"50000.00"`
	RiskLimit        string `json:"risk_limit" doc:"Percent." example:"20.00"`
	Status           string `json:"status" enum:"active,paused"`
	CreatedAt        string `json:"created_at" format:"date-time"`
	UpdatedAt        string `json:"updated_at" format:"date-time"`
}

func asBinding(b book.Binding) binding {
	return binding{b.AccountID, b.StrategyCode, b.AllocatedCapital.String(), b.RiskLimit.String(), b.Status, events.FormatTime(b.CreatedAt), events.FormatTime(b.UpdatedAt)}
}

type accountsAnswer struct {
	Envelope
	Accounts []account `json:"accounts" nullable:"false"`
}

type accountAnswer struct {
	Envelope
	Account account `json:"account"`
}

type strategiesAnswer struct {
	Envelope
	Strategies []strategy `json:"strategies" nullable:"false"`
}

type strategyAnswer struct {
	Envelope
	Strategy strategy `json:"strategy"`
}

type bindingsAnswer struct {
	Envelope
	Bindings []binding `json:"bindings" nullable:"false"`
}

func (a *api) records(h huma.API) {
	get(h, "/v1/accounts", "list-accounts", "records", "Accounts, by id",
		func(ctx context.Context, in *struct {
			Wanted
			Status string `query:"status" enum:"active,inactive,suspended" doc:"Only those of this status."`
		}) (*body[accountsAnswer], error) {
			got, err := a.router.Accounts(ctx, in.want(), "")
			if err != nil {
				return nil, err
			}
			list := picked(got.Value, func(x book.Account) bool { return in.Status == "" || x.Status == in.Status })
			return &body[accountsAnswer]{accountsAnswer{enveloped(got), each(list, asAccount)}}, nil
		}, 503, 504)
	get(h, "/v1/accounts/{account}", "get-account", "records", "One account",
		func(ctx context.Context, in *struct {
			AccountPath
			Wanted
		}) (*body[accountAnswer], error) {
			got, err := a.account(ctx, in.want(), in.Account)
			if err != nil {
				return nil, err
			}
			return &body[accountAnswer]{accountAnswer{enveloped(got), asAccount(got.Value)}}, nil
		}, 404, 503, 504)
	get(h, "/v1/accounts/{account}/strategies", "list-account-strategies", "records", "The bindings of an account",
		func(ctx context.Context, in *struct {
			AccountPath
			Wanted
		}) (*body[bindingsAnswer], error) {
			if _, err := a.account(ctx, in.want(), in.Account); err != nil {
				return nil, err
			}
			return a.bindings(ctx, in.want(), in.Account, "")
		}, 404, 503, 504)
	get(h, "/v1/strategies", "list-strategies", "records", "Strategies, by code",
		func(ctx context.Context, in *struct {
			Wanted
			Status string `query:"status" enum:"testing,active,inactive" doc:"Only those of this status."`
			Name   string `query:"name" doc:"Only the one of this name."`
		}) (*body[strategiesAnswer], error) {
			got, err := a.router.Strategies(ctx, in.want(), "")
			if err != nil {
				return nil, err
			}
			list := picked(got.Value, func(x book.Strategy) bool {
				return (in.Status == "" || x.Status == in.Status) && (in.Name == "" || x.Name == in.Name)
			})
			return &body[strategiesAnswer]{strategiesAnswer{enveloped(got), each(list, asStrategy)}}, nil
		}, 503, 504)
	get(h, "/v1/strategies/{strategy}", "get-strategy", "records", "One strategy",
		func(ctx context.Context, in *struct {
			StrategyPath
			Wanted
		}) (*body[strategyAnswer], error) {
			got, err := a.strategy(ctx, in.want(), in.Strategy)
			if err != nil {
				return nil, err
			}
			return &body[strategyAnswer]{strategyAnswer{enveloped(got), asStrategy(got.Value)}}, nil
		}, 404, 503, 504)
	get(h, "/v1/strategies/{strategy}/accounts", "list-strategy-accounts", "records", "The bindings of a strategy",
		func(ctx context.Context, in *struct {
			StrategyPath
			Wanted
		}) (*body[bindingsAnswer], error) {
			found, err := a.strategy(ctx, in.want(), in.Strategy)
			if err != nil {
				return nil, err
			}
			return a.bindings(ctx, in.want(), "", found.Value.Code)
		}, 404, 503, 504)
}

func (a *api) bindings(ctx context.Context, want query.Want, account, code string) (*body[bindingsAnswer], error) {
	got, err := a.router.Bindings(ctx, want, account, code)
	if err != nil {
		return nil, err
	}
	return &body[bindingsAnswer]{bindingsAnswer{enveloped(got), each(got.Value, asBinding)}}, nil
}

// account is one account, or a problem 404.
func (a *api) account(ctx context.Context, want query.Want, id string) (query.Answer[book.Account], error) {
	got, err := a.router.Accounts(ctx, want, id)
	if err != nil {
		return query.Answer[book.Account]{}, err
	}
	return one(got, fmt.Sprintf("there is no account %q", id))
}

// strategy is the strategy of a code or, when no strategy has that code, of a
// name; else a problem 404.
func (a *api) strategy(ctx context.Context, want query.Want, codeOrName string) (query.Answer[book.Strategy], error) {
	got, err := a.router.Strategies(ctx, want, codeOrName)
	if err == nil && len(got.Value) == 0 {
		got, err = a.router.Strategies(ctx, want, "")
		got.Value = picked(got.Value, func(s book.Strategy) bool { return s.Name == codeOrName })
	}
	if err != nil {
		return query.Answer[book.Strategy]{}, err
	}
	return one(got, fmt.Sprintf("there is no strategy %q", codeOrName))
}

// one is the only item of an answer, or a problem 404.
func one[T any](got query.Answer[[]T], missing string) (query.Answer[T], error) {
	answer := query.Answer[T]{Sequence: got.Sequence, Tier: got.Tier, Degraded: got.Degraded, Reason: got.Reason}
	if len(got.Value) == 0 {
		return answer, huma.Error404NotFound(fmt.Sprintf("%s as of sequence %d", missing, got.Sequence))
	}
	answer.Value = got.Value[0]
	return answer, nil
}

func picked[T any](list []T, picks func(T) bool) []T {
	var some []T
	for _, item := range list {
		if picks(item) {
			some = append(some, item)
		}
	}
	return some
}
