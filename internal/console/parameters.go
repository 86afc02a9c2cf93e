package console

import (
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// Wanted is what every read takes.
type Wanted struct {
	AtLeast uint64 `query:"at_least" doc:"A sequence that the answer must contain, such as that of your last receipt. The read waits for it; 504 when no tier gets there in time."`
	Wait    wait   `query:"wait" doc:"How long at_least waits: 2s when absent, at most 10s." example:"500ms"`
}

func (w Wanted) want() query.Want { return query.Want{AtLeast: w.AtLeast, Wait: w.Wait.Duration} }

// Span is a range of days.
type Span struct {
	From day `query:"from" doc:"First day, 2025-01-02 or 20250102."`
	To   day `query:"to" doc:"Last day, included."`
}

// AccountPath is the account in a path.
type AccountPath struct {
	Account string `path:"account" doc:"The account's id." pattern:"^[A-Za-z0-9_-]{1,50}$" example:"55009728"`
}

// StockPath is the stock in a path.
type StockPath struct {
	Stock stock `path:"stock" doc:"The stock's code; SH600000 is taken as well." example:"600000.SH"`
}

// StrategyPath is the strategy in a path.
type StrategyPath struct {
	Strategy string `path:"strategy" doc:"The strategy's code, or its name." maxLength:"300" example:"wencai_v1"`
}

// wait is a duration as a parameter.
type wait struct{ time.Duration }

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *wait) UnmarshalText(text []byte) (err error) {
	w.Duration, err = time.ParseDuration(string(text))
	if err != nil || w.Duration < 0 || w.Duration > query.MaxWait {
		return errors.New("must be a duration up to 10s, such as 500ms")
	}
	return nil
}

// Schema implements huma.SchemaProvider.
func (wait) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// day is a date as a parameter, with dashes or without.
type day struct{ events.Date }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *day) UnmarshalText(text []byte) (err error) {
	if len(text) == len("20250102") {
		text = []byte(string(text[:4]) + "-" + string(text[4:6]) + "-" + string(text[6:]))
	}
	d.Date, err = events.ParseDate(string(text))
	return err
}

// Schema implements huma.SchemaProvider.
func (day) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: `^\d{4}-?\d{2}-?\d{2}$`}
}

// stock is a stock's code as a parameter, in canonical form: 600000.SH.
type stock struct{ code string }

const stockPattern = `^(\d{6}\.(SH|SZ|BJ)|(SH|SZ|BJ)\d{6})$`

var stockForm = regexp.MustCompile(stockPattern)

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *stock) UnmarshalText(text []byte) error {
	if !stockForm.Match(text) {
		return errors.New("must be a stock's code such as 600000.SH")
	}
	if s.code = string(text); !strings.Contains(s.code, ".") {
		s.code = s.code[2:] + "." + s.code[:2]
	}
	return nil
}

// Schema implements huma.SchemaProvider.
func (stock) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Pattern: stockPattern}
}

// stocks is a list of codes as a parameter, divided by commas.
type stocks struct{ codes []string }

// maxStocks is how many stocks one read may ask for.
const maxStocks = 100

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *stocks) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), ",")
	if len(parts) > maxStocks {
		return errors.New("must be at most 100 stocks")
	}
	for _, part := range parts {
		var one stock
		if err := one.UnmarshalText([]byte(strings.TrimSpace(part))); err != nil {
			return err
		}
		s.codes = append(s.codes, one.code)
	}
	return nil
}

// Schema implements huma.SchemaProvider.
func (stocks) Schema(huma.Registry) *huma.Schema { return &huma.Schema{Type: huma.TypeString} }

// Envelope begins every answer of a read.
type Envelope struct {
	Sequence uint64 `json:"sequence" doc:"The last event of the log that the answer contains."`
	Tier     string `json:"tier" enum:"redis,mysql,clickhouse,file,memory" doc:"Which tier answered."`
	Degraded bool   `json:"degraded" doc:"Another tier than the primary answered, or all are far behind the log."`
	Reason   string `json:"reason,omitempty" doc:"Why it is degraded."`
	Held     bool   `json:"held" doc:"The tier is held at this sequence on purpose, by a rollback for example."`
}

func enveloped[T any](a query.Answer[T]) Envelope {
	return Envelope{Sequence: a.Sequence, Tier: a.Tier, Degraded: a.Degraded, Reason: a.Reason, Held: a.Held}
}

// body is an answer with a JSON body.
type body[T any] struct{ Body T }

// each converts a list; the result is never nil.
func each[T, R any](list []T, convert func(T) R) []R {
	converted := make([]R, len(list))
	for i, item := range list {
		converted[i] = convert(item)
	}
	return converted
}

// textOrNull is nil for what is not known.
func textOrNull(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
