package tensor_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// The kernel for channels-last maps is held against libtorch's for the other
// layout: values and both gradients, for channel counts that do and do not fill
// vectors, places far beyond the border, sides of one pixel, and several threads.
func TestGridSampleChannelsLast(t *testing.T) {
	testutil.NoLeak(t)
	// tolerance is relative to the largest value. A place some reflections away is
	// known to 2e-5 pixels in float32, and values and slopes vary that much with it.
	const tolerance = 3e-5
	rng := rand.New(rand.NewPCG(1, 2))
	normal := func(n int64, deviation float64) []float32 {
		v, err := tensor.Normal(rng, n, deviation)
		require.NoError(t, err)
		return v
	}
	for _, c := range []struct{ n, c, h, w, oh, ow int64 }{
		{2, 3, 9, 7, 4, 5}, {1, 16, 6, 6, 6, 6}, {3, 21, 5, 8, 7, 2}, {2, 8, 1, 6, 3, 3}, {1, 9, 4, 1, 2, 6}, {5, 64, 80, 80, 80, 80},
	} {
		t.Run(fmt.Sprint(c), func(t *testing.T) {
			img, places := normal(c.n*c.c*c.h*c.w, 1), normal(c.n*c.oh*c.ow*2, 1.5)
			places[0], places[1] = 7.3, -11.9 // several reflections away
			weights := normal(c.n*c.c*c.oh*c.ow, 1)
			p := tensor.NewParams(tensor.CPU)
			defer p.Close()
			pass := func(last bool) (y, gx, gp []float32) {
				ctx := tensor.WithThreads(t.Context(), 2)
				require.NoError(t, tensor.Run(ctx, tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
					x, grid := p.Get("x"), p.Get("grid")
					if last {
						x = s.ChannelsLast(x)
					}
					out := s.GridSample(x, grid)
					s.Backward(s.Sum(s.Mul(out, s.FromFloats(weights, out.Shape()...)), false))
					y, gx, gp = floats(t, s, out), floats(t, s, s.Grad(p.Get("x"))), floats(t, s, s.Grad(grid))
					require.NoError(t, p.ZeroGrad())
					return s.Err()
				}))
				return y, gx, gp
			}
			run(t, tensor.Evaluation, func(s *tensor.Scope) error {
				require.NoError(t, p.Put(s, "x", s.FromFloats(img, c.n, c.c, c.h, c.w)))
				return p.Put(s, "grid", s.FromFloats(places, c.n, c.oh, c.ow, 2))
			})
			y, gx, gp := pass(false)
			cy, cgx, cgp := pass(true)
			for name, v := range map[string][2][]float32{"values": {y, cy}, "gradient of the map": {gx, cgx}, "gradient of the grid": {gp, cgp}} {
				top, worst := 0.0, 0.0
				for i := range v[0] {
					top = max(top, math.Abs(float64(v[0][i])))
					worst = max(worst, math.Abs(float64(v[0][i]-v[1][i])))
				}
				require.LessOrEqual(t, worst, tolerance*top, name)
				require.Greater(t, top, 0.1, name)
			}
		})
	}
}

// Nothing goes to the map or the grid where that needs no gradient, and a place
// that is not finite is seen in the result.
func TestGridSampleEdges(t *testing.T) {
	testutil.NoLeak(t)
	run(t, tensor.Training, func(s *tensor.Scope) error {
		theta := tensor.NewParams(tensor.CPU)
		defer theta.Close()
		require.NoError(t, theta.Put(s, "t", x(s, 40, 2, 2, 3)))
		fixed := s.ChannelsLast(x(s, 20, 2, 4, 9, 7))
		s.Backward(s.Sum(s.GridSample(fixed, s.AffineGrid(theta.Get("t"), 9, 7)), false))
		require.NotNil(t, s.Grad(theta.Get("t")))
		require.Nil(t, s.Grad(fixed))
		return s.Err()
	})
	run(t, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
			y := floats(t, s, s.GridSample(s.ChannelsLast(x(s, 20, 1, 4, 9, 7)), s.FromFloats([]float32{float32(bad), 0, 0, 0}, 1, 1, 2, 2)))
			for i, v := range y {
				require.Equal(t, i%2 == 0, v != v, "%v", y)
			}
		}
		require.Empty(t, floats(t, s, s.GridSample(s.ChannelsLast(x(s, 20, 1, 4, 9, 7)), s.Zeros(1, 0, 3, 2))))
		return s.Err()
	})
}
