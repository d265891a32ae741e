package evaluate

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseSeeds(t *testing.T) {
	for text, want := range map[string][]Seed{
		"3": {{Number: 1}, {Number: 2}, {Number: 3}}, "7,2": {{Number: 7}, {Number: 2}}, "reference, 1": {{Reference: true}, {Number: 1}},
		"reference": {{Reference: true}},
	} {
		got, err := ParseSeeds(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
	}
	for _, text := range []string{"", "0", "-1", "1001", "1,1", "1,,2", "one", "1.5,2"} {
		_, err := ParseSeeds(text)
		require.ErrorIs(t, err, ErrSeed, text)
	}
}

func TestSeedsDrawApart(t *testing.T) {
	require.Equal(t, Seed{Number: 3}.Rand().Uint64(), Seed{Number: 3}.Rand().Uint64())
	require.NotEqual(t, Seed{Number: 3}.Rand().Uint64(), Seed{Number: 4}.Rand().Uint64())
	seen := map[uint64]bool{}
	for use := forMethod; use <= forPixels; use++ {
		seen[Seed{Number: 3}.rand(use).Uint64()] = true
	}
	require.Len(t, seen, int(forPixels), "each purpose draws for itself")
}
