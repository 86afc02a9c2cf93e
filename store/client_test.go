package store_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/seed-744e3d1b/tapedeck/store"
)

// TestNamesThatAreNone: "", . and .. would be other paths; nothing is asked.
func TestNamesThatAreNone(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	t.Cleanup(server.Close)
	s, err := store.Open(server.URL, server.URL)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	for _, name := range []string{"", ".", ".."} {
		_, err := s.GetAccount(t.Context(), name)
		require.ErrorContains(t, err, "must be named")
		_, _, err = s.GetHeldDays(t.Context(), "acc-01", name)
		require.ErrorContains(t, err, "must be named")
	}
	require.Zero(t, asked)
	_, err = s.GetAccount(t.Context(), "...")
	require.ErrorContains(t, err, "v1/accounts/...")
	require.Equal(t, 1, asked)
}
