package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/tier/memory"
)

// stateStore brings the committer's state (the book and the known ids) up to
// the log's end: from a snapshot file and the log's tail.
type stateStore struct {
	path    string
	openLog func(ctx context.Context) (*eventlog.Log, error)
	logger  *slog.Logger
	every   uint64        // events between snapshots
	age     time.Duration // and the longest time

	saving  atomic.Bool
	writers sync.WaitGroup
}

// load returns the state at the log's end and the sequence of the snapshot
// that it began with. A damaged snapshot is told and not used. One that the
// log does not hold is an error: the log lost what was acknowledged, or it is
// another log.
func (s *stateStore) load(ctx context.Context, end eventlog.Info) (*book.Book, *known, uint64, error) {
	started := time.Now()
	b, k, at, err := s.read()
	if err != nil {
		return nil, nil, 0, err
	}
	if err := s.tail(ctx, b, k, at, end); err != nil {
		if errors.As(err, new(*eventlog.CorruptError)) && at.Sequence > 0 {
			err = fmt.Errorf("ingest: the state snapshot %s was taken at sequence %d, which the log must hold; "+
				"if this log is the right one (restored from a backup, say), move the file away and start again: %w", s.path, at.Sequence, err)
		}
		return nil, nil, 0, err
	}
	s.logger.Info("state is up to date", "sequence", end.Last, "snapshot_sequence", at.Sequence,
		"duration", time.Since(started).Round(time.Millisecond))
	return b, k, at.Sequence, nil
}

// read reads the snapshot, or starts empty.
func (s *stateStore) read() (*book.Book, *known, eventlog.Checkpoint, error) {
	empty := func() (*book.Book, *known, eventlog.Checkpoint, error) {
		return book.New(book.Keep{}), newKnown(KnownIDs), eventlog.Checkpoint{}, nil
	}
	snapshot, err := book.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return empty()
	}
	var damaged *book.SnapshotError
	if err != nil && !errors.As(err, &damaged) {
		return nil, nil, eventlog.Checkpoint{}, err
	}
	if err == nil {
		var b *book.Book
		var k *known
		if b, err = snapshot.Book(); err == nil {
			k, err = decodeKnown(snapshot.Extra, snapshot.Sequence, KnownIDs)
		}
		if err == nil {
			return b, k, eventlog.Checkpoint{Sequence: snapshot.Sequence, Chain: snapshot.Chain}, nil
		}
	}
	s.logger.Warn("the state snapshot is damaged; rebuilding the state from the log", "error", err)
	return empty()
}

// tail applies the log from behind a checkpoint to its end.
func (s *stateStore) tail(ctx context.Context, b *book.Book, k *known, after eventlog.Checkpoint, end eventlog.Info) error {
	log, err := s.openLog(ctx)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // only read
	reader, err := log.Read(ctx, after, eventlog.ReadOptions{})
	if err != nil {
		return err
	}
	defer reader.Close() //nolint:errcheck // only read
	last, err := projector.Player{}.Play(ctx, reader, &tail{memory.At(b, after), k, end.Last}, after)
	if err != nil {
		return fmt.Errorf("ingest: read the log's tail after sequence %d: %w", after.Sequence, err)
	}
	if last.Sequence != end.Last || last.Chain != end.Chain {
		return fmt.Errorf("ingest: the log was read up to sequence %d, but it ends at %d: another writer is at work", last.Sequence, end.Last)
	}
	return nil
}

// tail is the memory tier that remembers ids as well. Those that will be
// forgotten again before the log's end are not taken in.
type tail struct {
	*memory.Tier
	known *known
	end   uint64
}

// Apply implements projector.Tier.
func (t *tail) Apply(ctx context.Context, b projector.Batch) error {
	for _, e := range b.Events {
		if t.known.empty() && e.Sequence+KnownIDs <= t.end {
			continue
		}
		content, err := e.ContentHash()
		if err != nil {
			return fmt.Errorf("ingest: hash sequence %d of the log: %w", e.Sequence, err)
		}
		t.known.add(e.Sequence, mark{id: hashID(e.ID), content: content})
	}
	return t.Tier.Apply(ctx, b)
}

// save writes a snapshot in the background; the next one waits until it is
// written.
func (s *stateStore) save(snapshot *book.Snapshot) {
	s.writers.Go(func() {
		defer s.saving.Store(false)
		if err := s.write(snapshot); err != nil {
			s.logger.Warn("cannot write the state snapshot; the next start reads more of the log", "error", err)
		}
	})
}

// drop lets go of a snapshot whose frame did not reach the log.
func (s *stateStore) drop() { s.saving.Store(false) }

func (s *stateStore) write(snapshot *book.Snapshot) error {
	if err := snapshot.WriteFile(s.path); err != nil {
		return err
	}
	s.logger.Debug("state snapshot written", "sequence", snapshot.Sequence)
	return nil
}

// wait waits for the snapshot that is being written.
func (s *stateStore) wait() { s.writers.Wait() }

// snapshotWhenDue copies the state as it is behind the frame just sent. The
// copy reaches the disk only after that frame: a snapshot never knows more
// than the log.
func (c *committer) snapshotWhenDue() *book.Snapshot {
	last := c.next - 1
	due := last >= c.marked+c.state.every || last > c.marked && time.Since(c.markedAt) >= c.state.age
	if !due || !c.state.saving.CompareAndSwap(false, true) {
		return nil
	}
	s := c.book.Snapshot(last, eventlog.Chain{})
	s.Extra = c.known.encode()
	c.marked, c.markedAt = last, time.Now()
	return s
}
