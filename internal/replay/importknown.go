package replay

import (
	"context"
	"fmt"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// knownEvents is what the log holds already. ingest remembers a bounded number
// of ids; an import may be repeated after more events than those.
type knownEvents struct {
	// contents are the events' content hashes, by id.
	contents map[string]uint64
}

// has tells whether the log holds this very event. One with the same id and
// another content is left for ingest to refuse.
func (k *knownEvents) has(e *events.Event) bool {
	content, ok := k.contents[e.ID]
	if !ok {
		return false
	}
	hash, err := e.ContentHash()
	return err == nil && hash == content
}

// knownTier is a tier whose contents are the ids on the log, and what it holds
// of an account.
type knownTier struct {
	*memory.Tier
	knownEvents
	account *taped // nil is none
}

// Apply implements projector.Tier.
func (t *knownTier) Apply(_ context.Context, b projector.Batch) error {
	for _, e := range b.Events {
		hash, err := e.ContentHash()
		if err != nil {
			return fmt.Errorf("event %d: %w", e.Sequence, err)
		}
		t.contents[e.ID] = hash
		if t.account != nil && book.AccountOf(e.Data) == t.account.id {
			t.account.add(e)
		}
	}
	return nil
}

// readKnown walks the log once. account is nil where none matters.
func (e *Env) readKnown(account *taped) (*knownEvents, error) {
	log, err := e.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	tier := &knownTier{Tier: memory.New(nil), knownEvents: knownEvents{contents: make(map[string]uint64)}, account: account}
	if _, err := e.play(e.Context, log, tier, projector.Bound{}, nil); err != nil {
		return nil, fmt.Errorf("look up what the log holds already: %w", err)
	}
	return &tier.knownEvents, nil
}
