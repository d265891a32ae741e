package tab

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// pools is a network without weights: layer k is the mean over squares of 2^(k+1)
// pixels, so layers 1 and 2 of 16x16 images are 4x4 and 2x2 with three channels.
type pools struct{ params *tensor.Params }

func (p pools) Params() *tensor.Params      { return p.params }
func (p pools) Device() tensor.Device       { return p.params.Device() }
func (p pools) Channels(backbone.Layer) int { return 3 }
func (p pools) Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor {
	out := make([]*tensor.Tensor, len(at))
	for i, l := range at {
		k := int64(2) << l
		out[i] = s.AvgPool2d(x, k, k, 0)
	}
	return out
}

const spreadSide = 16

// spreadImage is image i of the fixture: a pattern common to all images and a
// part of its own, whose channels hang together.
func spreadImage(i int) []float32 {
	common, own := testutil.Draw("common", 3*spreadSide*spreadSide), testutil.Draw("own"+string(rune('a'+i)), 3*spreadSide*spreadSide)
	for k := range common {
		common[k] += own[k]
		if k%3 == 1 {
			common[k] += own[k-1] / 2
		}
	}
	for k := range common {
		common[k] *= 8
	}
	return common
}

func packSpread(_ context.Context, i int, dst []float32) error {
	copy(dst, spreadImage(i))
	return nil
}

// TestSpreadFixture compares with what NumPy makes of the same images
// (testdata/parity/spread.py).
func TestSpreadFixture(t *testing.T) {
	testutil.NoLeak(t)
	refs := testutil.Fixture(t, "testdata/parity/spread.json")
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	layers := []backbone.Layer{backbone.Layer1, backbone.Layer2}
	for _, batch := range []int{1, 3, 20} { // the batch changes nothing
		got, err := measureSpread(t.Context(), net, 9, spreadSide, spreadSide, packSpread, spreadConfig{Layers: layers, Ridge: 0.1, Batch: batch})
		require.NoError(t, err)
		require.Len(t, got, 2)
		for i, sp := range got {
			name := layers[i].String()
			require.Equal(t, layers[i], sp.Layer)
			require.Equal(t, []int{3, 4 >> i, 4 >> i, 9}, []int{sp.C, sp.H, sp.W, sp.Images})
			narrow := func(v []float64) []float32 {
				var out []float32
				for _, x := range v {
					out = append(out, float32(x))
				}
				return out
			}
			inverse := make([]float64, 9) // Whiten Whiten' is the inverse of the ridged covariance
			for a := range 3 {
				for b := range 3 {
					for k := range 3 {
						inverse[3*a+b] += sp.Whiten[3*a+k] * sp.Whiten[3*b+k]
					}
				}
			}
			require.NoError(t, refs[name+".mean"].Compare([]int64{int64(sp.H * sp.W), 3}, narrow(sp.Mean), 1e-6))
			require.NoError(t, refs[name+".covariance"].Compare([]int64{3, 3}, narrow(sp.Covariance), 1e-6))
			require.NoError(t, refs[name+".inverse"].Compare([]int64{3, 3}, narrow(inverse), 1e-6))
			require.NoError(t, refs[name+".normal"].Compare([]int64{4}, narrow(sp.Normal[:]), 1e-6))
		}
	}
}

