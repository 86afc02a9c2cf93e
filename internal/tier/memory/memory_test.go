package memory_test

import (
	"context"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/projector/projectortest"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

var kinds = []book.Kind{
	book.KindHeldDays, book.KindMaxPrice, book.KindMinPrice, book.KindIncDate, book.KindAccount, book.KindAsset,
	book.KindStrategy, book.KindBinding, book.KindParam, book.KindUser, book.KindUserRole, book.KindTrade, book.KindDeal, book.KindKline,
}

// shared lets the suite's two writers share one memory.
type shared struct {
	*memory.Tier
	mu *sync.Mutex
}

func (s shared) Checkpoint(ctx context.Context) (eventlog.Checkpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Tier.Checkpoint(ctx)
}

func (s shared) Apply(ctx context.Context, b projector.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.Tier.Apply(ctx, b)
}

func TestContract(t *testing.T) {
	projectortest.Run(t, projectortest.Harness{
		New: func(testing.TB) func() (projector.Tier, error) {
			store := shared{memory.New(kinds), &sync.Mutex{}}
			return func() (projector.Tier, error) { return store, nil }
		},
		History: func(t *rapid.T) []*events.Event { return booktest.Histories(t, booktest.Options{}) },
	})
}
