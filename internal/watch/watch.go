// Package watch follows the cache folders of strategies that know nothing of
// Tapedeck and turns each change of their files into events. DESIGN.md beside
// this file tells how, and what a crash leaves.
//
// It only reads in the folders.
package watch

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/seed-744e3d1b/tapedeck/events"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// anyTime makes an event whose validity is asked for its other fields.
var anyTime = time.Date(2025, 1, 2, 0, 0, 0, 0, events.Zone)

// Folder names a strategy's cache folder and the account that it is of. Its
// text is DIR=ACCOUNT.
type Folder struct {
	Dir     string
	Account string
}

// UnmarshalText reads DIR=ACCOUNT; DIR itself may hold '='.
func (f *Folder) UnmarshalText(text []byte) error {
	at := strings.LastIndexByte(string(text), '=')
	if at < 1 || at == len(text)-1 {
		return fmt.Errorf("%q must be DIR=ACCOUNT", text)
	}
	*f = Folder{Dir: filepath.Clean(string(text[:at])), Account: string(text[at+1:])}
	// The contract's own rule for account ids.
	e := events.Event{Source: "watch", Time: anyTime, Data: &events.AccountStatusChanged{AccountID: f.Account, Status: "active"}}
	return e.Validate()
}

func (f Folder) String() string { return f.Dir + "=" + f.Account }

// Options are the settings of a Watcher.
type Options struct {
	Folders []Folder
	// Broker is that of accounts which the log does not know yet: QMT, GM or
	// TDX; empty is GM for an account id that is a UUID and QMT for any other.
	Broker string
	// Scan is the time between two full looks at a folder in which no change
	// shows: a change may go unreported, or leave size and time as they were.
	Scan time.Duration
	// Patience is how long a file must be missing or empty, or one price be
	// missing of a position that stays open, before it counts as removed.
	// Strategies rewrite files in place, one after the other.
	Patience time.Duration
	// State is a file for what was read of the log, so that a start need not
	// read all of it; it may be lost at any time.
	State string
	// Still are accounts whose folders are compared with the log, and not
	// followed, until Switch says otherwise.
	Still  []string
	Logger *slog.Logger
	// Registry takes the metrics, tapedeck_watch_*.
	Registry prometheus.Registerer
}

// Fate is what became of one event handed to a Tape.
type Fate struct {
	// Sequence is the event's; 0 when it is not on the log.
	Sequence uint64
	// Refused says why the log does not take it.
	Refused string
}

// Tape is the log as a Watcher needs it. Methods are called from several
// goroutines.
type Tape interface {
	// Open opens the log for reading.
	Open(ctx context.Context) (*eventlog.Log, error)
	// Last is the log's last sequence; false while nothing can be appended.
	Last() (sequence uint64, ok bool)
	// Append records valid events, in order, all or none when atomic. The
	// error means that their fate is unknown, or that none was taken.
	Append(ctx context.Context, list []*events.Event, atomic bool) ([]Fate, error)
}

// Watcher follows folders until Stop.
type Watcher struct {
	folders []*folder
	ledger  *ledger
	life    context.Context // ends with Stop
	cancel  context.CancelFunc
	running sync.WaitGroup
}

// Start follows the folders. One that is missing or cannot be read is told by
// Status and tried again; the error is about the settings alone.
func Start(tape Tape, o Options) (*Watcher, error) {
	seen := make(map[string]bool)
	var dirs []os.FileInfo
	var accounts []string
	for _, f := range o.Folders {
		info, err := os.Stat(f.Dir)
		again := err == nil && slices.ContainsFunc(dirs, func(other os.FileInfo) bool { return os.SameFile(info, other) })
		if err == nil {
			dirs = append(dirs, info)
		}
		if seen[f.Account] || seen[f.Dir] || again {
			return nil, fmt.Errorf("watch %s: an account has one folder, and a folder one account", f)
		}
		seen[f.Account], seen[f.Dir] = true, true
		accounts = append(accounts, f.Account)
	}
	if o.Scan <= 0 || o.Patience <= 0 {
		return nil, errors.New("watch: the times of scan and patience must be greater than 0")
	}
	w := &Watcher{ledger: newLedger(tape, accounts, o.State, o.Logger)}
	for _, f := range o.Folders {
		w.folders = append(w.folders, newFolder(f, tape, w.ledger, o))
	}
	w.register(o.Registry)
	w.life, w.cancel = context.WithCancel(context.Background())
	w.running.Go(func() { w.ledger.run(w.life) })
	for _, f := range w.folders {
		w.running.Go(func() { f.run(w.life) })
	}
	return w, nil
}

// stopPatience is how long Stop waits for looks.
const stopPatience = 3 * time.Second

// Stop ends the Watcher and waits for it. A look at a share that hangs is left
// behind: it appends nothing any more. What changed in the folders since then
// is recorded by the next Start.
func (w *Watcher) Stop() {
	w.cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.running.Wait()
	}()
	select {
	case <-ended:
	case <-time.After(stopPatience):
		w.ledger.logger.Warn("watch: a look at a folder does not end and is left behind: its file system does not answer")
	}
	w.ledger.save()
}
