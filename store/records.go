package store

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
)

type account struct {
	ID             string `json:"account_id"`
	Name           string `json:"account_name"`
	Broker         string `json:"broker"`
	Status         string `json:"status"`
	InitialCapital string `json:"initial_capital"`
	CurrentCapital string `json:"current_capital"`
	TotalAssets    string `json:"total_assets"`
	PositionValue  string `json:"position_value"`
	CreatedAt      string `json:"created_at"`
	UpdatedAt      string `json:"updated_at"`
}

func (a account) value(p *parser) Account {
	money := func(text string) events.Money { return parsed(p, events.ParseMoney, text) }
	return Account{
		ID: a.ID, Name: a.Name, Broker: a.Broker, Status: a.Status,
		InitialCapital: money(a.InitialCapital), CurrentCapital: money(a.CurrentCapital), TotalAssets: money(a.TotalAssets), PositionValue: money(a.PositionValue),
		CreatedAt: parsed(p, events.ParseTime, a.CreatedAt), UpdatedAt: parsed(p, events.ParseTime, a.UpdatedAt),
	}
}

// CreateAccount implements Store.
func (c *Client) CreateAccount(ctx context.Context, a events.AccountCreated) error {
	_, err := c.write(ctx, records, &a)
	return err
}

// GetAccount implements Store.
func (c *Client) GetAccount(ctx context.Context, accountID string) (Account, error) {
	var answer struct {
		head
		Account account `json:"account"`
	}
	if err := c.get(ctx, records, []string{"v1", "accounts", accountID}, nil, &answer); err != nil {
		return Account{}, err
	}
	var p parser
	a := answer.Account.value(&p)
	return a, p.err
}

// UpdateAccountCapital implements Store.
func (c *Client) UpdateAccountCapital(ctx context.Context, accountID string, current, total, position events.Money) error {
	_, err := c.write(ctx, records, &events.CapitalUpdated{AccountID: accountID, CurrentCapital: &current, TotalAssets: total, PositionValue: &position})
	return err
}

// ListAccounts implements Store.
func (c *Client) ListAccounts(ctx context.Context, status string) ([]Account, error) {
	var answer struct {
		head
		Accounts []account `json:"accounts"`
	}
	parameters := make(url.Values)
	if status != "" {
		parameters.Set("status", status)
	}
	if err := c.get(ctx, records, []string{"v1", "accounts"}, parameters, &answer); err != nil {
		return nil, err
	}
	var p parser
	list := make([]Account, len(answer.Accounts))
	for i, a := range answer.Accounts {
		list[i] = a.value(&p)
	}
	return list, p.err
}

// CreateStrategy implements Store.
func (c *Client) CreateStrategy(ctx context.Context, s events.StrategyCreated) error {
	_, err := c.write(ctx, records, &s)
	return err
}

// GetStrategyParams implements Store.
func (c *Client) GetStrategyParams(ctx context.Context, strategy string, version int64) (Params, error) {
	var answer struct {
		head
		Param struct {
			StrategyCode string                    `json:"strategy_code"`
			Version      int64                     `json:"version"`
			Active       bool                      `json:"active"`
			Remark       string                    `json:"remark"`
			CreatedAt    string                    `json:"created_at"`
			Params       map[string]jsontext.Value `json:"params"`
		} `json:"param"`
	}
	parameters := make(url.Values)
	if version != 0 {
		parameters.Set("version", strconv.FormatInt(version, 10))
	}
	if err := c.get(ctx, records, []string{"v1", "strategies", strategy, "params"}, parameters, &answer); err != nil {
		return Params{}, err
	}
	var p parser
	got := answer.Param
	return Params{
		StrategyCode: got.StrategyCode, Version: got.Version, Active: got.Active, Remark: got.Remark,
		CreatedAt: parsed(&p, events.ParseTime, got.CreatedAt), Values: got.Params,
	}, p.err
}

