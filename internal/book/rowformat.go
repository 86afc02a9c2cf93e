package book

import (
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// rowFormat is how a row's value is written and read. It fixes every type's
// text by itself, so that rows stay what they are when the wire format moves.
var rowFormat = json.JoinOptions(
	jsontext.PreserveRawStrings(true),
	jsontext.AllowInvalidUTF8(true),
	jsontext.AllowDuplicateNames(true),
	json.WithMarshalers(json.JoinMarshalers(
		asText(func(p events.Price) string { return p.String() }),
		asText(func(m events.Money) string { return m.String() }),
		asText(func(p events.Percent) string { return p.String() }),
		asText(func(d events.Date) string { return d.String() }),
		asText(events.FormatTime),
	)),
	json.WithUnmarshalers(json.JoinUnmarshalers(
		fromText(events.ParsePrice),
		fromText(events.ParseMoney),
		fromText(events.ParsePercent),
		fromText(events.ParseDate),
		fromText[time.Time](events.ParseTime),
	)),
)

func asText[T any](format func(T) string) *json.Marshalers {
	return json.MarshalToFunc(func(enc *jsontext.Encoder, v T) error {
		return enc.WriteToken(jsontext.String(format(v)))
	})
}

func fromText[T any](parse func(string) (T, error)) *json.Unmarshalers {
	return json.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *T) error {
		token, err := dec.ReadToken()
		if err != nil {
			return err
		}
		*v, err = parse(token.String())
		return err
	})
}