// TestSpreadOfNetwork holds the arithmetic on a real network to loops over its
// features.
func TestSpreadOfNetwork(t *testing.T) {
	net, err := backbone.NewResNet18(tensor.CPU, rand.New(rand.NewPCG(3, 4)))
	require.NoError(t, err)
	defer net.Close()
	const n, side = 7, 32
	image := func(i int) []float32 { return testutil.Draw("image"+string(rune('a'+i)), 3*side*side) }
	layers := []backbone.Layer{backbone.Layer3}
	got, err := measureSpread(t.Context(), net, n, side, side, func(_ context.Context, i int, dst []float32) error {
		copy(dst, image(i))
		return nil
	}, spreadConfig{Layers: layers, Ridge: 0.1, Batch: 2})
	require.NoError(t, err)
	var f [n][]float64 // [position][channel]
	c, p := 0, 0
	for i := range f {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			x := net.Forward(s, s.FromNHWC(image(i), 1, side, side, 3), backbone.Layer3)[0]
			c, p = int(x.Size(1)), int(x.Size(2)*x.Size(3))
			v, err := s.Float64s(s.Permute(x, 0, 2, 3, 1))
			f[i] = v
			return err
		}))
	}
	stats := func(of []int) (mean, cov []float64) {
		mean, cov = make([]float64, c*p), make([]float64, c*c)
		for _, i := range of {
			for k, v := range f[i] {
				mean[k] += v / float64(len(of))
			}
		}
		for _, i := range of {
			for at := range p {
				for a := range c {
					for b := range c {
						cov[a*c+b] += (f[i][at*c+a] - mean[at*c+a]) * (f[i][at*c+b] - mean[at*c+b]) / float64(p*(len(of)-1))
					}
				}
			}
		}
		return mean, cov
	}
	q := func(mean, cov, x []float64, at int) float64 { // by Gaussian elimination
		e := 0.0
		for a := range c {
			e += 0.1 * cov[a*c+a] / float64(c)
		}
		m, b := slices.Clone(cov), make([]float64, c)
		for a := range c {
			m[a*c+a] += e
			b[a] = x[at*c+a] - mean[at*c+a]
		}
		v := slices.Clone(b)
		for k := range c {
			for a := k + 1; a < c; a++ {
				g := m[a*c+k] / m[k*c+k]
				for j := k; j < c; j++ {
					m[a*c+j] -= g * m[k*c+j]
				}
				b[a] -= g * b[k]
			}
		}
		sum := 0.0
		for a := c - 1; a >= 0; a-- {
			for j := a + 1; j < c; j++ {
				b[a] -= m[a*c+j] * b[j]
			}
			b[a] /= m[a*c+a]
			sum += v[a] * b[a]
		}
		return sum / float64(c)
	}
	mean, cov := stats([]int{0, 1, 2, 3, 4, 5, 6})
	require.InDeltaSlice(t, mean, got[0].Mean, 1e-5)
	require.InDeltaSlice(t, cov, got[0].Covariance, 1e-5)
	var all []float32
	for i := range f {
		other := []int{3, 4, 5, 6}
		if i >= 3 {
			other = []int{0, 1, 2}
		}
		mean, cov := stats(other)
		for at := range p {
			all = append(all, float32(q(mean, cov, f[i], at)))
		}
	}
	slices.Sort(all)
	for i, level := range normalLevels {
		require.InEpsilon(t, quantile(all, level), got[0].Normal[i], 1e-3)
	}
	require.Less(t, got[0].Normal[0], got[0].Normal[3])
}

// TestSpreadHoldsBack: judged by their own mean, four images would look closer
// to it than images do that come later; by halves they do not look closer.
func TestSpreadHoldsBack(t *testing.T) {
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	got, err := measureSpread(t.Context(), net, 4, spreadSide, spreadSide, packSpread, spreadConfig{Layers: []backbone.Layer{backbone.Layer1}, Ridge: 0.1, Batch: 4})
	require.NoError(t, err)
	later := []float32{}
	sp := got[0]
	for i := 4; i < 24; i++ {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
			f := net.Forward(s, s.FromNHWC(spreadImage(i), 1, spreadSide, spreadSide, 3), backbone.Layer1)[0]
			v := s.Minus(positions(s, f), s.FromFloat64s(sp.Mean, 1, 16, 3))
			q, err := s.Floats(whitened(s, v, s.FromFloat64s(sp.Whiten, 3, 3)))
			later = append(later, q...)
			return err
		}))
	}
	slices.Sort(later)
	require.GreaterOrEqual(t, sp.Normal[levelMedian], 0.9*quantile(later, 0.5))
	require.GreaterOrEqual(t, sp.Normal[level95], 0.9*quantile(later, 0.95))
}

func TestSpreadRefuses(t *testing.T) {
	net := pools{tensor.NewParams(tensor.CPU)}
	defer net.params.Close()
	good := spreadConfig{Layers: []backbone.Layer{backbone.Layer1}, Ridge: 0.1, Batch: 2}
	for want, change := range map[string]func(n *int, c *spreadConfig){
		"there are 3":      func(n *int, _ *spreadConfig) { *n = 3 },
		"the ridge is 0":   func(_ *int, c *spreadConfig) { c.Ridge = 0 },
		"the ridge is NaN": func(_ *int, c *spreadConfig) { c.Ridge = math.NaN() },
		"the batch is 0":   func(_ *int, c *spreadConfig) { c.Batch = 0 },
	} {
		n, c := 4, good
		change(&n, &c)
		_, err := measureSpread(t.Context(), net, n, spreadSide, spreadSide, packSpread, c)
		require.ErrorIs(t, err, ErrConfig)
		require.ErrorContains(t, err, want)
	}
	same := func(_ context.Context, _ int, dst []float32) error { copy(dst, spreadImage(1)); return nil }
	_, err := measureSpread(t.Context(), net, 6, spreadSide, spreadSide, same, good)
	require.ErrorIs(t, err, ErrConfig)
	require.ErrorContains(t, err, "all the same at layer1")
	broken := errors.New("no file")
	_, err = measureSpread(t.Context(), net, 6, spreadSide, spreadSide, func(context.Context, int, []float32) error { return broken }, good)
	require.ErrorIs(t, err, broken)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = measureSpread(ctx, net, 6, spreadSide, spreadSide, packSpread, good)
	require.ErrorIs(t, err, context.Canceled)
}
