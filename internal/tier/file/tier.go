// Package file is the tier of folders and files that the existing strategies
// read: see DESIGN.md for the layout and what a crash leaves behind.
package file

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"os"
	"path/filepath"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/durable"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
	"github.com/seed-744e3d1b/tapedeck/internal/projector"
	"github.com/seed-744e3d1b/tapedeck/internal/silverquant"
)

// Options say how to open a tier.
type Options struct {
	// TakeOver moves a directory that holds data of someone else's to
	// <dir>.foreign and starts with an empty one.
	TakeOver bool
	// Encoding is how deal_hist.csv is written; empty is what the directory
	// has already, UTF-8 in a new one.
	Encoding silverquant.Encoding
	// Bound marks a folder that holds only some of the events up to its
	// checkpoint: a snapshot until some event time. It cannot be gone on with.
	Bound string
	// Inspect opens damaged files as well: Checkpoint says what the manifest
	// says, or that it is damaged, Dump what the files say; Apply is refused,
	// all else works.
	Inspect bool
}

// Tier is a directory. Beside it lie <dir>.lock, <dir>.shadow while one is
// built, and <dir>.previous, which the last Promote replaced.
type Tier struct {
	folder
	opts Options
	// live is the live tier's directory: this one, or the one that this shadow
	// lies beside.
	live string
	// plan is set in a shadow that is being built.
	plan *string
	// known is nil when the directory has to be read again.
	known *contents
}

// contents is what the tier remembers of its directory.
type contents struct {
	// manifest: while one lies there that vouches for the same, all this holds.
	manifest   manifest
	checkpoint eventlog.Checkpoint
	book       *book.Book
	// sums are the running hashes of the append-grown files.
	sums map[string]hash.Hash
}

var _ projector.Live = (*Tier)(nil)

// Open opens the directory, which may be missing or empty, and finishes what a
// crash cut off. The error is a *DamagedError, naming the file and what to do,
// when a file is not what was written, and wraps projector.ErrRefused when
// Options.Encoding is not the directory's.
//
// Foreign data is reported by Checkpoint and Apply.
func Open(dir string, opts Options) (*Tier, error) {
	return open(dir, opts, osDisk{})
}

func open(dir string, opts Options, d disk) (*Tier, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("file: open: %w", err)
	}
	t := &Tier{folder: folder{dir: dir, disk: d, last: new(lastManifest)}, opts: opts, live: dir}
	err = t.locked(t.load)
	var damaged *DamagedError
	reportLater := errors.Is(err, projector.ErrForeignData) || (opts.Inspect && errors.As(err, &damaged))
	if err != nil && !reportLater {
		return nil, fmt.Errorf("file: open %s: %w", dir, err)
	}
	return t, nil
}

// Name is "file".
func (t *Tier) Name() string { return "file" }

// Kinds lists all kinds but trade: deal_hist.csv has not all of its columns.
func (t *Tier) Kinds() []book.Kind { return append([]book.Kind(nil), kinds...) }

// Close gives nothing back: files are open only inside the methods.
func (t *Tier) Close() error { return nil }

// Checkpoint reads the manifest afresh.
func (t *Tier) Checkpoint(ctx context.Context) (eventlog.Checkpoint, error) {
	if err := ctx.Err(); err != nil {
		return eventlog.Checkpoint{}, err
	}
	if err := t.locked(t.load); err != nil {
		return eventlog.Checkpoint{}, fmt.Errorf("file: checkpoint of %s: %w", t.dir, err)
	}
	return t.known.checkpoint, nil
}

// Apply folds the batch into the files. See projector.Tier.
func (t *Tier) Apply(ctx context.Context, b projector.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := t.locked(func() error {
		if t.opts.Inspect {
			return fmt.Errorf("opened for inspection only: %w", projector.ErrRefused)
		}
		if err := t.load(); err != nil {
			return err
		}
		if t.known.checkpoint != b.From {
			return fmt.Errorf("at %d, not %d: %w", t.known.checkpoint.Sequence, b.From.Sequence, projector.ErrConflict)
		}
		if err := t.obey(b); err != nil {
			return err
		}
		return t.step(b)
	})
	if err != nil {
		return fmt.Errorf("file: apply %d–%d to %s: %w", b.From.Sequence+1, b.To.Sequence, t.dir, err)
	}
	return nil
}

