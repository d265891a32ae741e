package wafers_test

import (
	"math/bits"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset/wafers"
)

const words = (wafers.Side*wafers.Side + 63) / 64

// failures are a map's failed dies as bits. Maps of one wafer differ by passed
// against failed alone, so their squared distance is the number of bits that
// differ.
func failures(m wafers.Map) (out [words]uint64) {
	for i, v := range m {
		if v == wafers.Failed {
			out[i/64] |= 1 << (i % 64)
		}
	}
	return out
}

// drawn returns per maps of each combination.
func drawn(seed uint64, per int) (maps [][words]uint64, is []wafers.Combination) {
	for _, c := range wafers.Combinations() {
		for range per {
			maps = append(maps, failures(wafers.Draw(seed, len(maps), c)))
			is = append(is, c)
		}
	}
	return maps, is
}

// TestNearestNeighbourFails holds the maps hard: whoever only remembers a
// hundred maps of each combination, pixel by pixel, gets fewer than four of five
// new ones right. They are no guesswork either: one in 38 would be.
func TestNearestNeighbourFails(t *testing.T) {
	train, is := drawn(1, 100)
	test, want := drawn(2, 10)
	right := 0
	for i, m := range test {
		best, at := wafers.Side*wafers.Side+1, 0
		for j := range train {
			d := 0
			for k := range m {
				d += bits.OnesCount64(m[k] ^ train[j][k])
			}
			if d < best {
				best, at = d, j
			}
		}
		if is[at] == want[i] {
			right++
		}
	}
	share := float64(right) / float64(len(test))
	t.Logf("nearest neighbour on pixels: %.3f exact", share)
	require.Less(t, share, 0.75)
	require.Greater(t, share, 0.5)
}
