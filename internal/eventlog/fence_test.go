package eventlog_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

func TestASecondWriterIsFenced(t *testing.T) {
	n := startNode(t)
	old := n.writer(t)
	appendFrames(t, old, 2)
	young := n.writer(t)
	kept := appendFrames(t, young, 3)

	// Two at once: neither may pass, not even the one whose number fits now.
	p, err := old.Begin([]byte("{}\n"), 1)
	require.NoError(t, err)
	_, err = old.Begin([]byte("{}\n"), 1)
	require.ErrorIs(t, err, eventlog.ErrFenced)
	_, err = p.Wait(background(t))
	require.ErrorIs(t, err, eventlog.ErrFenced)
	_, err = old.Begin([]byte("{}\n"), 1)
	require.ErrorIs(t, err, eventlog.ErrFenced, "a failed writer stays failed")

	more := appendFrames(t, young, 1)
	got, err := readAll(t, n.open(t), eventlog.Checkpoint{})
	require.NoError(t, err)
	require.Equal(t, append(kept, more...), got[1:])
}
