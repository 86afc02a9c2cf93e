package file

import (
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

// Shadow is a directory beside the live one. It shares the live one's lock.
type Shadow struct {
	Tier
	live string
	done bool
}

var _ projector.Shadow = (*Shadow)(nil)

// Shadow makes <dir>.shadow. It works on a damaged or foreign directory, too.
func (t *Tier) Shadow(ctx context.Context, _ string) (projector.Shadow, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := &Shadow{Tier: Tier{folder: folder{dir: t.dir + shadowSuffix, disk: t.disk}, opts: t.opts, lockPath: t.lockPath}, live: t.dir}
	s.opts.Inspect = false
	if s.opts.Encoding == "" && t.known != nil {
		s.opts.Encoding = t.known.manifest.Encoding
	}
	err := t.locked(func() error {
		if err := t.finishPromote(); err != nil {
			return err
		}
		if err := s.disk.Remove(s.dir); err != nil {
			return err
		}
		if err := s.load(); err != nil {
			return err
		}
		// A manifest from the start: the shadow of an empty log can be promoted.
		return s.step(projector.Batch{})
	})
	if err != nil {
		return nil, fmt.Errorf("file: shadow %s: %w", s.dir, err)
	}
	return s, nil
}

// Promote puts the shadow into the live directory's place and keeps the latter
// as <dir>.previous until the next Promote. Linux exchanges the two in one
// step. Elsewhere two renames follow each other, and for the instant between
// there is no live directory; a crash there is finished by the next use.
func (s *Shadow) Promote(ctx context.Context, _ projector.Hold) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.locked(s.promote); err != nil {
		return fmt.Errorf("file: promote %s: %w", s.dir, err)
	}
	return nil
}

func (s *Shadow) promote() error {
	if err := s.load(); err != nil {
		return err
	}
	previous := s.live + previousSuffix
	if err := s.disk.Remove(previous); err != nil {
		return err
	}
	err := s.disk.Exchange(s.dir, s.live)
	switch {
	case err == nil:
		// From here on the live directory is the new one, whatever happens.
		s.done = true
		err = s.disk.Rename(s.dir, previous)
	case errors.Is(err, errors.ErrUnsupported), errors.Is(err, fs.ErrNotExist):
		if err = s.disk.Rename(s.live, previous); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err = s.disk.Rename(s.dir, s.live); err == nil {
			s.done = true
		}
	}
	return errors.Join(err, s.disk.SyncDir(filepath.Dir(s.live)))
}

// Discard removes the shadow.
func (s *Shadow) Discard(ctx context.Context) error {
	if s.done {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s.known = nil
	if err := s.locked(func() error { return s.disk.Remove(s.dir) }); err != nil {
		return fmt.Errorf("file: discard %s: %w", s.dir, err)
	}
	return nil
}

// finishPromote makes the second rename of a Promote that a crash cut off:
// only there is the live directory missing while its predecessor and a shadow
// with a manifest lie beside it.
func (t *Tier) finishPromote() error {
	if _, err := os.Lstat(t.dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, need := range []string{t.dir + previousSuffix, filepath.Join(t.dir+shadowSuffix, manifestFile)} {
		if _, err := os.Lstat(need); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
	}
	if err := t.disk.Rename(t.dir+shadowSuffix, t.dir); err != nil {
		return err
	}
	return t.disk.SyncDir(filepath.Dir(t.dir))
}
