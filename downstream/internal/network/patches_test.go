package network

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAdaptiveBins(t *testing.T) {
	var got [][2]int
	for i := range 4 {
		lo, hi := adaptiveBin(i, 10, 4)
		got = append(got, [2]int{lo, hi})
	}
	require.Equal(t, [][2]int{{0, 3}, {2, 5}, {5, 8}, {7, 10}}, got) // torch.nn.functional.adaptive_avg_pool1d
	lo, hi := adaptiveBin(3, 2, 5)
	require.Equal(t, [2]int{1, 2}, [2]int{lo, hi})
}
