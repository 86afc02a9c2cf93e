package console

import (
	"reflect"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/query"
)

// tradeList is the one answer that is long: a year of an account is megabytes.
// It is written without a value of its own for each field, which takes a third
// of the time.
type tradeList struct {
	Envelope
	trades []query.Trade
}

// Schema implements huma.SchemaProvider.
func (tradeList) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[tradesAnswer](), true, "")
}

// tradeBytes is about what one trade takes.
const tradeBytes = 384

// appendJSON appends it as a tradesAnswer is written.
func (l tradeList) appendJSON(b []byte) ([]byte, error) {
	head, err := json.Marshal(l.Envelope)
	if err != nil {
		return nil, err
	}
	b = slices.Grow(b, len(head)+tradeBytes*len(l.trades))
	b = append(b, head[:len(head)-1]...) // its fields stand among the others
	b = append(b, `,"trades":[`...)
	for i := range l.trades {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendTrade(b, &l.trades[i]); err != nil {
			return nil, err
		}
	}
	return append(b, "]}"...), nil
}

func appendTrade(b []byte, t *query.Trade) ([]byte, error) {
	var fault error
	text := func(name, value string) {
		b = append(append(b, name...), ':')
		quoted, err := jsontext.AppendQuote(b, value)
		if err != nil {
			fault = err
		}
		b = append(quoted, ',')
	}
	whole := func(name, value string) {
		if t.Whole {
			text(name, value)
			return
		}
		b = append(append(b, name...), ":null,"...)
	}
	b = append(b, `{"sequence":`...)
	if t.Whole {
		b = strconv.AppendUint(b, t.Sequence, 10)
	} else {
		b = append(b, "null"...)
	}
	b = append(b, ',')
	text(`"account_id"`, t.AccountID)
	text(`"stock_code"`, t.StockCode)
	text(`"stock_name"`, t.StockName)
	text(`"order_type"`, string(t.OrderType))
	text(`"price_type"`, string(t.PriceType))
	b = append(b, `"price":"`...)
	b, _ = t.Price.AppendText(b) // has no error
	b = append(b, `","volume":`...)
	b = strconv.AppendInt(b, t.Volume, 10)
	b = append(b, `,"amount":"`...)
	b, _ = t.Amount.AppendText(b) // has no error
	b = append(b, `",`...)
	whole(`"strategy_name"`, t.StrategyName)
	text(`"remark"`, t.Remark)
	text(`"traded_at"`, events.FormatTime(t.TradedAt))
	whole(`"order_id"`, t.OrderID)
	b[len(b)-1] = '}'
	return b, fault
}
