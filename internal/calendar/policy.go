package calendar

import "fmt"

// Policy says what to do about a trade outside the trading session.
type Policy uint8

// The policies. The zero Policy is PolicyOff.
const (
	// PolicyOff accepts every time.
	PolicyOff Policy = iota
	// PolicyFlag accepts the trade and reports it.
	PolicyFlag
	// PolicyEnforce refuses the trade.
	PolicyEnforce
)

var policyNames = [...]string{PolicyOff: "off", PolicyFlag: "flag", PolicyEnforce: "enforce"}

// String is "off", "flag" or "enforce".
func (p Policy) String() string {
	if int(p) < len(policyNames) {
		return policyNames[p]
	}
	return fmt.Sprintf("Policy(%d)", uint8(p))
}

// UnmarshalText reads what String writes.
func (p *Policy) UnmarshalText(text []byte) error {
	for i, name := range policyNames {
		if name == string(text) {
			*p = Policy(i)
			return nil
		}
	}
	return fmt.Errorf("session policy %.40q: must be off, flag or enforce", text)
}

// MarshalText is String, for settings and their help.
func (p Policy) MarshalText() ([]byte, error) { return []byte(p.String()), nil }
