package replay

// scope is what a comparison looks at: everything, or some accounts and the
// strategies bound to them at either moment.
type scope struct {
	accounts map[string]bool // whether anything is known of it; nil: everything
	codes    map[string]bool
}

func newScope(accounts []string, states ...pastState) scope {
	if len(accounts) == 0 {
		return scope{}
	}
	s := scope{make(map[string]bool), make(map[string]bool)}
	for _, id := range accounts {
		s.accounts[id] = false
	}
	for _, state := range states {
		for key := range state.tally.events {
			if _, wanted := s.accounts[key.account]; wanted {
				s.accounts[key.account] = true
			}
		}
		for _, one := range state.entities {
			if _, wanted := s.accounts[one.account]; wanted && one.code != "" {
				s.codes[one.code] = true
			}
		}
	}
	return s
}

// account tells whether an account, or "" for none, is looked at.
func (s scope) account(id string) bool {
	if s.accounts == nil {
		return true
	}
	_, wanted := s.accounts[id]
	return wanted
}

func (s scope) holds(e entity) bool {
	if e.account == "" && e.code != "" {
		return s.accounts == nil || s.codes[e.code]
	}
	return s.account(e.account)
}

// unknown refuses an account of which neither moment knows anything.
func (s scope) unknown() error { return unknownAccounts(s.accounts) }
