package watch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// ErrNotWatched tells that no folder of the account is watched.
var ErrNotWatched = errors.New("no folder of the account is watched")

// calm is how long Switch looks again at a folder that is being written.
const calm = 2 * time.Second

// Switch looks at an account's folder and lets decide say, by what was found,
// whether it is followed from then on. Nobody else looks meanwhile: once Switch
// has returned, nothing is appended any more for a folder that is not followed,
// and an append that was under way is on the log. An error of decide changes
// nothing and is returned.
func (w *Watcher) Switch(ctx context.Context, account string, decide func(Status) (follow bool, err error)) error {
	at := slices.IndexFunc(w.folders, func(f *folder) bool { return f.Account == account })
	if at < 0 {
		return ErrNotWatched
	}
	f := w.folders[at]
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(w.life, cancel)()
	err := f.begin(ctx)
	if err == nil {
		defer f.end()
		f.lookCalm(ctx)
		err = ctx.Err() // then the look before this one is all that is known
	}
	if err != nil {
		return fmt.Errorf("watch: look at %s (does the log answer?): %w", f.Dir, err)
	}
	follow, err := decide(f.current())
	if err != nil || follow == f.current().Following {
		return err
	}
	f.report(func(s *Status) { s.Following = follow })
	f.logger.Info("watch: switched", "following", follow)
	f.looked(ctx)
	return nil
}

// begin waits for the turn to look at the folder: one at a time. Whoever got it
// must end it.
func (f *folder) begin(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case f.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *folder) end() { <-f.turn }

// lookCalm looks, and again while the folder is being written.
func (f *folder) lookCalm(ctx context.Context) {
	again := againFirst
	for until := time.Now().Add(calm); !f.looked(ctx) && time.Now().Before(until); again = min(2*again, againMost) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}
