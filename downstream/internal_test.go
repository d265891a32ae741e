package downstream

import (
	"context"
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// one is an extractor of one layer that is never run.
type one struct{ channels int }

func (one) Device() tensor.Device { return tensor.CPU }

func (o one) Channels(backbone.Layer) int { return o.channels }

func (o one) Forward(s *tensor.Scope, x *tensor.Tensor, _ ...backbone.Layer) []*tensor.Tensor {
	return []*tensor.Tensor{x}
}

// TestStreamedCovariance holds the float32 sums against double precision for
// features that are far from zero, correlated, and drift away from the first
// batch, which sets the shift.
func TestStreamedCovariance(t *testing.T) {
	const (
		images, batch = 4096, 16
		side, c       = 2, 6
		grid          = side * side
		// tolerance is in units of the trace: 256 batches, each rounding the sums
		// by 6e-8.
		tolerance = 1e-5
	)
	start := tensor.Live()
	cfg := DefaultPaDiM()
	cfg.Layers, cfg.Channels = []backbone.Layer{backbone.Layer1}, nil
	p, err := NewPaDiM(one{c}, cfg, nil)
	require.NoError(t, err)
	acc := &moments{p: p, size: image.Pt(side, side)}
	rng := rand.New(rand.NewPCG(1, 1))
	var all [grid][c][]float64
	for b := range images / batch {
		f := &features{values: make([]float32, batch*grid*c), n: batch, h: side, w: side}
		for i := range batch {
			for g := range grid {
				common := rng.NormFloat64()
				for k := range c {
					v := float32(20 + float64(k) + common + 0.5*rng.NormFloat64() + float64(b)/100)
					f.values[(i*grid+g)*c+k] = v
					all[g][k] = append(all[g][k], float64(v))
				}
			}
		}
		require.NoError(t, acc.add(t.Context(), f))
	}
	var q, sum, shift []float64
	require.NoError(t, tensor.Run(context.Background(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		var err error
		if q, err = s.Float64s(acc.kept.Get("whitening")); err != nil {
			return err
		}
		if sum, err = s.Float64s(acc.passed.Get("sum")); err != nil {
			return err
		}
		shift, err = s.Float64s(acc.kept.Get("mean"))
		return err
	}))
	mean := func(v []float64) float64 {
		s := 0.0
		for _, x := range v {
			s += x
		}
		return s / float64(len(v))
	}
	worst := 0.0
	for g := range grid {
		var m [c]float64
		trace := 0.0
		for k := range c {
			m[k] = mean(all[g][k])
			require.InEpsilon(t, m[k], shift[g*c+k]+sum[g*c+k]/images, 1e-6)
			for _, x := range all[g][k] {
				trace += (x - m[k]) * (x - m[k]) / (images - 1)
			}
		}
		for a := range c {
			for b := range c {
				want := 0.0
				for i := range images {
					want += (all[g][a][i] - m[a]) * (all[g][b][i] - m[b])
				}
				want /= images - 1
				got := (q[(g*c+a)*c+b] - sum[g*c+a]*sum[g*c+b]/images) / (images - 1)
				worst = math.Max(worst, math.Abs(got-want)/trace)
			}
		}
	}
	t.Logf("covariance differs by %.1e of the trace", worst)
	require.LessOrEqual(t, worst, tolerance)
	acc.close()
	require.Equal(t, start, tensor.Live())
}

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
		b := smoothing(c.in, c.out, halfPixel, c.sigma)
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
	}, smoothing(3, 5, alignCorners, 0))
	require.Equal(t, []float32{1, 0, 0, 0}, smoothing(4, 1, alignCorners, 0))
	require.Equal(t, []float32{1, 1, 1}, smoothing(1, 3, alignCorners, 0))
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

func TestSpans(t *testing.T) {
	for _, c := range []struct {
		n, most, workers int
		want             []int
	}{
		{64, 8, 2, []int{8, 8, 8, 8, 8, 8, 8, 8}},
		{10, 8, 2, []int{5, 5}},
		{20, 8, 2, []int{5, 5, 5, 5}},
		{1, 8, 4, []int{1}},
		{3, 8, 4, []int{3}},
		{5, 1, 4, []int{1, 1, 1, 1, 1}},
		{0, 8, 2, nil},
		{17, 8, 1, []int{5, 6, 6}},
	} {
		var got []int
		at := 0
		for _, s := range spans(c.n, c.most, c.workers) {
			require.Equal(t, at, s[0])
			at = s[1]
			got = append(got, s[1]-s[0])
		}
		require.Equal(t, c.n, at)
		require.Equal(t, c.want, got, "%+v", c)
	}
}
