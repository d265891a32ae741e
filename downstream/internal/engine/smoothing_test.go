package engine

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/tensor"
)

// TestSmoothingEqualsTwoSteps holds the one matrix against libtorch's bilinear
// interpolation followed by a blur by definition, borders included.
func TestSmoothingEqualsTwoSteps(t *testing.T) {
	// tolerance is float32 rounding of sums of up to 33 x 33 products.
	const tolerance = 1e-5
	for _, c := range []struct {
		in, out int
		sigma   float64
	}{{56, 224, 4}, {8, 32, 4}, {7, 50, 1.3}, {5, 5, 2}, {4, 6, 9}, {1, 3, 1}, {9, 20, 0}} {
		rng := rand.New(rand.NewPCG(uint64(c.in), uint64(c.out)))
		d := make([]float32, c.in*c.in)
		for i := range d {
			d[i] = 10 + 5*float32(rng.NormFloat64())
		}
		b := smoothing(c.in, c.out, HalfPixel, c.sigma)
		var up, got []float32
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			n, m := int64(c.in), int64(c.out)
			x := s.FromFloats(d, 1, 1, n, n)
			bt := s.FromFloats(b, m, n)
			var err error
			if up, err = s.Floats(s.UpsampleBilinear(x, m, m)); err != nil {
				return err
			}
			got, err = s.Floats(s.MatMul(s.MatMul(bt, s.Reshape(x, n, n)), s.Transpose(bt, 0, 1)))
			return err
		}))
		want := blurByDefinition(up, c.out, c.sigma)
		top, worst := 0.0, 0.0
		for i := range want {
			top = math.Max(top, math.Abs(want[i]))
			worst = math.Max(worst, math.Abs(want[i]-float64(got[i])))
		}
		require.LessOrEqual(t, worst/top, tolerance, "%+v", c)
	}
}

func TestSmoothingWithCornersAligned(t *testing.T) {
	require.Equal(t, []float32{
		1, 0, 0,
		0.5, 0.5, 0,
		0, 1, 0,
		0, 0.5, 0.5,
		0, 0, 1,
	}, smoothing(3, 5, AlignCorners, 0))
	require.Equal(t, []float32{1, 0, 0, 0}, smoothing(4, 1, AlignCorners, 0))
	require.Equal(t, []float32{1, 1, 1}, smoothing(1, 3, AlignCorners, 0))
}

func blurByDefinition(v []float32, n int, sigma float64) []float64 {
	r := int(4*sigma + 0.5)
	k := make([]float64, 2*r+1)
	total := 0.0
	for i := range k {
		k[i] = 1
		if sigma > 0 {
			k[i] = math.Exp(-math.Pow(float64(i-r)/sigma, 2) / 2)
		}
		total += k[i]
	}
	fold := func(i int) int {
		for i < 0 || i >= n {
			if i < 0 {
				i = -1 - i
			} else {
				i = 2*n - 1 - i
			}
		}
		return i
	}
	pass := func(at func(y, x, t int) float64) []float64 {
		out := make([]float64, n*n)
		for y := range n {
			for x := range n {
				for t, w := range k {
					out[y*n+x] += w / total * at(y, x, t-r)
				}
			}
		}
		return out
	}
	h := pass(func(y, x, t int) float64 { return float64(v[y*n+fold(x+t)]) })
	return pass(func(y, x, t int) float64 { return h[fold(y+t)*n+x] })
}
