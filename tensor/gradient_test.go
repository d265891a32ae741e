package tensor_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// gradientTolerance is relative to the largest entry of each gradient, which has
// come through some ten operations in float32.
const gradientTolerance = 2e-5

// network is a test's weights by name, in order.
func network(t *testing.T, names []string, make func(s *scope) []*ten) *tensor.Params {
	t.Helper()
	p := tensor.NewParams(tensor.CPU)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	run(t, tensor.Training, func(s *scope) error {
		for i, w := range make(s) {
			if err := p.Put(s, names[i], w); err != nil {
				return err
			}
		}
		return nil
	})
	return p
}

func convNet(t *testing.T) *tensor.Params {
	t.Helper()
	p := network(t, []string{"conv", "bn.weight", "bn.bias", "fc.weight", "fc.bias"}, func(s *scope) []*ten {
		return []*ten{s.ChannelsLast(x(s, 40, 4, 3, 3, 3)), pos(s, 41, 4), x(s, 42, 4), x(s, 43, 5, 4), x(s, 44, 5)}
	})
	run(t, tensor.Training, func(s *scope) error {
		require.NoError(t, p.PutBuffer(s, "mean", x(s, 47, 4)))
		return p.PutBuffer(s, "variance", pos(s, 48, 4))
	})
	return p
}

func convLoss(s *scope, p *tensor.Params) *ten {
	return s.Sub(func(s *scope) *ten {
		y := s.Conv2d(s.ChannelsLast(x(s, 45, 6, 3, 8, 8)), p.Get("conv"), nil, tensor.Conv{Stride: 2, Padding: 1})
		y = s.BatchNorm(y, p.Get("bn.weight"), p.Get("bn.bias"), p.Get("mean"), p.Get("variance"), true, 0.1, 1e-5)
		y = s.Linear(s.GlobalAvgPool(s.MaxPool2d(s.ReLU(y), 3, 2, 1)), p.Get("fc.weight"), p.Get("fc.bias"))
		return s.MulScalar(s.CrossEntropy(s.MulScalar(y, 2), ints(s, 46, 5, 6)), 40)
	})
}

// towerLoss is like a text tower: look-up, layer norm, attention, two
// activations, projection, unit vectors.
func towerLoss(s *scope, p *tensor.Params) *ten {
	return s.Sub(func(s *scope) *ten {
		t := s.Add(s.Embedding(p.Get("table"), ints(s, 68, 9, 3, 5)), p.Get("position"))
		n := s.LayerNorm(t, p.Get("ln.weight"), p.Get("ln.bias"), 1e-5)
		a := s.Softmax(s.MulScalar(s.MatMul(n, s.Transpose(n, 1, 2)), 0.5), -1)
		t = s.Add(t, s.MatMul(a, n))
		u := s.Linear(n, p.Get("up.weight"), p.Get("up.bias"))
		t = s.Add(t, s.Linear(s.Add(s.GELU(u), s.QuickGELU(u)), p.Get("down"), nil))
		z := s.Normalize(s.MatMul(s.Select(t, 1, 4), p.Get("head")), -1, 1e-12)
		target := s.Cast(ints(s, 69, 2, 3, 4), tensor.Float32)
		return s.MulScalar(s.BCEWithLogits(s.MulScalar(z, 4), target), 100)
	})
}

// warpLoss turns a picture, enlarges it and compares directions, as registration
// and decoders do.
func warpLoss(s *scope, p *tensor.Params) *ten {
	return s.Sub(func(s *scope) *ten {
		angle := p.Get("theta")
		theta := s.Reshape(s.Cat(1, s.Cos(angle), s.Sin(angle)), 2, 2, 3)
		y := s.GridSample(s.ChannelsLast(x(s, 20, 2, 4, 9, 7)), s.AffineGrid(theta, 9, 7))
		y = s.LeakyReLU(s.ConvTranspose2d(y, p.Get("up"), nil, tensor.Conv{Stride: 2}), 0.2)
		far := s.AddScalar(s.Neg(s.CosineSimilarity(y, p.Get("late"), 1, 1e-8)), 1)
		return s.MulScalar(s.Mean(far, false), 40)
	})
}

