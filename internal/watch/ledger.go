package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

const (
	reopenFirst, reopenMost = 50 * time.Millisecond, 5 * time.Second
	// saveEvery bounds how much of the log a start after a crash reads again.
	saveEvery = 10 * time.Minute
)

// ledger is the fold of the log for the watched accounts: what a folder is
// compared with. It holds what is on disk, never what is on its way there.
type ledger struct {
	tape   Tape
	path   string
	logger *slog.Logger
	needle map[string][]byte // by account: what its events' lines contain

	mu       sync.Mutex
	moved    chan struct{} // closed when at moves
	at       eventlog.Checkpoint
	book     *book.Book
	accounts map[string]*holdings
	epoch    int // counts the logs that were begun with
	saved    time.Time
}

// holdings are what the log holds of an account beside its positions, which
// are in the book.
type holdings struct {
	// Last is the sequence of the account's newest event.
	Last uint64 `json:"last"`
	silverquant.Recorded
}

func newLedger(tape Tape, accounts []string, path string, logger *slog.Logger) *ledger {
	l := &ledger{tape: tape, path: path, logger: logger, needle: make(map[string][]byte), moved: make(chan struct{})}
	for _, id := range accounts {
		l.needle[id] = fmt.Appendf(nil, `"account_id":%q`, id)
	}
	l.clear()
	if err := l.load(); err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.logger.Info("watch: what was read of the log is read again", "reason", err)
		l.clear()
	}
	return l
}

// clear goes back before the first event.
func (l *ledger) clear() {
	l.epoch++
	l.at, l.book, l.saved = eventlog.Checkpoint{}, book.New(book.Keep{}), time.Now()
	l.accounts = make(map[string]*holdings)
	for id := range l.needle {
		l.accounts[id] = &holdings{Recorded: silverquant.NewRecorded()}
	}
}

// run follows the log. Whatever fails is tried again: without the log there is
// nothing to compare folders with.
func (l *ledger) run(ctx context.Context) {
	wait := reopenFirst
	for ctx.Err() == nil {
		before := l.sequence()
		err := l.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if errors.As(err, new(*eventlog.CorruptError)) && before > 0 {
			// Another log lies there now, or this one is damaged: the walk from
			// its start tells which.
			l.mu.Lock()
			l.clear()
			l.mu.Unlock()
		}
		if l.sequence() != before {
			wait = reopenFirst
		}
		l.logger.Warn("watch: the log cannot be followed; trying again", "error", err, "retry_in", wait)
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
		wait = min(2*wait, reopenMost)
	}
}

func (l *ledger) follow(ctx context.Context) error {
	log, err := l.tape.Open(ctx)
	if err != nil {
		return err
	}
	defer log.Close()
	l.mu.Lock()
	at := l.at
	l.mu.Unlock()
	reader, err := log.Read(ctx, at, eventlog.ReadOptions{Follow: true})
	if err != nil {
		return err
	}
	defer reader.Close()
	for {
		frame, err := reader.Next(ctx)
		if err != nil {
			return err
		}
		if err := l.apply(frame); err != nil {
			return err
		}
		l.saveWhenDue()
	}
}

// apply folds a frame.
func (l *ledger) apply(f eventlog.Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	sequence := f.First
	for line := range bytes.Lines(f.Payload) {
		if sequence > l.at.Sequence {
			if err := l.applyLine(sequence, line); err != nil {
				return fmt.Errorf("watch: sequence %d of the log: %w", sequence, err)
			}
		}
		sequence++
	}
	l.at = eventlog.Checkpoint{Sequence: f.Last(), Chain: f.Chain}
	close(l.moved)
	l.moved = make(chan struct{})
	return nil
}

func (l *ledger) applyLine(sequence uint64, line []byte) error {
	for id, needle := range l.needle {
		if !bytes.Contains(line, needle) {
			continue
		}
		e, err := events.DecodeStored(line)
		if err != nil {
			return err
		}
		if book.AccountOf(e.Data) != id {
			continue // the words stood in a text
		}
		h := l.accounts[id]
		h.Last = sequence
		h.Add(e)
		l.book.Apply(e)
		return nil
	}
	return nil
}

func (l *ledger) sequence() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at.Sequence
}

// reach waits until the ledger holds a sequence.
func (l *ledger) reach(ctx context.Context, sequence uint64) error {
	for {
		l.mu.Lock()
		at, moved := l.at.Sequence, l.moved
		l.mu.Unlock()
		if at >= sequence {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("watch: wait for sequence %d of the log: %w", sequence, ctx.Err())
		case <-moved:
		}
	}
}

// read copies an account's state, with those deals only that t was not found to
// hold yet: all folders share the ledger, so none compares while it has it.
func (l *ledger) read(id string, t *table) state {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.accounts[id]
	own := &holdings{Last: all.Last, Recorded: silverquant.Recorded{
		Deals: make(map[silverquant.DealKey]int), Assets: maps.Clone(all.Assets), Balances: maps.Clone(all.Balances),
	}}
	for _, d := range t.unchecked(l.epoch) {
		own.Deals[d.key] = all.Deals[d.key]
	}
	s := state{epoch: l.epoch, sequence: l.at.Sequence, incDate: l.book.IncDate(id), holdings: own, stocks: make(map[string]book.Position)}
	for _, a := range l.book.Accounts() {
		s.created = s.created || a.ID == id
	}
	for _, p := range l.book.Positions(id) {
		s.stocks[p.StockCode] = p
	}
	return s
}

// state is an account as of a sequence of the log.
type state struct {
	epoch    int
	sequence uint64
	created  bool
	incDate  events.Date
	stocks   map[string]book.Position
	*holdings
}

// saveWhenDue saves from time to time, so that a start after a crash is quick.
func (l *ledger) saveWhenDue() {
	l.mu.Lock()
	due := time.Since(l.saved) >= saveEvery
	l.mu.Unlock()
	if due {
		l.save()
	}
}

// save writes the ledger down; a start without the file reads the whole log.
func (l *ledger) save() {
	l.mu.Lock()
	l.saved = time.Now()
	snapshot := l.book.Snapshot(l.at.Sequence, l.at.Chain)
	extra, err := json.Marshal(l.accounts)
	l.mu.Unlock()
	if err == nil {
		snapshot.Extra = extra
		err = snapshot.WriteFile(l.path)
	}
	if err != nil {
		l.logger.Warn("watch: what was read of the log cannot be saved; the next start reads more of it", "error", err)
	}
}

func (l *ledger) load() error {
	snapshot, err := book.ReadFile(l.path)
	if err != nil {
		return err
	}
	accounts := make(map[string]*holdings)
	if err := json.Unmarshal(snapshot.Extra, &accounts); err != nil {
		return fmt.Errorf("watch: %s: %w", l.path, err)
	}
	// An account that is not watched now is not kept up to date.
	maps.DeleteFunc(accounts, func(id string, _ *holdings) bool { return l.needle[id] == nil })
	for id := range l.needle {
		if accounts[id] == nil {
			return fmt.Errorf("watch: %s knows nothing of account %s", l.path, id)
		}
	}
	b, err := snapshot.Book()
	if err != nil {
		return err
	}
	l.at, l.book, l.accounts = eventlog.Checkpoint{Sequence: snapshot.Sequence, Chain: snapshot.Chain}, b, accounts
	return nil
}
