package wafers

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/seed"
)

// each composes per maps of every combination.
func each(s uint64, per int, fn func(c Combination, d drawing)) {
	for i, c := range Even(per).combinations() {
		fn(c, compose(seed.Rand(s, "wafer map", uint64(i)), c))
	}
}

// TestDensities counts the failed dies of each pattern where no other is, and of
// the background, and holds them against the chances that they were drawn with.
func TestDensities(t *testing.T) {
	const background = Labels
	var failed, dies, chance [Labels + 1]float64
	each(3, 8, func(c Combination, d drawing) {
		for i, v := range d.dies {
			if v == Blank {
				continue
			}
			at, owners := background, 0
			for j, f := range d.fields {
				if f != nil && f.chance[i] > 0 {
					at = j
					owners++
				}
			}
			if owners > 1 || owners == 1 && !d.fields[at].region[i] {
				continue
			}
			p := d.background
			if owners == 1 {
				p = 1 - (1-p)*(1-d.fields[at].chance[i])
			}
			dies[at]++
			chance[at] += p
			if v == Failed {
				failed[at]++
			}
		}
	})
	for j, bounds := range [Labels + 1][2]float64{
		// In regions, half of whose rim is softer than the middle.
		Center: {minArea, maxArea}, Donut: {minArea, maxArea}, EdgeLoc: {minArea, maxArea}, EdgeRing: {minArea, maxArea}, Loc: {minArea, maxArea},
		NearFull: {minNearFull, maxNearFull}, Scratch: {minScratchFill, maxScratchFill}, Random: {minRandom, maxRandom},
		background: {minBackground, maxBackground},
	} {
		share := failed[j] / dies[j]
		require.Greater(t, share, bounds[0], "pattern %d", j)
		require.Less(t, share, bounds[1], "pattern %d", j)
		// Five deviations of a binomial, and up to ten speckled dies of 2,128.
		tol := 5*math.Sqrt(0.25/dies[j]) + 10.0/2128
		require.InDelta(t, chance[j]/dies[j], share, tol, "pattern %d", j)
	}
}

// TestNoLabelIsDoubtful holds what keeps the patterns apart.
func TestNoLabelIsDoubtful(t *testing.T) {
	const middle = Side/2*Side + Side/2 // one of the four dies at the centre
	each(4, 10, func(c Combination, d drawing) {
		require.GreaterOrEqual(t, leastSeen(d.fields), 1.0, "%s: a pattern hides behind others", c)
		for j, f := range d.fields {
			require.Equal(t, c.Has(j), f != nil)
			if f == nil {
				continue
			}
			var edge [360]bool // degrees at which the outermost dies are the pattern's
			far, dies := 0.0, 0
			for i, in := range f.region {
				if !in {
					continue
				}
				dies++
				x, y := place(i)
				far = max(far, math.Hypot(x, y))
				if math.Hypot(x, y) > 0.96 {
					edge[int(math.Atan2(y, x)/math.Pi*180+360)%360] = true
				}
			}
			turn := 0
			for k := range edge {
				for _, o := range []int{0, 1, 2, 3, 357, 358, 359} { // dies at the edge are two degrees wide
					if edge[(k+o)%360] {
						turn++
						break
					}
				}
			}
			require.Greater(t, dies, minSeen, "%s of %s", Names()[j], c)
			switch j {
			case Center:
				require.True(t, f.region[middle])
				require.Less(t, far, 0.65)
			case Donut:
				require.False(t, f.region[middle])
				require.Less(t, far, 0.85)
			case Loc:
				require.False(t, f.region[middle])
				require.Less(t, far, 0.95)
			case EdgeLoc:
				require.Greater(t, far, 0.98)
				require.Less(t, turn, 100)
			case EdgeRing:
				require.Greater(t, far, 0.98)
				require.Greater(t, turn, 200)
			case Scratch:
				require.Less(t, dies, 140, "a line, no area")
			case Random, NearFull:
				require.Greater(t, dies, 1800)
			}
		}
	})
}