// SaveStrategyParams implements Store.
func (c *Client) SaveStrategyParams(ctx context.Context, strategyCode string, params any, remark string) (int64, error) {
	text, err := json.Marshal(params, json.Deterministic(true))
	if err != nil {
		return 0, fmt.Errorf("store: parameters of %s: %w", strategyCode, err)
	}
	receipts, err := c.write(ctx, records, &events.ParamSaved{StrategyCode: strategyCode, Params: text, Remark: remark})
	if err != nil {
		return 0, err
	}
	// Ingest gives the number. Only the event itself says which: somebody else
	// may have saved another version since.
	saved, err := c.event(ctx, receipts[0].Sequence)
	if err != nil {
		return 0, fmt.Errorf("store: the parameters of %s are saved; their version is not known: %w", strategyCode, err)
	}
	data, ok := saved.Data.(*events.ParamSaved)
	if !ok {
		return 0, fmt.Errorf("store: event %d is %s, not what was saved", receipts[0].Sequence, saved.Type())
	}
	return data.Version, nil
}

// event reads one event from the stream of them.
func (c *Client) event(ctx context.Context, sequence uint64) (*events.Event, error) {
	target := c.target([]string{"v1", "events"}, url.Values{"after": {strconv.FormatUint(sequence-1, 10)}})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, problem(response.StatusCode, nil)
	}
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(nil, 2*events.MaxEventBytes)
	for lines.Scan() {
		if text, found := strings.CutPrefix(lines.Text(), "data: "); found {
			return events.DecodeStored([]byte(text))
		}
	}
	return nil, fmt.Errorf("the stream of events ended: %w", lines.Err())
}

// CompareStrategyParams implements Store.
func (c *Client) CompareStrategyParams(ctx context.Context, strategy string, a, b int64) (Comparison, error) {
	var answer struct {
		head
		Added   map[string]jsontext.Value `json:"added"`
		Removed map[string]jsontext.Value `json:"removed"`
		Changed map[string]struct {
			A jsontext.Value `json:"a"`
			B jsontext.Value `json:"b"`
		} `json:"changed"`
	}
	parameters := url.Values{"a": {strconv.FormatInt(a, 10)}, "b": {strconv.FormatInt(b, 10)}}
	if err := c.get(ctx, records, []string{"v1", "strategies", strategy, "params", "compare"}, parameters, &answer); err != nil {
		return Comparison{}, err
	}
	out := Comparison{Added: answer.Added, Removed: answer.Removed, Changed: make(map[string]Change, len(answer.Changed))}
	for key, change := range answer.Changed {
		out.Changed[key] = Change(change)
	}
	return out, nil
}

// BindStrategy implements Store.
func (c *Client) BindStrategy(ctx context.Context, b events.StrategyBound) error {
	_, err := c.write(ctx, records, &b)
	return err
}

// UnbindStrategy implements Store.
func (c *Client) UnbindStrategy(ctx context.Context, accountID, strategyCode string) error {
	_, err := c.write(ctx, records, &events.StrategyUnbound{AccountID: accountID, StrategyCode: strategyCode})
	return err
}

// ListAccountStrategies implements Store.
func (c *Client) ListAccountStrategies(ctx context.Context, accountID string) ([]Binding, error) {
	return c.bindings(ctx, "v1", "accounts", accountID, "strategies")
}

// ListStrategyAccounts implements Store.
func (c *Client) ListStrategyAccounts(ctx context.Context, strategy string) ([]Binding, error) {
	return c.bindings(ctx, "v1", "strategies", strategy, "accounts")
}

func (c *Client) bindings(ctx context.Context, path ...string) ([]Binding, error) {
	var answer struct {
		head
		Bindings []struct {
			AccountID        string `json:"account_id"`
			StrategyCode     string `json:"strategy_code"`
			AllocatedCapital string `json:"allocated_capital"`
			RiskLimit        string `json:"risk_limit"`
			Status           string `json:"status"`
			CreatedAt        string `json:"created_at"`
			UpdatedAt        string `json:"updated_at"`
		} `json:"bindings"`
	}
	if err := c.get(ctx, records, path, nil, &answer); err != nil {
		return nil, err
	}
	var p parser
	list := make([]Binding, len(answer.Bindings))
	for i, b := range answer.Bindings {
		list[i] = Binding{
			AccountID: b.AccountID, StrategyCode: b.StrategyCode, AllocatedCapital: parsed(&p, events.ParseMoney, b.AllocatedCapital),
			RiskLimit: parsed(&p, events.ParsePercent, b.RiskLimit), Status: b.Status,
			CreatedAt: parsed(&p, events.ParseTime, b.CreatedAt), UpdatedAt: parsed(&p, events.ParseTime, b.UpdatedAt),
		}
	}
	return list, p.err
}
