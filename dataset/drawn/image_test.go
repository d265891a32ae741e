package drawn_test

import (
	"image"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset/drawn"
)

const size = 64 // small and quick; lengths are shares of the side

func source(n uint64) *rand.Rand { return rand.New(rand.NewPCG(n, 99)) }

// forEach runs fn for every class and defect.
func forEach(t *testing.T, fn func(t *testing.T, class, kind string)) {
	t.Helper()
	for _, class := range drawn.Classes() {
		kinds, err := drawn.Defects(class)
		require.NoError(t, err)
		for _, kind := range kinds {
			t.Run(class+"/"+kind, func(t *testing.T) { fn(t, class, kind) })
		}
	}
}

func TestClassesAreSortedAndHaveDefects(t *testing.T) {
	classes := drawn.Classes()
	require.True(t, slices.IsSorted(classes))
	require.GreaterOrEqual(t, len(classes), 5)
	kinds := map[string]bool{}
	for _, c := range classes {
		list, err := drawn.Defects(c)
		require.NoError(t, err)
		require.GreaterOrEqual(t, len(list), 4)
		for _, k := range list {
			kinds[k] = true
		}
	}
	require.GreaterOrEqual(t, len(kinds), 8)
}

func TestSameSourceSameBytes(t *testing.T) {
	forEach(t, func(t *testing.T, class, kind string) {
		a, err := drawn.Damaged(class, kind, size, source(1))
		require.NoError(t, err)
		b, err := drawn.Damaged(class, kind, size, source(1))
		require.NoError(t, err)
		require.Equal(t, a, b)
		c, err := drawn.Damaged(class, kind, size, source(2))
		require.NoError(t, err)
		require.NotEqual(t, a.Image.Pix, c.Image.Pix)
	})
}

func TestUndamagedTwinIsTheGoodDrawing(t *testing.T) {
	forEach(t, func(t *testing.T, class, kind string) {
		d, err := drawn.Damaged(class, kind, size, source(3))
		require.NoError(t, err)
		good, err := drawn.Good(class, size, source(3))
		require.NoError(t, err)
		require.Equal(t, good.Pix, d.Undamaged.Pix)
	})
}

func TestMaskIsWhatDiffers(t *testing.T) {
	forEach(t, func(t *testing.T, class, kind string) {
		for seed := range uint64(3) {
			d, err := drawn.Damaged(class, kind, size, source(seed))
			require.NoError(t, err)
			count := 0
			for y := range size {
				for x := range size {
					a, b := d.Image.RGBAAt(x, y), d.Undamaged.RGBAAt(x, y)
					most := max(gap(a.R, b.R), gap(a.G, b.G), gap(a.B, b.B))
					want := uint8(0)
					if most > drawn.Visible {
						want = 255
						count++
					}
					require.Equal(t, want, d.Mask.GrayAt(x, y).Y, "(%d,%d) differs by %d", x, y, most)
					require.Equal(t, uint8(255), a.A)
				}
			}
			share := float64(count) / (size * size)
			require.GreaterOrEqual(t, share, drawn.MinShare)
			// A fault that covers a fifth of the image would be no test of anything.
			require.Less(t, share, 0.2)
		}
	})
}

// A defect leaves the image around it as it was, but for the rounding of
// faint edges: there is no second, hidden sign by which it could be told.
func TestNothingElseChanges(t *testing.T) {
	forEach(t, func(t *testing.T, class, kind string) {
		d, err := drawn.Damaged(class, kind, size, source(5))
		require.NoError(t, err)
		same := 0
		for i := range d.Mask.Pix {
			if string(d.Image.Pix[4*i:4*i+4]) == string(d.Undamaged.Pix[4*i:4*i+4]) {
				same++
			}
		}
		require.Greater(t, float64(same)/float64(len(d.Mask.Pix)), 0.7)
	})
}

func TestGoodOnesVary(t *testing.T) {
	for _, class := range drawn.Classes() {
		a, err := drawn.Good(class, size, source(1))
		require.NoError(t, err)
		b, err := drawn.Good(class, size, source(2))
		require.NoError(t, err)
		require.Greater(t, meanGap(a, b), 2.0, class)
	}
}

func TestErrors(t *testing.T) {
	_, err := drawn.Good("cheese", size, source(1))
	require.ErrorIs(t, err, drawn.ErrClass)
	require.ErrorContains(t, err, "cheese")
	require.ErrorContains(t, err, "leather")
	_, err = drawn.Defects("cheese")
	require.ErrorIs(t, err, drawn.ErrClass)
	_, err = drawn.Damaged("leather", "mould", size, source(1))
	require.ErrorIs(t, err, drawn.ErrDefect)
	for _, bad := range []int{-1, 0, drawn.MinSize - 1, drawn.MaxSize + 1} {
		_, err = drawn.Good("leather", bad, source(1))
		require.ErrorIs(t, err, drawn.ErrSize)
	}
	_, err = drawn.Good("leather", size, nil)
	require.ErrorIs(t, err, drawn.ErrNoRand)
}

func BenchmarkGood(b *testing.B) {
	for _, class := range drawn.Classes() {
		b.Run(class, func(b *testing.B) {
			rng := source(1)
			for b.Loop() {
				_, err := drawn.Good(class, 128, rng)
				require.NoError(b, err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

func gap(a, b uint8) int { return max(int(a), int(b)) - min(int(a), int(b)) }

func meanGap(a, b *image.RGBA) float64 {
	sum := 0
	for i := range a.Pix {
		sum += gap(a.Pix[i], b.Pix[i])
	}
	return float64(sum) / float64(len(a.Pix))
}
