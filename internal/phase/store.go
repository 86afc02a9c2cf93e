package phase

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

// Store keeps the phases and reconciliations of accounts in a file. It is safe
// for concurrent use.
type Store struct {
	path string

	writing sync.Mutex // one change at a time
	mu      sync.RWMutex
	entries map[string]Entry
}

// Entry is what is kept of an account.
type Entry struct {
	// Phase is empty when nobody set it: Shadow.
	Phase          Phase           `json:"phase,omitzero"`
	Since          time.Time       `json:"since,omitzero"`
	Reconciliation *Reconciliation `json:"reconciliation,omitzero"`
}

// Open reads a store's file; without one every account is in Shadow.
func Open(path string) (*Store, error) {
	s := &Store{path: path, entries: make(map[string]Entry)}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("phase: read the accounts' phases: %w", err)
	}
	var file struct {
		Accounts map[string]Entry `json:"accounts"`
	}
	if err := json.Unmarshal(raw, &file, json.RejectUnknownMembers(true)); err != nil {
		return nil, fmt.Errorf("phase: %s is damaged; put a copy of it back, or leave --watch away for every account in phase tiers and move the file away "+
			"(without it all accounts are in shadow, and watched folders are recorded): %w", path, err)
	}
	maps.Copy(s.entries, file.Accounts)
	return s, nil
}

// Of is what is kept of an account, its phase filled in.
func (s *Store) Of(account string) Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	e := s.entries[account]
	if e.Phase == "" {
		e.Phase = Shadow
	}
	return e
}

// All is what is kept, by account.
func (s *Store) All() map[string]Entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return maps.Clone(s.entries)
}

// Set puts an account into a phase. It returns once that is on disk.
func (s *Store) Set(account string, to Phase, now time.Time) error {
	return s.change(account, func(e *Entry) bool {
		e.Phase, e.Since = to, now
		return true
	})
}

// Reconciled keeps what a reconciliation found and returns what is kept then:
// one that was made of an earlier part of the log than the last one changes
// nothing. last is the log's last sequence; one of beyond it was of another log.
func (s *Store) Reconciled(account string, r Reconciliation, last uint64) (Reconciliation, error) {
	kept := r
	err := s.change(account, func(e *Entry) bool {
		if was := e.Reconciliation; was != nil && was.Sequence > r.Sequence && was.Sequence <= last {
			kept = *was
			return false
		}
		e.Reconciliation = &r
		return true
	})
	return kept, err
}

// change changes an account's entry, on disk first.
func (s *Store) change(account string, change func(*Entry) bool) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	next := s.All()
	e := next[account]
	if !change(&e) {
		return nil
	}
	next[account] = e
	raw, err := json.Marshal(map[string]any{"accounts": next}, json.Deterministic(true), jsontext.WithIndent("  "))
	if err == nil {
		err = durable.WriteFile(s.path, append(raw, '\n'), 0o600)
	}
	if err != nil {
		return fmt.Errorf("phase: save the accounts' phases: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries = next
	return nil
}
