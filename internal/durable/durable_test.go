package durable_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/durable"
)

func TestWriteFileReplacesWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	for _, text := range []string{"a long first text", "short", ""} {
		require.NoError(t, os.WriteFile(path+".tmp", []byte("what a crash left, longer than all"), 0o600))
		require.NoError(t, durable.WriteFile(path, []byte(text), 0o600))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		require.NoFileExists(t, path+".tmp")
	}
	require.Error(t, durable.WriteFile(filepath.Join(path, "below a file"), nil, 0o600))
}

func TestLock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	first, err := durable.TryLock(path)
	require.NoError(t, err)
	_, err = durable.TryLock(path)
	require.ErrorIs(t, err, durable.ErrLocked)
	require.ErrorContains(t, err, path)
	got := make(chan error)
	go func() {
		second, err := durable.Lock(path)
		if err == nil {
			err = second.Close()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("two have one lock (%v)", err)
	default:
	}
	require.NoError(t, first.Close())
	require.NoError(t, <-got)
	again, err := durable.TryLock(path)
	require.NoError(t, err)
	require.NoError(t, again.Close())
}
