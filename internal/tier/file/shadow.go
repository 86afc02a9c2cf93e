package file

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/seed-744e3d1b/tapedeck/internal/projector"
)

const (
	shadowSuffix   = ".shadow"
	previousSuffix = ".previous"
)

// Shadow is a directory beside the live one: one that is being built, or what
// the last Promote replaced. It shares the live one's lock.
type Shadow struct {
	Tier
	// opened is the manifest's text of previous contents: while it lies there,
	// they are those that were opened.
	opened []byte
	done   bool
}

var _ projector.Shadow = (*Shadow)(nil)

// Shadow opens <dir>.shadow. It works on a damaged or foreign directory, too.
// What was built under the plan but is damaged now is built anew.
func (t *Tier) Shadow(ctx context.Context, plan string) (projector.Shadow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Shadow{Tier: Tier{folder: folder{dir: t.dir + shadowSuffix, disk: t.disk}, opts: t.opts, live: t.live, plan: &plan}}
	s.opts.Inspect, s.opts.TakeOver = false, false
	if err := t.locked(func() error { return s.begin(t.folder) }); err != nil {
		return nil, fmt.Errorf("file: shadow %s: %w", s.dir, err)
	}
	return s, nil
}

// begin goes on with the shadow of the plan, or makes an empty one.
func (s *Shadow) begin(live folder) error {
	if err := s.finishPromote(); err != nil {
		return err
	}
	if s.opts.Encoding == "" {
		// What the live manifest says, if it says something.
		if m, _, err := live.readManifest(); err == nil {
			s.opts.Encoding = m.Encoding
		}
	}
	err := s.load()
	if err == nil {
		return nil
	}
	var damaged *DamagedError
	if !errors.Is(err, projector.ErrConflict) && !errors.Is(err, projector.ErrRefused) && !errors.As(err, &damaged) {
		return err
	}
	if err := s.disk.Remove(s.dir); err != nil {
		return err
	}
	// A manifest from the start: the shadow of an empty log can be promoted.
	m := s.empty()
	m.Plan = *s.plan
	if err := s.putManifest(m.next()); err != nil {
		return err
	}
	return s.load()
}

// Previous implements projector.Live: <dir>.previous, which takes no Apply.
func (t *Tier) Previous(ctx context.Context) (projector.Shadow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Shadow{Tier: Tier{folder: folder{dir: t.dir + previousSuffix, disk: t.disk}, opts: Options{Inspect: true}, live: t.live}}
	err := t.locked(func() error {
		if err := s.finishPromote(); err != nil {
			return err
		}
		if _, err := os.Lstat(s.dir); errors.Is(err, fs.ErrNotExist) {
			return projector.ErrNoPrevious
		} else if err != nil {
			return err
		}
		var err error
		s.opened, err = s.text()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("file: previous contents of %s: %w", t.dir, err)
	}
	return s, nil
}

// text is the manifest's, whatever it is.
func (f folder) text() ([]byte, error) {
	raw, err := os.ReadFile(f.path(manifestFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return raw, err
}

// own wraps projector.ErrConflict when another's shadow, or none, has taken
// this one's place.
func (s *Shadow) own() error {
	if err := s.finishPromote(); err != nil {
		return err
	}
	if s.plan != nil {
		_, err := s.settle()
		return err
	}
	raw, err := s.text()
	if err == nil && !bytes.Equal(raw, s.opened) {
		err = fmt.Errorf("the previous contents were replaced or discarded: %w", projector.ErrConflict)
	}
	return err
}

// Discard removes the shadow. One that is gone, or another's, is left alone.
func (s *Shadow) Discard(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.known = nil
	err := s.locked(func() error {
		var damaged *DamagedError
		switch err := s.own(); {
		case s.done, errors.Is(err, projector.ErrConflict):
			return nil
		case err != nil && !errors.As(err, &damaged) && !errors.Is(err, projector.ErrRefused):
			return err
		}
		return errors.Join(s.disk.Remove(s.dir), s.disk.SyncDir(filepath.Dir(s.dir)))
	})
	if err != nil {
		return fmt.Errorf("file: discard %s: %w", s.dir, err)
	}
	return nil
}
