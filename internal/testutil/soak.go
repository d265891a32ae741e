package testutil

import (
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// SoakFor is how long a soak goes on: GOTAB_SOAK, such as 10m. 0 is its short form, in which every client does as
// little as tells something.
func SoakFor(t *testing.T) time.Duration {
	t.Helper()
	text := os.Getenv("GOTAB_SOAK")
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, "GOTAB_SOAK")
	return d
}
