package projector

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/internal/eventlog"
)

// TestLagThroughFailures: a tier whose every session ends at once does not look
// fresh while the next one begins; one that lost events has an unknown age.
func TestLagThroughFailures(t *testing.T) {
	s := NewState("memory")
	s.started(eventlog.Checkpoint{Sequence: 5}, 0)
	s.Waiting(10, time.Now().Add(-time.Hour))
	s.Waiting(20, time.Now().Add(-time.Minute))
	for range 3 {
		s.waiting(errors.New("no room"))
		s.started(eventlog.Checkpoint{Sequence: 5}, 0)
		require.EqualValues(t, 15, s.Lag().Events)
		require.InDelta(t, time.Hour.Seconds(), s.Lag().Age.Seconds(), 30)
	}
	s.started(eventlog.Checkpoint{Sequence: 10}, 0)
	require.InDelta(t, time.Minute.Seconds(), s.Lag().Age.Seconds(), 30)
	_, unread := s.unread()
	require.False(t, unread)

	s.started(eventlog.Checkpoint{}, 0)
	require.EqualValues(t, 20, s.Lag().Events)
	require.Zero(t, s.Lag().Age)
	_, unread = s.unread()
	require.True(t, unread, "the watcher looks for the age")
}
