package query

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

// Auto lets the best tier that is configured be the primary.
const Auto = "auto"

// Primaries are the primary tier of each kind, switchable while reads go on.
// The zero Primaries is auto for all, and remembers nothing over a restart. It
// is safe for concurrent use.
type Primaries struct {
	// path is the file that remembers what was set last.
	path string
	// tiers are the names that may be set; nil is all.
	tiers []string

	saving sync.Mutex
	mu     sync.RWMutex
	set    map[Kind]string // changed with both
}

// OpenPrimaries reads what was set last from a file, on top of the defaults:
// the file wins. Only tiers named may become primary.
func OpenPrimaries(path string, tiers []string, defaults map[Kind]string) (*Primaries, error) {
	p := &Primaries{path: path, tiers: tiers, set: make(map[Kind]string)}
	if err := p.check(defaults); err != nil {
		return nil, err
	}
	maps.Copy(p.set, defaults)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, fmt.Errorf("query: read primaries: %w", err)
	}
	var saved map[Kind]string
	if err := json.Unmarshal(raw, &saved); err != nil {
		return nil, fmt.Errorf("query: %s is damaged, remove it to go on with the defaults: %w", path, err)
	}
	if err := (&Primaries{}).check(saved); err != nil {
		return nil, fmt.Errorf("query: %s: %w", path, err)
	}
	maps.Copy(p.set, saved) // one that is not configured now may be again
	return p, nil
}

// Of is the primary of a kind: a tier's name, or Auto.
func (p *Primaries) Of(kind Kind) string {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if tier := p.set[kind]; tier != "" && p.configured(tier) {
		return tier
	}
	return Auto
}

func (p *Primaries) configured(tier string) bool {
	return p.tiers == nil || slices.Contains(p.tiers, tier)
}

// All are the primaries of all kinds.
func (p *Primaries) All() map[Kind]string {
	all := make(map[Kind]string)
	for _, kind := range Kinds() {
		all[kind] = p.Of(kind)
	}
	return all
}

// Set changes the primaries of the kinds given, all or none. It returns once
// they are on disk; reads that begin later follow them.
func (p *Primaries) Set(changes map[Kind]string) error {
	if err := p.check(changes); err != nil {
		return err
	}
	p.saving.Lock() // readers need not wait for the disk
	defer p.saving.Unlock()
	next := maps.Clone(p.set)
	if next == nil {
		next = make(map[Kind]string)
	}
	maps.Copy(next, changes)
	if p.path != "" {
		raw, err := json.Marshal(next, json.Deterministic(true), jsontext.WithIndent("  "))
		if err == nil {
			err = durable.WriteFile(p.path, append(raw, '\n'), 0o600)
		}
		if err != nil {
			return fmt.Errorf("query: save primaries: %w", err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set = next
	return nil
}

// PrimaryError tells what may not be set.
type PrimaryError struct{ Kind, Tier, Reason string }

func (e *PrimaryError) Error() string {
	return fmt.Sprintf("primary of %s cannot be %q: %s", e.Kind, e.Tier, e.Reason)
}

func (p *Primaries) check(set map[Kind]string) error {
	for _, kind := range slices.Sorted(maps.Keys(set)) {
		tier, fault := set[kind], PrimaryError{Kind: string(kind), Tier: set[kind]}
		holders, known := order[kind]
		switch {
		case !known:
			fault.Reason = "there is no such kind: positions, records, trades and klines are"
		case tier == Auto:
			continue
		case !slices.Contains(holders, tier):
			fault.Reason = "it can be auto, " + strings.Join(holders, ", ")
		case !p.configured(tier):
			fault.Reason = "that tier is not configured"
		default:
			continue
		}
		return &fault
	}
	return nil
}
