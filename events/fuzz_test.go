package events_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// FuzzDecode: no input makes the decoders panic; what Decode refuses it
// refuses with an *InvalidError; what it accepts encodes stably.
func FuzzDecode(f *testing.F) {
	files, err := filepath.Glob("testdata/golden/*.json")
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		var g golden
		require.NoError(f, json.Unmarshal(text, &g))
		for _, input := range append(g.Inputs, g.Canonical) {
			f.Add([]byte(input))
		}
	}
	f.Add([]byte(`{"data":[[[[`))
	f.Fuzz(func(t *testing.T, line []byte) {
		_, storedErr := events.DecodeStored(line)
		e, err := events.Decode(line)
		if err != nil {
			var invalid *events.InvalidError
			require.True(t, errors.As(err, &invalid), "%T", err)
			return
		}
		require.NoError(t, storedErr, "what is valid can be read from the log")
		first, err := e.AppendJSON(nil)
		require.NoError(t, err)
		strict, err := events.Decode(first)
		require.NoError(t, err, string(first))
		require.Equal(t, e, strict)
		stored, err := events.DecodeStored(first)
		require.NoError(t, err, string(first))
		require.Equal(t, e, stored)
		second, err := stored.AppendJSON(nil)
		require.NoError(t, err)
		require.Equal(t, string(first), string(second))
	})
}
