package book_test

import (
	"crypto/sha256"
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/seed-744e3d1b/tapedeck/internal/book"
	"github.com/seed-744e3d1b/tapedeck/internal/book/booktest"
)

func TestSnapshotBringsTheBookBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "book.snapshot")
	rapid.Check(t, func(t *rapid.T) {
		keep := drawKeep(t)
		history := booktest.Histories(t, booktest.Options{Events: 100})
		cut := rapid.IntRange(0, len(history)).Draw(t, "cut")
		extra := rapid.SliceOf(rapid.Byte()).Draw(t, "extra")

		b := fold(keep, history[:cut])
		frozen := b.Snapshot(uint64(cut), sha256.Sum256(extra))
		frozen.Extra = extra
		for _, e := range history[cut:] {
			b.Apply(e) // the Book goes on before the copy is written
		}
		require.NoError(t, frozen.WriteFile(path))

		read, err := book.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, uint64(cut), read.Sequence)
		require.Equal(t, sha256.Sum256(extra), read.Chain)
		require.Equal(t, string(extra), string(read.Extra))
		again, err := read.Book()
		require.NoError(t, err)
		require.Equal(t, rowsOf(t, fold(keep, history[:cut])), rowsOf(t, again))
		for _, e := range history[cut:] {
			again.Apply(e)
		}
		require.Equal(t, rowsOf(t, b), rowsOf(t, again))
	})
}

// writeSnapshot writes a small but not empty snapshot.
func writeSnapshot(t *testing.T) (path string, data []byte) {
	path = filepath.Join(t.TempDir(), "book.snapshot")
	s := fold(book.Keep{}, sample(t)[:7]).Snapshot(7, [32]byte{1, 2, 3})
	s.Extra = []byte("known ids")
	require.NoError(t, s.WriteFile(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	return path, data
}

func requireUnusable(t *testing.T, path string, data []byte, what string, args ...any) *book.SnapshotError {
	require.NoError(t, os.WriteFile(path, data, 0o600))
	_, err := book.ReadFile(path)
	var unusable *book.SnapshotError
	require.ErrorAs(t, err, &unusable, append([]any{what}, args...)...)
	require.Equal(t, path, unusable.Path)
	return unusable
}

func TestDamagedSnapshotIsNoticed(t *testing.T) {
	path, data := writeSnapshot(t)
	for i := range data {
		damaged := append([]byte(nil), data...)
		damaged[i] ^= 0x10
		requireUnusable(t, path, damaged, "byte %d flipped", i)
	}
	for length := range data {
		requireUnusable(t, path, data[:length], "cut to %d bytes", length)
	}
	requireUnusable(t, path, append(append([]byte(nil), data...), 0), "a byte too many")
}

func TestSnapshotOfAnotherVersionIsRefused(t *testing.T) {
	path, data := writeSnapshot(t)
	body := append([]byte(nil), data[:len(data)-sha256.Size]...)
	binary.BigEndian.PutUint32(body[16:], 2)
	sum := sha256.Sum256(body)
	err := requireUnusable(t, path, append(body, sum[:]...), "version 2")
	require.Equal(t, "has version 2, this program reads 1", err.Reason)
}

func TestMissingSnapshot(t *testing.T) {
	_, err := book.ReadFile(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A crash while writing leaves the tmp file; the next snapshot is not
// disturbed by it, and a failed write leaves the old snapshot.
func TestSnapshotSurvivesAHalfWrittenOne(t *testing.T) {
	path, data := writeSnapshot(t)
	require.NoError(t, os.WriteFile(path+".tmp", append(data, "left from a crash"...), 0o600))
	s, err := book.ReadFile(path)
	require.NoError(t, err)
	require.NoError(t, s.WriteFile(path))
	after, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, data, after)
	require.NoFileExists(t, path+".tmp")

	require.NoError(t, os.Mkdir(path+".tmp", 0o700))
	require.Error(t, s.WriteFile(path))
	_, err = book.ReadFile(path)
	require.NoError(t, err)
}
