package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

const (
	lockFile    = "lock"
	segmentTemp = "segment.tmp"
	// segmentBytes is how much payload a segment gets. A killed run loses no
	// more of its work than one segment.
	segmentBytes = 64 << 20
)

// Options says how to take a backup.
type Options struct {
	// Incremental goes on with the set that is there. Without it the folder
	// must hold none.
	Incremental bool
	// SegmentBytes is how many bytes of payload end a segment; 0 is 64 MiB.
	SegmentBytes int64
	// Now is the time that the manifest gets; zero is the clock's.
	Now time.Time
	// Observe, when set, is told how many events were copied since it was last
	// called.
	Observe func(events int)
}

// Result is what a run did.
type Result struct {
	// Set is the set after the run.
	Set *Set
	// Events and Segments were added.
	Events   uint64
	Segments int
}

// Take copies the log, or what came after the set's end, up to where the log
// ends when Take is called. Appends go on meanwhile.
//
// It wraps ErrExists when there is a set and Options.Incremental is not given,
// ErrOtherLog when the log does not hold the set's end, ErrDamaged when a file
// of the set is missing, ErrBusy when another run is at work. The set is sound
// after every error and after a kill at any instant; what was complete stays.
func Take(ctx context.Context, log *eventlog.Log, dir string, options Options) (Result, error) {
	result, err := take(ctx, log, dir, options)
	if err != nil {
		return result, fmt.Errorf("backup: into %s: %w", dir, err)
	}
	return result, nil
}

func take(ctx context.Context, log *eventlog.Log, dir string, options Options) (result Result, err error) {
	if options.SegmentBytes <= 0 {
		options.SegmentBytes = segmentBytes
	}
	if options.Now.IsZero() {
		options.Now = time.Now()
	}
	options.Now = options.Now.UTC().Truncate(time.Microsecond)
	// The log holds what concerns nobody else.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return result, err
	}
	if err := durable.SyncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return result, err
	}
	held, err := durable.TryLock(filepath.Join(dir, lockFile))
	if errors.Is(err, durable.ErrLocked) {
		return result, ErrBusy
	}
	if err != nil {
		return result, err
	}
	defer held.Close()
	w := &writer{dir: dir, options: options}
	fresh, err := w.open()
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, w.abandon()) }()
	at, err := w.manifest.Checkpoint()
	if err != nil {
		return result, err
	}
	frames, err := log.Read(ctx, at, eventlog.ReadOptions{})
	if errors.As(err, new(*eventlog.CorruptError)) {
		return result, fmt.Errorf("%w: it must hold sequence %d with the chain %s; the log was cut, replaced, or restored from an older backup. "+
			"Keep this backup, find out which of the two is right, and begin a new one in another folder: %w", ErrOtherLog, at.Sequence, at.Chain, err)
	}
	if err != nil {
		return result, err
	}
	defer frames.Close()
	if fresh {
		// From now on segments without a manifest are damage.
		err = w.commit()
	} else {
		err = w.sweep()
	}
	if err != nil {
		return result, err
	}
	segments := len(w.manifest.Segments)
	if err := w.copy(ctx, frames); err != nil {
		return result, err
	}
	w.manifest.Time = w.options.Now
	if err := w.commit(); err != nil {
		return result, err
	}
	result = Result{Events: w.manifest.Last - at.Sequence, Segments: len(w.manifest.Segments) - segments}
	result.Set, err = Open(dir)
	return result, err
}

// writer appends to a set.
type writer struct {
	dir      string
	options  Options
	manifest Manifest
	segment  *segment // nil between two
}

// segment is the one being written.
type segment struct {
	Segment
	chain   eventlog.Chain
	logged  time.Time
	payload int64
	file    *os.File
	sum     hash.Hash
	records *encoder
}

