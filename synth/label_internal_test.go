package synth

import (
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// slowMedian is the median of the values that shape names around every pixel, borders repeated.
func slowMedian(v []int, w, h, radius int, shape func(dx, dy int) bool) []int {
	out := make([]int, len(v))
	for y := range h {
		for x := range w {
			var s []int
			for dy := -radius; dy <= radius; dy++ {
				for dx := -radius; dx <= radius; dx++ {
					if shape(dx, dy) {
						s = append(s, v[min(max(y+dy, 0), h-1)*w+min(max(x+dx, 0), w-1)])
					}
				}
			}
			slices.Sort(s)
			out[y*w+x] = s[len(s)/2]
		}
	}
	return out
}

func square(int, int) bool { return true }

func TestMajorityIsTheMedian(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][2]int{{8, 8}, {1, 9}, {20, 13}} {
		for _, side := range []int{5, 7} {
			w, h := s[0], s[1]
			m := image.NewGray(image.Rect(0, 0, w, h))
			v := make([]int, w*h)
			for i := range v {
				v[i] = 255 * rng.IntN(2)
				m.Pix[i] = uint8(v[i])
			}
			want := slowMedian(v, w, h, side/2, square)
			majority(m, m.Rect, side)
			for i := range v {
				require.Equal(t, want[i], int(m.Pix[i]))
			}
		}
	}
}

// TestLabelsEqualSlowTwin repeats the labels of the article with brute force.
func TestLabelsEqualSlowTwin(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 2))
	curve := Logistic{Steepness: 1. / 6, Midpoint: 15}
	disk := func(dx, dy int) bool { return dx*dx+dy*dy <= diskRadius*diskRadius }
	for _, s := range []struct {
		w, h int
		r    image.Rectangle
	}{{30, 26, image.Rect(3, 4, 21, 20)}, {12, 40, image.Rect(0, 0, 12, 40)}, {25, 25, image.Rect(0, 12, 25, 25)}} {
		a := noise(s.w, s.h, rng)
		b := cloneRGBA(a)
		for y := s.r.Min.Y; y < s.r.Max.Y; y++ {
			for x := s.r.Min.X; x < s.r.Max.X; x++ {
				if (x/4+y/3)%3 > 0 || rng.IntN(3) == 0 {
					for c := range 3 {
						b.Pix[b.PixOffset(x, y)+c] = uint8(rng.IntN(256))
					}
				}
			}
		}
		for _, where := range []*image.Gray{nil, blob(s.w, s.h, rng)} {
			mask, n := changeMask(a, b, s.r, 1)
			require.Positive(t, n)
			base, diff := make([]int, s.w*s.h), make([]int, s.w*s.h)
			for i := range base {
				d := 0
				for c := range 3 {
					d += absInt(int(a.Pix[4*i+c]) - int(b.Pix[4*i+c]))
				}
				if d > 3 && (where == nil || where.Pix[i] > 0) {
					base[i] = 1
				}
				diff[i] = d
			}
			base = slowMedian(base, s.w, s.h, binaryMedian/2, square)
			for i := range diff {
				diff[i] *= base[i]
			}
			smooth := slowMedian(diff, s.w, s.h, diskRadius, disk)
			binary := changeLabel(a, b, mask, where, s.r, LabelBinary, curve)
			intensity := changeLabel(a, b, mask, where, s.r, LabelIntensity, curve)
			logistic := changeLabel(a, b, mask, where, s.r, LabelLogistic, curve)
			ones := 0
			for i := range base {
				d := float64(smooth[i]) / 3
				ones += base[i]
				require.Equal(t, float32(base[i]), binary[i])
				require.Equal(t, float32(d), intensity[i])
				require.Equal(t, float32(float64(base[i])/(1+math.Exp(-curve.Steepness*(d-curve.Midpoint)))), logistic[i])
			}
			require.Positive(t, ones)
		}
	}
}

// TestSizesOfTheReleasedCode checks figures of TAB's size law at 224 pixels found by a simulation of its code: the upper
// bound, 45, is met in 36.6 % of draws and the mean half side is 34.7. Five deviations of 40,000 draws are 1.2 points and 0.3.
func TestSizesOfTheReleasedCode(t *testing.T) {
	const draws = 40000
	im := image.NewRGBA(image.Rect(0, 0, 224, 224))
	r := newNSARun(OfficialTAB(), im, im, rand.New(rand.NewPCG(1, 1)))
	sum, top := 0, 0
	for range draws {
		half, lo, hi := r.half(r.g.Height, 224)
		if lo != 11 || hi != 45 || half < lo || half > hi {
			t.Fatalf("drew %d within %d to %d", half, lo, hi)
		}
		sum += half
		if half == hi {
			top++
		}
	}
	require.InDelta(t, 34.7, float64(sum)/draws, 0.3)
	require.InDelta(t, 0.366, float64(top)/draws, 0.012)
	// An even law, where no gamma law is given.
	r.g.Size.Shape = 0
	seen := map[int]bool{}
	for range 2000 {
		half, _, _ := r.half(r.g.Height, 224)
		seen[half] = true
	}
	require.Len(t, seen, 45-11)
	require.False(t, seen[45])
}

func TestGammaDraw(t *testing.T) {
	const draws = 60000
	for _, shape := range []float64{0.4, 1, 2, 7.5} {
		rng := rand.New(rand.NewPCG(8, 8))
		var m, v float64
		for range draws {
			x := gammaDraw(rng, shape)
			if x <= 0 {
				t.Fatalf("drew %g", x)
			}
			m += x / draws
			v += (x - shape) * (x - shape) / draws
		}
		// Mean and variance are both the shape; five deviations of the mean, and of the variance, whose fourth moment is 3k(k+2).
		require.InDelta(t, shape, m, 5*math.Sqrt(shape/draws), "mean of %g", shape)
		require.InDelta(t, shape, v, 5*math.Sqrt((3*shape*(shape+2)-shape*shape)/draws), "variance of %g", shape)
	}
}

func TestBlenderKeepsItsTablesBounded(t *testing.T) {
	var b Blender
	for _, n := range []int{1000, 1, 500} {
		require.Same(t, b.plan(n), b.plan(n))
	}
	for n := 1023; n > 400; n-- {
		b.plan(n)
		require.LessOrEqual(t, b.bytes, tableBytes)
	}
	held := 0
	for n, e := range b.plans {
		require.Equal(t, n, e.plan.n)
		held += e.plan.bytes
	}
	require.Equal(t, b.bytes, held)
	require.NotContains(t, b.plans, 1, "least recently used")
	require.Contains(t, b.plans, 401)
}
