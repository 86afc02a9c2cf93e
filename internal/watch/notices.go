package watch

import (
	"log/slog"
	"os"

	"github.com/fsnotify/fsnotify"
)

// notices are what the operating system tells of a folder. Not every one tells:
// a network share knows nothing of what other machines write, and a file that
// is a link changes elsewhere. So a notification has to come before the glances
// at the folder end, and they begin again once a change came without one.
type notices struct {
	dir    string
	logger *slog.Logger
	open   func(dir string) (*fsnotify.Watcher, error)

	watcher *fsnotify.Watcher // nil without one
	watched os.FileInfo       // what it watches: another folder may come in its place
	failed  bool              // told already
	// proved tells that the newest change came with a notification.
	proved bool
}

// openWatcher watches the folder, not its files: those may be replaced by
// renaming.
func openWatcher(dir string) (*fsnotify.Watcher, error) {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := w.Add(dir); err != nil {
		_ = w.Close() // it watches nothing
		return nil, err
	}
	return w, nil
}

// arm watches the folder, unless it is watched already. It comes before the
// look, so that a change during the look waits in the queue. Where it fails, it
// is tried again before the next look.
func (n *notices) arm() {
	info, err := os.Stat(n.dir)
	// The list is empty once the watched folder is gone. It is asked first: a
	// folder that is made anew may get the same number.
	if n.watcher != nil && len(n.watcher.WatchList()) > 0 && err == nil && os.SameFile(info, n.watched) {
		return
	}
	n.close()
	if err != nil || !info.IsDir() {
		return // the look tells
	}
	w, err := n.open(n.dir)
	if err != nil {
		if !n.failed {
			n.logger.Warn("watch: the system does not tell of changes; sizes and times are looked at instead", "error", err, "every", glance)
		}
		n.failed = true
		return
	}
	n.watcher, n.watched, n.failed = w, info, false
}

func (n *notices) close() {
	if n.watcher != nil {
		_ = n.watcher.Close() // nothing is written through it
	}
	n.watcher, n.proved = nil, false
}

// events and errors are nil, which is for ever silent, without a watcher.
func (n *notices) events() <-chan fsnotify.Event {
	if n.watcher == nil {
		return nil
	}
	return n.watcher.Events
}

func (n *notices) errors() <-chan error {
	if n.watcher == nil {
		return nil
	}
	return n.watcher.Errors
}