// open reads the set; fresh tells that there is none yet.
func (w *writer) open() (fresh bool, err error) {
	set, err := openWhole(w.dir)
	switch {
	case errors.Is(err, ErrNone):
		w.manifest = Manifest{Format: format, Chain: eventlog.Chain{}.String(), Begun: w.options.Now, Segments: []Segment{}}
		return true, nil
	case err != nil:
		return false, err
	case !w.options.Incremental:
		return false, fmt.Errorf("%w, up to sequence %d: add --incremental to go on with it, or name a new folder", ErrExists, set.End().Sequence)
	}
	w.manifest = set.manifest
	return false, nil
}

// sweep removes what a killed run left: the segment it was writing, and one
// that it had completed but not yet listed.
func (w *writer) sweep() error {
	entries, err := os.ReadDir(w.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := entry.Name()
		unlisted := strings.HasPrefix(name, fmt.Sprintf("%020d-", w.manifest.Last+1)) && strings.HasSuffix(name, segmentSuffix)
		if unlisted || name == segmentTemp || name == ManifestFile+".tmp" {
			if err := os.Remove(filepath.Join(w.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy takes frames to their end.
func (w *writer) copy(ctx context.Context, frames *eventlog.Reader) error {
	for {
		frame, err := frames.Next(ctx)
		if errors.Is(err, io.EOF) {
			return w.finish()
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		if err := w.add(frame); err != nil {
			return fmt.Errorf("sequence %d: %w", frame.First, err)
		}
		if w.options.Observe != nil {
			w.options.Observe(frame.Count)
		}
	}
}

func (w *writer) add(frame eventlog.Frame) error {
	if w.segment == nil {
		if err := w.begin(frame.First); err != nil {
			return err
		}
	}
	s := w.segment
	if err := s.records.add(frame); err != nil {
		return err
	}
	s.Last, s.chain, s.logged = frame.Last(), frame.Chain, frame.Logged
	s.Frames++
	s.payload += int64(len(frame.Payload))
	if s.payload >= w.options.SegmentBytes {
		return w.finish()
	}
	return nil
}

func (w *writer) begin(first uint64) error {
	file, err := os.OpenFile(filepath.Join(w.dir, segmentTemp), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	s := &segment{Segment: Segment{First: first, Before: w.manifest.Chain}, file: file, sum: sha256.New()}
	s.records, err = newEncoder(io.MultiWriter(file, s.sum))
	if err != nil {
		return errors.Join(err, file.Close())
	}
	w.segment = s
	return nil
}

// finish completes the segment, if there is one, and lists it.
func (w *writer) finish() error {
	s := w.segment
	if s == nil {
		return nil
	}
	err := s.records.Close()
	if err == nil {
		err = s.file.Sync()
	}
	stat, statErr := s.file.Stat()
	if err = errors.Join(err, statErr); err != nil {
		return err
	}
	w.segment = nil
	if err := s.file.Close(); err != nil {
		return err
	}
	s.File, s.After, s.Bytes, s.Time = segmentName(s.First, s.Last), s.chain.String(), stat.Size(), w.options.Now
	s.SHA256 = hex.EncodeToString(s.sum.Sum(nil))
	if err := os.Rename(filepath.Join(w.dir, segmentTemp), filepath.Join(w.dir, s.File)); err != nil {
		return err
	}
	w.manifest.Segments = append(w.manifest.Segments, s.Segment)
	w.manifest.Last, w.manifest.Chain, w.manifest.Logged = s.Last, s.After, s.logged.UTC()
	return w.commit()
}

// abandon lets go of a segment that was not completed.
func (w *writer) abandon() error {
	if w.segment == nil {
		return nil
	}
	return errors.Join(w.segment.file.Close(), os.Remove(filepath.Join(w.dir, segmentTemp)))
}

// commit replaces the manifest in one step, after the segments that it lists
// are there for good.
func (w *writer) commit() error {
	text, err := w.manifest.encode()
	if err != nil {
		return err
	}
	if err := durable.SyncDir(w.dir); err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(w.dir, ManifestFile), text, 0o600)
}
