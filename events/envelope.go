package events

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxSourceLength is the longest source, in characters.
const MaxSourceLength = 200

// checkEnvelope checks the attributes that need no look at the data.
func (e *Event) checkEnvelope() error {
	if e.Data == nil {
		return invalid("data", "is required", "")
	}
	if err := checkToken("id", e.ID, MaxIDLength); err != nil {
		return err
	}
	if e.Source == "" {
		return invalid("source", "is required", "")
	}
	if utf8.RuneCountInString(e.Source) > MaxSourceLength {
		return invalid("source", "must have at most "+strconv.Itoa(MaxSourceLength)+" characters", e.Source)
	}
	if err := checkToken("source", e.Source, 4*MaxSourceLength); err != nil {
		return err
	}
	if e.Time.IsZero() {
		return invalid("time", "is required", "")
	}
	if err := checkYear(e.Time.In(Zone)); err != nil {
		return invalid("time", err.Error(), e.Time.String())
	}
	if err := checkToken("correlationid", e.CorrelationID, MaxIDLength); err != nil {
		return err
	}
	return checkToken("causationid", e.CausationID, MaxIDLength)
}

// checkToken wants printable text of at most so many bytes.
func checkToken(field, s string, most int) error {
	if len(s) > most {
		return invalid(field, "must have at most "+strconv.Itoa(most)+" bytes", s)
	}
	if !utf8.ValidString(s) {
		return invalid(field, "must be valid UTF-8", s)
	}
	for _, c := range s {
		if !unicode.IsPrint(c) {
			return invalid(field, "must consist of printable characters", strconv.Quote(s))
		}
	}
	return nil
}

// checkSubject wants the subject to name the entity of the data and makes it
// canonical.
func (e *Event) checkSubject() error {
	want := e.Data.Subject()
	if e.Subject == want {
		return nil
	}
	accepted := e.Subject == ""
	switch d := e.Data.(type) {
	case *StrategyBound:
		accepted = accepted || e.Subject == "account/"+d.AccountID
	case *BindingChanged:
		accepted = accepted || e.Subject == "account/"+d.AccountID
	case *StrategyUnbound:
		accepted = accepted || e.Subject == "account/"+d.AccountID
	case *KlineRecorded:
		if code, ok := strings.CutPrefix(e.Subject, "stock/"); ok {
			code, ok = stockCode(code)
			accepted = accepted || ok && code == d.StockCode
		}
	}
	if !accepted {
		return invalid("subject", "must name the entity of the data, "+want, e.Subject)
	}
	e.Subject = want
	return nil
}
