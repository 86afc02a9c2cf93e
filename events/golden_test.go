package events_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/events"
)

// The golden files are frozen: logs hold these bytes. A file is never changed
// and never removed; a new version of a type brings a new file, and the old
// one must still decode.
type golden struct {
	// Canonical is the event as the log holds it.
	Canonical jsontext.Value `json:"canonical"`
	// Inputs are forms in which publishers send the same event.
	Inputs []jsontext.Value `json:"inputs"`
}

func TestGoldenBytes(t *testing.T) {
	files, err := filepath.Glob("testdata/golden/*.json")
	require.NoError(t, err)
	covered := make(map[string]bool)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		covered[name] = true
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			var g golden
			require.NoError(t, json.Unmarshal(text, &g, json.RejectUnknownMembers(true)))
			e, err := events.DecodeStored(g.Canonical)
			require.NoError(t, err)
			require.Equal(t, name, string(e.Type()))
			line, err := e.AppendJSON(nil)
			require.NoError(t, err)
			require.Equal(t, string(g.Canonical), string(line))
			require.NotEmpty(t, g.Inputs)
			for _, input := range g.Inputs {
				require.Equal(t, string(g.Canonical), string(canonical(t, string(input))))
			}
		})
	}
	for typ := range events.Schemas() {
		require.True(t, covered[string(typ)], "testdata/golden/%s.json is missing", typ)
	}
}
