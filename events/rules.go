package events

import (
	"net/mail"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
)

// rules collects the first broken rule of one payload, so that a normalize
// method reads as a list of rules.
type rules struct{ err error }

func (r *rules) broken(field, rule, value string) {
	if r.err == nil {
		r.err = invalid("data."+field, rule, value)
	}
}

func (r *rules) check(holds bool, field, rule string, value func() string) {
	if !holds && r.err == nil {
		r.broken(field, rule, value())
	}
}

// longestName is how many characters a name may have.
const longestName = 100

// name is a required one-line text of lo to longestName characters that
// neither starts nor ends with a space: databases compare such names as equal.
func (r *rules) name(field, s string, lo int) {
	r.title(field, s, longestName)
	switch n := utf8.RuneCountInString(s); {
	case n == 0:
	case n < lo:
		r.broken(field, "must have at least "+strconv.Itoa(lo)+" characters", s)
	case s[0] == ' ' || s[len(s)-1] == ' ':
		r.broken(field, "must not start or end with a space", s)
	}
}

// title is a required one-line text, kept as it is: exchanges do pad stock
// names with spaces.
func (r *rules) title(field, s string, hi int) {
	if s == "" {
		r.broken(field, "is required", "")
	}
	r.label(field, s, hi)
}

// label is an optional one-line text.
func (r *rules) label(field, s string, hi int) { r.runes(field, s, hi, false) }

// text is an optional text that may have several lines.
func (r *rules) text(field, s string, hi int) { r.runes(field, s, hi, true) }

func (r *rules) runes(field, s string, hi int, lines bool) {
	count := 0
	for _, c := range s {
		count++
		if c < ' ' || c >= 0x7f && unicode.IsControl(c) {
			if lines && (c == '\n' || c == '\t') {
				continue
			}
			r.broken(field, "must not contain control characters", strconv.Quote(s))
			return
		}
	}
	switch {
	case count > hi:
		r.broken(field, "must have at most "+strconv.Itoa(hi)+" characters", s)
	case !utf8.ValidString(s):
		r.broken(field, "must be valid UTF-8", s)
	}
}

// key is an identifier of lo to hi ASCII characters of a class.
func (r *rules) key(field, s string, lo, hi int, class func(byte) bool, rule string) {
	if s == "" {
		r.broken(field, "is required", "")
		return
	}
	ok := len(s) >= lo && len(s) <= hi
	for i := 0; ok && i < len(s); i++ {
		ok = class(s[i])
	}
	if !ok {
		r.broken(field, rule, s)
	}
}

