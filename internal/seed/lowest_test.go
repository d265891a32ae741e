package seed_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/seed"
)

func TestLowest(t *testing.T) {
	// SHA-256 begins with ca97 (a), 3e23 (b), 2e7d (c) and 18ac (d).
	keys := []string{"a", "b", "c", "d"}
	for _, c := range []struct {
		share float64
		want  []int
	}{{0, []int{3}}, {math.NaN(), []int{3}}, {0.3, []int{3}}, {0.375, []int{2, 3}}, {0.5, []int{2, 3}}, {0.75, []int{1, 2, 3}}, {1, []int{0, 1, 2, 3}}, {1e300, []int{0, 1, 2, 3}}} {
		require.Equal(t, c.want, seed.Lowest(keys, c.share), c.share)
	}
	require.Equal(t, []int{0, 2}, seed.Lowest([]string{"d", "a", "c", "b"}, 0.5), "in any order the same keys")
	require.Empty(t, seed.Lowest(nil, 0.5))
}