// step folds a batch that follows the known contents and commits it.
func (t *Tier) step(b projector.Batch) error {
	now := t.known
	// Whatever fails from here on leaves the fold ahead of the files.
	t.known = nil
	p := &patch{folder: t.folder, book: now.book, encoding: now.manifest.Encoding, manifest: now.manifest, sums: now.sums}
	for _, e := range b.Events {
		now.book.Apply(e)
		if err := p.touch(e); err != nil {
			return err
		}
	}
	changes, err := p.changes()
	if err != nil {
		return err
	}
	next := now.manifest.next()
	next.Sequence, next.Chain = b.To.Sequence, b.To.Chain.String()
	next.Files = maps.Clone(now.manifest.Files)
	for _, c := range changes {
		next.Files[c.Path] = p.entries[c.Path]
	}
	if err := t.commit(journal{Manifest: next, Changes: changes}); err != nil {
		return err
	}
	now.manifest, now.checkpoint = next, b.To
	t.known = now
	return nil
}

// locked runs do while no other process or Tier changes the directory, or one
// of those beside it.
func (t *Tier) locked(do func() error) error {
	// The lock's folder is the parent, which a new tier may be the first to need.
	if err := os.MkdirAll(filepath.Dir(t.live), 0o755); err != nil {
		return err
	}
	path := t.live + ".lock"
	lock, err := durable.Lock(path)
	if err != nil {
		return err
	}
	return errors.Join(do(), lock.Close())
}

// settle finishes what a crash cut off and reads the manifest: an empty one
// where there is none. It needs the lock.
func (t *Tier) settle() (manifest, error) {
	if err := t.finishPromote(); err != nil {
		return manifest{}, err
	}
	var damaged *DamagedError
	if err := t.recover(); err != nil && (!t.opts.Inspect || !errors.As(err, &damaged)) {
		return manifest{}, err
	}
	m, found, err := t.readManifest()
	switch {
	case err != nil:
		return m, err
	case t.plan != nil && (!found || m.Plan != *t.plan):
		return m, fmt.Errorf("the shadow belongs to another rebuild or is gone: %w", projector.ErrConflict)
	case !found:
		return t.empty(), t.refuseForeign()
	}
	return m, nil
}

// load brings t.known up to date. It needs the lock.
func (t *Tier) load() error {
	before := t.known
	t.known = nil
	m, err := t.settle()
	if err != nil {
		return err
	}
	if m.Bound != t.opts.Bound && !t.opts.Inspect {
		return fmt.Errorf("this folder is a snapshot (%s), not a tier that can go on: name another folder: %w", m.Bound, projector.ErrRefused)
	}
	if t.opts.Encoding != "" && t.opts.Encoding != m.Encoding {
		return fmt.Errorf("deal_hist.csv is written as %s here, not %s; rebuild to change it: %w", m.Encoding, t.opts.Encoding, projector.ErrRefused)
	}
	c := &contents{manifest: m, book: book.New(book.Keep{}), sums: make(map[string]hash.Hash)}
	if c.checkpoint, err = m.checkpoint(); err != nil {
		return err
	}
	switch {
	case before != nil && before.manifest.vouchesFor(m):
		c.book, c.sums = before.book, before.sums
	case !t.opts.Inspect:
		if err := t.restore(c); err != nil {
			return err
		}
	}
	t.known = c
	return nil
}

// restore proves every file and folds the small ones back into the book.
func (t *Tier) restore(c *contents) error {
	for name, want := range c.manifest.Files {
		h, err := t.proveFile(name, want)
		if err != nil {
			return err
		}
		if appended(name) {
			c.sums[name] = h
		}
	}
	return t.rows(stateKinds, func(good, bad []book.Row) error {
		if len(bad) > 0 {
			name, _ := fileOf(bad[0].Kind, bad[0].Key)
			return t.damaged(name, bad[0].Value)
		}
		for _, row := range good {
			if err := c.book.Restore(row); err != nil {
				return err
			}
		}
		return nil
	})
}

// empty is the manifest of a directory that holds nothing.
func (t *Tier) empty() manifest {
	m := manifest{Format: format, Chain: eventlog.Chain{}.String(), Encoding: t.opts.Encoding, Bound: t.opts.Bound, Files: map[string]entry{}}
	if m.Encoding == "" {
		m.Encoding = silverquant.UTF8
	}
	return m
}

// refuseForeign makes sure that a directory without manifest is nobody else's.
func (t *Tier) refuseForeign() error {
	entries, err := os.ReadDir(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		switch {
		case e.Name() == journalFile+".tmp", e.Name() == manifestFile+".tmp":
			// A first write was cut off.
		case t.opts.TakeOver:
			return t.moveForeign()
		default:
			return fmt.Errorf("%s holds %s but no %s: %w", t.dir, e.Name(), manifestFile, projector.ErrForeignData)
		}
	}
	return nil
}

func (t *Tier) moveForeign() error {
	aside := t.dir + ".foreign"
	if _, err := os.Lstat(aside); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is in the way of taking over: move it first: %w", aside, projector.ErrRefused)
	}
	if err := t.disk.Rename(t.dir, aside); err != nil {
		return err
	}
	return t.disk.SyncDir(filepath.Dir(t.dir))
}