func isAlnum(c byte) bool {
	return c-'0' <= 9 || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func (r *rules) account(s string) {
	r.key("account_id", s, 6, 50, func(c byte) bool { return isAlnum(c) || c == '_' || c == '-' },
		"must be 6 to 50 letters, digits, underscores or hyphens")
}

func (r *rules) strategy(s string) {
	r.key("strategy_code", s, 1, 50, func(c byte) bool { return c-'0' <= 9 || c >= 'a' && c <= 'z' || c == '_' },
		"must be 1 to 50 lower-case letters, digits or underscores")
}

func (r *rules) username(s string) {
	r.key("username", s, 3, 50, func(c byte) bool { return isAlnum(c) || c == '_' },
		"must be 3 to 50 letters, digits or underscores")
}

// stock checks a stock code and writes SH600000 as 600000.SH.
func (r *rules) stock(code *string) {
	if *code == "" {
		r.broken("stock_code", "is required", "")
		return
	}
	s, ok := stockCode(*code)
	if !ok {
		r.broken("stock_code", "must be six digits, a dot and SH, SZ or BJ, such as 600000.SH", *code)
		return
	}
	*code = s
}

func stockCode(s string) (string, bool) {
	switch {
	case len(s) == 9 && s[6] == '.' && allDigits(s[:6]) && isMarket(s[7:]):
		return s, true
	case len(s) == 8 && allDigits(s[2:]) && isMarket(s[:2]):
		return s[2:] + "." + s[:2], true
	}
	return s, false
}

func isMarket(s string) bool { return s == "SH" || s == "SZ" || s == "BJ" }

func (r *rules) oneOf(field, s string, known ...string) {
	if s == "" {
		r.broken(field, "is required", "")
	} else if !slices.Contains(known, s) {
		r.broken(field, "must be one of "+strings.Join(known, ", "), s)
	}
}

func (r *rules) integer(field string, n, lo, hi int64) {
	if n < lo {
		r.broken(field, "must be at least "+strconv.FormatInt(lo, 10), strconv.FormatInt(n, 10))
	} else if n > hi {
		r.broken(field, "must be at most "+strconv.FormatInt(hi, 10), strconv.FormatInt(n, 10))
	}
}

// decimalValue is one of Price, Money and Percent.
type decimalValue interface {
	~int64
	String() string
}

func positive[D decimalValue](r *rules, field string, d D) {
	r.check(d > 0, field, "must be greater than 0", d.String)
	r.check(d <= MaxUnscaled, field, errTooLarge.Error(), d.String)
}

func notNegative[D decimalValue](r *rules, field string, d D) {
	r.check(d >= 0, field, "must not be negative", d.String)
	r.check(d <= MaxUnscaled, field, errTooLarge.Error(), d.String)
}

func (r *rules) percent(field string, p Percent) {
	r.check(p >= 0 && p <= 100_00, field, "must be 0 to 100", p.String)
}

func (r *rules) date(field string, d Date) {
	if d == 0 {
		r.broken(field, "is required", "")
	} else if !d.valid() {
		r.broken(field, errNotDate.Error(), d.String())
	}
}

func (r *rules) time(field string, t *time.Time) {
	if t.IsZero() {
		r.broken(field, "is required", "")
		return
	}
	*t = canonicalTime(*t)
	if err := checkYear(*t); err != nil {
		r.broken(field, err.Error(), FormatTime(*t))
	}
}

// semver is x.y.z of plain numbers.
func (r *rules) semver(field, s string) {
	if s == "" {
		r.broken(field, "is required", "")
		return
	}
	parts := strings.Split(s, ".")
	ok := len(parts) == 3
	for _, p := range parts {
		ok = ok && p != "" && len(p) <= 6 && allDigits(p) && (p == "0" || p[0] != '0')
	}
	if !ok {
		r.broken(field, "must be a version x.y.z such as 1.0.0", s)
	}
}

// passwordHash wants bcrypt: $2b$12$ and 53 characters of salt and hash. The
// value is never repeated in an error: it may be a plain password.
func (r *rules) passwordHash(s string) {
	if s == "" {
		r.broken("password_hash", "is required", "")
		return
	}
	ok := len(s) == 60 && s[0] == '$' && s[1] == '2' && strings.IndexByte("aby", s[2]) >= 0 && s[3] == '$' && s[6] == '$'
	for i := 7; ok && i < len(s); i++ {
		ok = isAlnum(s[i]) || s[i] == '.' || s[i] == '/'
	}
	if !ok {
		r.broken("password_hash", "must be a bcrypt hash: a plain password never reaches the log", "")
		return
	}
	if cost, err := strconv.Atoi(s[4:6]); err != nil || cost < MinBcryptCost || cost > 31 {
		r.broken("password_hash", "must have a bcrypt cost of "+strconv.Itoa(MinBcryptCost)+" to 31", "")
	}
}

func (r *rules) email(s string) {
	if s == "" {
		r.broken("email", "is required", "")
		return
	}
	a, err := mail.ParseAddress(s)
	if err != nil || a.Address != s || len(s) > 254 {
		r.broken("email", "must be an e-mail address such as li@example.com", s)
	}
	r.label("email", s, 254)
}

// ip checks an address and writes it canonically.
func (r *rules) ip(s *string) {
	if *s == "" {
		r.broken("ip", "is required", "")
		return
	}
	a, err := netip.ParseAddr(*s)
	if err != nil || a.Zone() != "" {
		r.broken("ip", "must be an IPv4 or IPv6 address", *s)
		return
	}
	*s = a.String()
}

// params checks an object of parameters and writes it compactly.
func (r *rules) params(v *jsontext.Value) {
	if len(*v) == 0 {
		r.broken("params", "is required", "")
		return
	}
	compact, err := jsontext.AppendFormat(nil, *v)
	if err != nil {
		if r.err == nil {
			r.err = syntaxError(err, "/data/params")
		}
		return
	}
	if compact[0] != '{' {
		r.broken("params", "must be an object", string(compact))
		return
	}
	// data and the event are two levels above.
	if depth(compact) > MaxDepth-2 {
		r.broken("params", tooDeep, "")
		return
	}
	*v = compact
	dec := newReader(compact, "", true)
	defer dec.close()
	if _, err := dec.open('{', ""); err != nil {
		r.err = err
		return
	}
	count := 0
	for ; dec.more('}'); count++ {
		var key string
		if _, err := dec.value(&key); err != nil {
			r.err = err
			return
		}
		if key == "" {
			r.broken("params", "must have keys of 1 to 100 characters", "")
		}
		r.name("params."+shorten(key), key, 1)
		if _, err := dec.next(); err != nil {
			r.err = err
			return
		}
	}
	if count > MaxParams {
		r.broken("params", "must have at most "+strconv.Itoa(MaxParams)+" keys", strconv.Itoa(count)+" keys")
	}
}

// depth is how many levels of arrays and objects a JSON text has.
func depth(text []byte) int {
	level, deepest, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}
