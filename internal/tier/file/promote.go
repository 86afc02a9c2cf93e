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

// promotingSuffix is on a directory that goes into the live one's place: its
// manifest says so. Without that mark it is the one that was live before.
const promotingSuffix = ".promoting"

// Promote puts the shadow into the live directory's place and keeps the latter
// as <dir>.previous. The rename to <dir>.promoting commits it: what a crash
// leaves after that, the next use finishes. Linux exchanges the two directories
// in one step. Elsewhere two renames follow each other, and for the instant
// between there is no live directory. After an error it can be repeated.
func (s *Shadow) Promote(ctx context.Context, hold projector.Hold) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.locked(func() error { return s.promote(hold) }); err != nil {
		return fmt.Errorf("file: promote %s: %w", s.dir, err)
	}
	return nil
}

func (s *Shadow) promote(hold projector.Hold) error {
	if err := s.own(); err != nil {
		return err
	}
	// Whatever this process remembers: what goes live is what the disk holds.
	proven := Tier{folder: s.folder, live: s.live, plan: s.plan}
	if err := proven.load(); err != nil {
		return err
	}
	s.known = nil
	live := folder{dir: s.live, disk: s.disk}
	if err := live.make(); err != nil {
		return err
	}
	if err := live.clearMarks(); err != nil {
		return err
	}
	m := proven.known.manifest.next()
	m.Hold, m.Promoting = hold.Text(), true
	if err := s.putManifest(m); err != nil {
		return err
	}
	if s.plan == nil {
		s.opened, _ = m.encode()
	}
	if err := s.disk.Rename(s.dir, s.live+promotingSuffix); err != nil {
		return err
	}
	if err := s.finishPromote(); err != nil {
		return errors.Join(err, s.takeBack())
	}
	s.done = true
	return nil
}

// takeBack undoes a promote that the system refuses, as Windows does while
// another program has a file of the live directory open.
func (s *Shadow) takeBack() error {
	for _, need := range []string{s.live, s.live + promotingSuffix} {
		if _, err := os.Lstat(need); err != nil {
			return nil //nolint:nilerr // it went too far to be undone: the next use finishes it
		}
	}
	promoting := folder{dir: s.live + promotingSuffix, disk: s.disk}
	if m, _, err := promoting.readManifest(); err != nil || !m.Promoting {
		return err
	}
	return s.disk.Rename(promoting.dir, s.dir)
}

// finishPromote finishes a committed Promote. It does nothing when there is
// none, and may be stopped at any point and called again. It needs the lock.
func (t *Tier) finishPromote() error {
	promoting := folder{dir: t.live + promotingSuffix, disk: t.disk}
	if _, err := os.Lstat(promoting.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	var damaged *DamagedError
	m, _, err := promoting.readManifest()
	if err != nil && !errors.As(err, &damaged) && !errors.Is(err, projector.ErrRefused) {
		return err
	}
	if m.Promoting {
		if err := t.place(promoting.dir); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(promoting.dir); err == nil {
		if err := t.keep(promoting.dir); err != nil {
			return err
		}
	}
	return folder{dir: t.live, disk: t.disk}.clearMarks()
}

// place puts the directory that is being promoted into the live one's place.
func (t *Tier) place(promoting string) error {
	err := t.disk.Exchange(promoting, t.live)
	if errors.Is(err, errors.ErrUnsupported) {
		if _, err := os.Lstat(t.live); err == nil {
			if err := t.keep(t.live); err != nil {
				return err
			}
		}
		err = t.disk.Rename(promoting, t.live)
	} else if errors.Is(err, fs.ErrNotExist) {
		err = t.disk.Rename(promoting, t.live)
	}
	if err != nil {
		return err
	}
	return t.disk.SyncDir(filepath.Dir(t.live))
}

// keep makes a directory that was live the previous one.
func (t *Tier) keep(dir string) error {
	previous := t.live + previousSuffix
	if err := t.disk.Remove(previous); err != nil {
		return err
	}
	if err := t.disk.Rename(dir, previous); err != nil {
		return err
	}
	return t.disk.SyncDir(filepath.Dir(t.live))
}

// clearMarks takes from a live manifest what it says of a shadow.
func (f folder) clearMarks() error {
	m, _, err := f.readManifest()
	var damaged *DamagedError
	switch {
	case errors.As(err, &damaged), errors.Is(err, projector.ErrRefused):
		return nil // it was never promoted by this program, or is beyond reading
	case err != nil:
		return err
	case !m.Promoting && m.Plan == "":
		return nil
	}
	next := m.next()
	next.Plan = ""
	return f.putManifest(next)
}
