package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// Set is what a folder held when it was opened; a run that appends to the
// folder does not change it. It is safe for concurrent use.
type Set struct {
	dir      string
	manifest Manifest
	end      eventlog.Checkpoint
}

// Open reads the manifest. It wraps ErrNone when the folder holds no set and
// ErrDamaged when the manifest is not what was written.
func Open(dir string) (*Set, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, fmt.Errorf("backup: open %s: %w", dir, err)
	}
	s := &Set{dir: dir, manifest: *m}
	if s.end, err = m.Checkpoint(); err != nil {
		return nil, fmt.Errorf("backup: open %s: %w", dir, damaged(ManifestFile, "%w", err))
	}
	return s, nil
}

// openWhole is Open for those who go on with the set or rely on it: it also
// looks whether all files are there, with their sizes.
func openWhole(dir string) (*Set, error) {
	s, err := Open(dir)
	if err != nil {
		return nil, err
	}
	for _, segment := range s.manifest.Segments {
		file, err := s.open(segment)
		if err != nil {
			return nil, fmt.Errorf("backup: open %s: %w", dir, err)
		}
		file.Close()
	}
	return s, nil
}

// open opens a segment's file.
func (s *Set) open(segment Segment) (*os.File, error) {
	file, err := os.Open(filepath.Join(s.dir, segment.File))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, damaged(segment.File, "the file is missing; sequences from %d on are lost", segment.First)
	}
	if err != nil {
		return nil, err
	}
	stat, err := file.Stat()
	if err == nil && stat.Size() != segment.Bytes {
		err = damaged(segment.File, "%d bytes, want %d; sequences from %d on are lost", stat.Size(), segment.Bytes, segment.First)
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// Dir is the set's folder.
func (s *Set) Dir() string { return s.dir }

// Manifest says what the set holds.
func (s *Set) Manifest() Manifest { return s.manifest }

// End is the last event that the set holds; the zero Checkpoint when there is
// none.
func (s *Set) End() eventlog.Checkpoint { return s.end }

// Frames yields the frames that end behind the sequence after, in log order,
// each proved: its segment has the hash that the manifest tells, the frame
// follows the one before without gap and links to its chain. The first error is
// the last thing yielded; it wraps ErrDamaged and names file and sequence.
func (s *Set) Frames(ctx context.Context, after uint64) iter.Seq2[eventlog.Frame, error] {
	return func(yield func(eventlog.Frame, error) bool) {
		for _, segment := range s.manifest.Segments {
			if segment.Last <= after {
				continue
			}
			more, err := s.frames(ctx, segment, after, yield)
			if err != nil {
				yield(eventlog.Frame{}, fmt.Errorf("backup: read %s: %w", s.dir, err))
			}
			if err != nil || !more {
				return
			}
		}
	}
}

// Verify reads the whole set and proves it.
func (s *Set) Verify(ctx context.Context) error {
	for _, err := range s.Frames(ctx, 0) {
		if err != nil {
			return err
		}
	}
	return nil
}

// Holds tells whether a frame of the set holds the checkpoint's sequence and
// has its chain value. The zero Checkpoint is held by every set.
func (s *Set) Holds(ctx context.Context, at eventlog.Checkpoint) (bool, error) {
	if at.Sequence == 0 {
		return true, nil
	}
	for frame, err := range s.Frames(ctx, at.Sequence-1) {
		return err == nil && frame.Chain == at.Chain, err
	}
	return false, nil
}

// frames yields one segment. more is false when the consumer stopped.
func (s *Set) frames(ctx context.Context, segment Segment, after uint64, yield func(eventlog.Frame, error) bool) (more bool, err error) {
	chain, err := eventlog.ParseChain(segment.Before)
	if err != nil {
		return false, damaged(segment.File, "%w", err)
	}
	file, err := s.open(segment)
	if err != nil {
		return false, err
	}
	defer file.Close()
	// The hash comes first: nobody gets a frame of a file that was changed.
	sum := sha256.New()
	if _, err := io.Copy(sum, &contextReader{ctx, file}); err != nil {
		return false, fmt.Errorf("%s: %w", segment.File, err)
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != segment.SHA256 {
		return false, damaged(segment.File, "its SHA-256 is %s, want %s; sequences from %d on are lost", got, segment.SHA256, segment.First)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return false, fmt.Errorf("%s: %w", segment.File, err)
	}
	records, err := newDecoder(&contextReader{ctx, file})
	if err != nil {
		return false, fmt.Errorf("%s: %w", segment.File, err)
	}
	defer records.Close()
	next, count := segment.First, 0
	for {
		frame, err := records.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return false, errors.Join(ctx.Err(), damaged(segment.File, "sequence %d: %w", next, err))
		}
		if frame.First != next {
			return false, damaged(segment.File, "a frame begins with sequence %d, want %d", frame.First, next)
		}
		chain = chain.Next(frame.First, frame.Payload)
		frame.Chain = chain
		next, count = frame.Last()+1, count+1
		if frame.Last() > after && !yield(frame, nil) {
			return false, nil
		}
	}
	if next != segment.Last+1 || chain.String() != segment.After || count != segment.Frames {
		return false, damaged(segment.File, "it ends at sequence %d after %d frames with the chain %s, want %d, %d and %s",
			next-1, count, chain, segment.Last, segment.Frames, segment.After)
	}
	return true, nil
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