func warper(t *testing.T) *tensor.Params {
	t.Helper()
	return network(t, []string{"theta", "up", "late"}, func(s *scope) []*ten {
		return []*ten{x(s, 90, 2, 3), x(s, 91, 4, 3, 2, 2), x(s, 92, 2, 3, 18, 14)}
	})
}

var towerNames = []string{"table", "position", "ln.weight", "ln.bias", "up.weight", "up.bias", "down", "head"}

func tower(t *testing.T) *tensor.Params {
	t.Helper()
	return network(t, towerNames, func(s *scope) []*ten {
		return []*ten{x(s, 60, 9, 6), x(s, 61, 5, 6), pos(s, 62, 6), x(s, 63, 6), s.MulScalar(x(s, 64, 8, 6), 2),
			x(s, 65, 8), x(s, 66, 6, 8), s.MulScalar(x(s, 67, 6, 4), 2)}
	})
}

func TestGradientsEqualPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	refs := fixture(t, "gradients")
	check := func(s *scope, name string, y *ten) {
		t.Helper()
		require.Contains(t, refs, name)
		require.NoError(t, refs[name].Compare(y.Shape(), floats(t, s, y), gradientTolerance), name)
	}
	for prefix, c := range map[string]struct {
		p    *tensor.Params
		loss func(s *scope, p *tensor.Params) *ten
	}{"net/": {convNet(t), convLoss}, "tower/": {tower(t), towerLoss}, "warp/": {warper(t), warpLoss}} {
		run(t, tensor.Training, func(s *scope) error {
			for _, n := range c.p.Names() {
				require.Nil(t, s.Grad(c.p.Get(n)), "before Backward")
			}
			loss := c.loss(s, c.p)
			s.Backward(loss)
			check(s, prefix+"loss", loss)
			for _, n := range c.p.Names() {
				if c.p.IsBuffer(n) {
					check(s, prefix+n, c.p.Get(n))
					require.Nil(t, s.Grad(c.p.Get(n)))
					continue
				}
				g := s.Grad(c.p.Get(n))
				if prefix+n == "warp/late" { // a corner, to keep the fixture small
					g = s.Narrow(s.Narrow(g, 2, 0, 4), 3, 0, 4)
				}
				check(s, prefix+n, g)
			}
			return s.Err()
		})
		// A second Backward adds; ZeroGrad forgets.
		run(t, tensor.Training, func(s *scope) error {
			n := c.p.Names()[0]
			first := floats(t, s, s.Grad(c.p.Get(n)))
			s.Backward(c.loss(s, c.p))
			for i, v := range floats(t, s, s.Grad(c.p.Get(n))) {
				require.InDelta(t, 2*first[i], v, 1e-3, "the sum of two equal gradients")
			}
			require.NoError(t, c.p.ZeroGrad())
			require.Nil(t, s.Grad(c.p.Get(n)))
			return s.Err()
		})
	}
}

func TestFrozenWeightsGetNoGradient(t *testing.T) {
	testutil.NoLeak(t)
	p := convNet(t)
	require.NoError(t, p.SetTrainable(func(name string) bool { return name != "conv" && name != "bn.weight" }))
	require.False(t, p.IsTrainable("conv"))
	require.True(t, p.IsTrainable("fc.bias"))
	require.False(t, p.IsTrainable("mean"))
	grads := func(s *scope) (with []string) {
		s.Backward(convLoss(s, p))
		for _, n := range p.Names() {
			if s.Grad(p.Get(n)) != nil {
				with = append(with, n)
			}
		}
		return with
	}
	run(t, tensor.Training, func(s *scope) error {
		require.Equal(t, []string{"bn.bias", "fc.weight", "fc.bias"}, grads(s))
		return s.Err()
	})
	require.NoError(t, p.ZeroGrad())
	require.NoError(t, p.SetTrainable(func(string) bool { return true }))
	require.False(t, p.IsTrainable("mean"), "a buffer stays one")
	run(t, tensor.Training, func(s *scope) error {
		require.Equal(t, []string{"conv", "bn.weight", "bn.bias", "fc.weight", "fc.bias"}, grads(s))
		return s.Err()
	})
}
