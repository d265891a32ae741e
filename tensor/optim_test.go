package tensor_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// optimizerTolerance: five updates of float32, the same formulas in the same
// order.
const optimizerTolerance = 1e-6

func optimizers(t *testing.T) map[string]func() tensor.Optimizer {
	t.Helper()
	sgd := func(c tensor.SGDConfig) func() tensor.Optimizer {
		return func() tensor.Optimizer {
			o, err := tensor.NewSGD(c, tensor.CPU)
			require.NoError(t, err)
			return o
		}
	}
	adamw := func(c tensor.AdamWConfig) func() tensor.Optimizer {
		return func() tensor.Optimizer {
			o, err := tensor.NewAdamW(c, tensor.CPU)
			require.NoError(t, err)
			return o
		}
	}
	adam := func(c tensor.AdamConfig) func() tensor.Optimizer {
		return func() tensor.Optimizer {
			o, err := tensor.NewAdam(c, tensor.CPU)
			require.NoError(t, err)
			return o
		}
	}
	return map[string]func() tensor.Optimizer{
		"sgd":       sgd(tensor.SGDConfig{}),
		"momentum":  sgd(tensor.DefaultSGD()),
		"dampening": sgd(tensor.SGDConfig{Momentum: 0.8, Dampening: 0.3}),
		"decay":     sgd(tensor.SGDConfig{Momentum: 0.9, WeightDecay: 0.2}),
		"nesterov":  sgd(tensor.SGDConfig{Momentum: 0.9, WeightDecay: 0.1, Nesterov: true}),
		"adamw":     adamw(tensor.DefaultAdamW()),
		"adamw-own": adamw(tensor.AdamWConfig{Beta1: 0.7, Beta2: 0.95, Epsilon: 1e-3, WeightDecay: 0.5}),
		"adam":      adam(tensor.AdamConfig{Beta1: 0.5, Beta2: 0.999, Epsilon: 1e-8}),
		"adam-own":  adam(tensor.AdamConfig{Beta1: 0.7, Beta2: 0.95, Epsilon: 1e-3, WeightDecay: 0.5}),
	}
}

// trainee is what the optimizers of the fixture work on: a convolution, in
// either memory layout, and a weight that joins in at the third step.
func trainee(t *testing.T, channelsLast bool) *tensor.Params {
	t.Helper()
	return network(t, []string{"conv", "late"}, func(s *scope) []*ten {
		conv := x(s, 70, 4, 3, 3, 3)
		if channelsLast {
			conv = s.ChannelsLast(conv)
		}
		return []*ten{conv, x(s, 71, 7)}
	})
}

// update makes step number step: the gradient of sum(w g) is g.
func update(t *testing.T, p *tensor.Params, o tensor.Optimizer, step int) {
	t.Helper()
	run(t, tensor.Training, func(s *scope) error {
		for k, n := range p.Names() {
			if n == "late" && step < 2 {
				continue
			}
			w := p.Get(n)
			s.Backward(s.Sum(s.Mul(w, x(s, int64(80+10*step+k), w.Shape()...)), false))
		}
		err := o.Step(s, p, func(name string) float64 {
			if name == "late" {
				return 0.02
			}
			return 0.05 / float64(1+step)
		})
		require.NoError(t, p.ZeroGrad())
		return err
	})
}

func weights(t *testing.T, p *tensor.Params) []tensor.Array {
	t.Helper()
	a, err := p.Arrays(t.Context())
	require.NoError(t, err)
	return a
}

func TestOptimizersEqualPyTorch(t *testing.T) {
	testutil.NoLeak(t)
	refs := fixture(t, "optimizers")
	start := trainee(t, false)
	before := weights(t, start)
	for name, make := range optimizers(t) {
		for _, channelsLast := range []bool{false, true} {
			p, o := trainee(t, channelsLast), make()
			for step := range 5 {
				update(t, p, o, step)
			}
			for i, a := range weights(t, p) {
				v, err := a.Floats()
				require.NoError(t, err)
				require.NoError(t, refs[name+"/"+a.Name].Compare(a.Shape, v, optimizerTolerance), "%s/%s", name, a.Name)
				require.NotEqual(t, before[i].Data, a.Data)
			}
			require.NoError(t, o.Close())
		}
	}
	// One step less is seen.
	p, o := trainee(t, false), optimizers(t)["adamw"]()
	for step := range 4 {
		update(t, p, o, step)
	}
	v, err := weights(t, p)[0].Floats()
	require.NoError(t, err)
	require.Error(t, refs["adamw/conv"].Compare([]int64{4, 3, 3, 3}, v, optimizerTolerance))
	require.NoError(t, o.Close())
}

func TestOptimizerContinuesBitForBit(t *testing.T) {
	testutil.NoLeak(t)
	for name, make := range optimizers(t) {
		for _, channelsLast := range []bool{false, true} {
			for stop := range 5 { // before and after the late weight has joined in
				p, o := trainee(t, channelsLast), make()
				for step := range stop {
					update(t, p, o, step)
				}
				saved := weights(t, p)
				state, err := o.State(t.Context())
				require.NoError(t, err)
				q, r := trainee(t, channelsLast), make()
				require.NoError(t, q.SetArrays(t.Context(), saved, nil))
				// What was in the new optimizer before does not matter.
				scratch := trainee(t, channelsLast)
				update(t, scratch, r, 3)
				require.NoError(t, r.Restore(t.Context(), state))
				again, err := r.State(t.Context())
				require.NoError(t, err)
				require.ElementsMatch(t, state, again)
				for step := stop; step < 5; step++ {
					update(t, p, o, step)
					update(t, q, r, step)
					require.Equal(t, weights(t, p), weights(t, q), "%s, channels-last %v, stopped after %d", name, channelsLast, stop)
				}
				require.NoError(t, o.Close())
				require.NoError(t, r.Close())
				require.NoError(t, r.Close(), "closing twice is harmless")
			}
		}
	}
}

func TestOptimizerLeavesFrozenWeights(t *testing.T) {
	testutil.NoLeak(t)
	for name, make := range optimizers(t) {
		p, o := trainee(t, true), make()
		before, version := weights(t, p), p.Version()
		frozen := func(rate float64) []tensor.Array {
			run(t, tensor.Training, func(s *scope) error {
				for _, n := range p.Names() {
					if p.IsTrainable(n) {
						s.Backward(s.Sum(s.Mul(p.Get(n), x(s, 80, p.Get(n).Shape()...)), false))
					}
				}
				err := o.Step(s, p, func(name string) float64 {
					if name == "conv" {
						return rate
					}
					return 0.1
				})
				require.NoError(t, p.ZeroGrad())
				return err
			})
			return weights(t, p)
		}
		after := frozen(0) // by its rate, also from weight decay
		require.Equal(t, before[0], after[0], name)
		require.NotEqual(t, before[1], after[1], name)
		require.Greater(t, p.Version(), version)
		require.NoError(t, p.SetTrainable(func(n string) bool { return n != "conv" }))
		require.Equal(t, before[0], frozen(0.1)[0], name)

		// The late comer's first step is a first step, as if the others had not been.
		require.NoError(t, p.SetTrainable(func(string) bool { return true }))
		joined := frozen(0.1)[0]
		require.NoError(t, o.Close())
		p, o = trainee(t, true), make()
		require.Equal(t, joined, frozen(0.1)[0], name)
		require.NoError(t, o.Close())
	}
}

func TestOptimizerState(t *testing.T) {
	testutil.NoLeak(t)
	o := optimizers(t)["momentum"]()
	state, err := o.State(t.Context())
	require.NoError(t, err)
	require.Empty(t, state)
	p := trainee(t, true)
	update(t, p, o, 4)
	state, err = o.State(t.Context())
	require.NoError(t, err)
	for name, spoil := range map[string]func() []tensor.Array{
		"of another optimizer": func() []tensor.Array { return append(state[:0:0], tensor.FloatArray("mean.conv", []float32{1}, 1)) },
		"twice":                func() []tensor.Array { return append(append(state[:0:0], state...), state[0]) },
		"two counts": func() []tensor.Array {
			return append(state[:0:0], state[0], tensor.IntArray("step.conv", []int64{1, 2}, 2))
		},
		"negative count": func() []tensor.Array { return append(state[:0:0], state[0], tensor.IntArray("step.conv", []int64{-1})) },
		"no bytes": func() []tensor.Array {
			return append(state[:0:0], tensor.Array{Name: "momentum.conv", DType: tensor.Float32, Shape: []int64{3}})
		},
		"count is missing": func() []tensor.Array { return state[:1] },
		"count alone":      func() []tensor.Array { return append(state[:0:0], tensor.IntArray("step.conv", []int64{3})) },
		"not finite": func() []tensor.Array {
			return append(state[:0:0], tensor.FloatArray("momentum.conv", []float32{float32(math.NaN())}, 1), tensor.IntArray("step.conv", []int64{3}))
		},
	} {
		require.Error(t, o.Restore(t.Context(), spoil()), name)
		kept, err := o.State(t.Context())
		require.NoError(t, err)
		require.Equal(t, state, kept, "%s: a failed Restore changes nothing", name)
	}
	// State of another network is an error at the step, not a crash.
	require.NoError(t, o.Restore(t.Context(), []tensor.Array{
		tensor.FloatArray("momentum.conv", []float32{1, 2}, 2), tensor.IntArray("step.conv", []int64{3}),
	}))
	err = tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
		s.Backward(s.Sum(p.Get("conv"), false))
		return o.Step(s, p, func(string) float64 { return 0.1 })
	})
	require.ErrorContains(t, err, "conv")
	require.NoError(t, p.ZeroGrad())
	require.NoError(t, o.Close())
}

func TestOptimizerRefusesRates(t *testing.T) {
	testutil.NoLeak(t)
	for name, make := range optimizers(t) {
		p, o := trainee(t, true), make()
		before := weights(t, p)
		for _, rate := range []float64{math.NaN(), math.Inf(1), -0.1} {
			err := tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
				for _, n := range p.Names() {
					s.Backward(s.Sum(p.Get(n), false))
				}
				require.Error(t, o.Step(s, p, nil))
				return o.Step(s, p, func(n string) float64 { // the first weight's rate is good
					if n == "conv" {
						return 0.1
					}
					return rate
				})
			})
			require.ErrorContains(t, err, `"late"`, name)
			require.Equal(t, before, weights(t, p), name)
		}
		require.NoError(t, p.ZeroGrad())
		require.NoError(t, o.Close())
	}
}

func TestOptimizerSettings(t *testing.T) {
	nan := math.NaN()
	for field, c := range map[string]tensor.SGDConfig{
		"Momentum":    {Momentum: 1},
		"Dampening":   {Dampening: 1.5},
		"WeightDecay": {WeightDecay: -1},
		"Nesterov":    {Nesterov: true},
	} {
		_, err := tensor.NewSGD(c, tensor.CPU)
		require.ErrorContains(t, err, "SGDConfig."+field)
	}
	_, err := tensor.NewSGD(tensor.SGDConfig{Momentum: nan}, tensor.CPU)
	require.Error(t, err)
	for _, spoil := range []func(c *tensor.AdamWConfig){
		func(c *tensor.AdamWConfig) { c.Beta1 = 1 }, func(c *tensor.AdamWConfig) { c.Beta2 = -0.1 },
		func(c *tensor.AdamWConfig) { c.Epsilon = 0 }, func(c *tensor.AdamWConfig) { c.WeightDecay = math.Inf(1) },
		func(c *tensor.AdamWConfig) { c.Beta2 = nan },
	} {
		c := tensor.DefaultAdamW()
		require.NoError(t, c.Validate())
		spoil(&c)
		require.ErrorContains(t, c.Validate(), "AdamWConfig")
		_, err := tensor.NewAdamW(c, tensor.CPU)
		require.Error(t, err)
	}
}

// The gradients of both sets are one vector (3, 4, 12), of length 13.
func TestClipGrads(t *testing.T) {
	testutil.NoLeak(t)
	a := network(t, []string{"a"}, func(s *scope) []*ten { return []*ten{s.Zeros(2)} })
	b := network(t, []string{"b"}, func(s *scope) []*ten { return []*ten{s.Zeros(1)} })
	clip := func(limit float64, factor float32) (norm float64, grads []float32, err error) {
		run(t, tensor.Training, func(s *scope) error {
			g, h := s.FromFloats([]float32{3 * factor, 4}, 2), s.FromFloats([]float32{12}, 1)
			s.Backward(s.Add(s.Sum(s.Mul(a.Get("a"), g), false), s.Sum(s.Mul(b.Get("b"), h), false)))
			norm, err = tensor.ClipGrads(s, limit, a, b)
			grads = append(floats(t, s, s.Grad(a.Get("a"))), floats(t, s, s.Grad(b.Get("b")))...)
			require.NoError(t, a.ZeroGrad())
			return b.ZeroGrad()
		})
		return norm, grads, err
	}
	for limit, want := range map[float64][]float32{0: {3, 4, 12}, 13.5: {3, 4, 12}, 6.5: {1.5, 2, 6}} {
		norm, grads, err := clip(limit, 1)
		require.NoError(t, err)
		require.InDelta(t, 13, norm, 1e-5)
		require.InDeltaSlice(t, want, grads, 1e-5, "limit %g", limit)
	}
	_, grads, err := clip(6.5, float32(math.Inf(1)))
	require.ErrorIs(t, err, tensor.ErrNotFinite)
	require.InDelta(t, 12, grads[2], 0, "nothing is scaled")
}

// Each thread moves a share of a large weight; where the shares end makes no difference.
func TestOptimizersDoNotDependOnThreads(t *testing.T) {
	testutil.NoLeak(t)
	old := tensor.GetThreads()
	t.Cleanup(func() { require.NoError(t, tensor.SetThreads(old)) })
	const n = 3<<16 + 5
	for name, make := range optimizers(t) {
		var want []tensor.Array
		for _, threads := range []int{1, 2, 3} {
			require.NoError(t, tensor.SetThreads(tensor.Threads{Cores: threads, PerRun: threads, Fixed: true}))
			p, o := network(t, []string{"w"}, func(s *scope) []*ten { return []*ten{x(s, 5, n)} }), make()
			for step := range 2 {
				update(t, p, o, step)
			}
			got := weights(t, p)
			if want == nil {
				want = got
			}
			require.True(t, bytes.Equal(want[0].Data, got[0].Data), "%s, %d threads", name, threads)
			require.NoError(t, errors.Join(o.Close(), p.Close()))
		}
	}
}

// BenchmarkOptimizers moves the weights of a ResNet-18.
func BenchmarkOptimizers(b *testing.B) {
	for _, c := range []struct {
		name string
		make func() (tensor.Optimizer, error)
	}{
		{"adamw", func() (tensor.Optimizer, error) { return tensor.NewAdamW(tensor.DefaultAdamW(), tensor.CPU) }},
		{"momentum", func() (tensor.Optimizer, error) { return tensor.NewSGD(tensor.DefaultSGD(), tensor.CPU) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			o, err := c.make()
			require.NoError(b, err)
			defer o.Close()
			p := tensor.NewParams(tensor.CPU)
			defer p.Close()
			const parts, size = 5, 2 << 20
			require.NoError(b, tensor.Run(b.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
				for i := range parts {
					if err := p.Put(s, string(rune('a'+i)), s.Zeros(size)); err != nil {
						return err
					}
				}
				return nil
			}))
			require.NoError(b, tensor.Run(b.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
				loss := s.Sum(p.Get("a"), false)
				for _, n := range p.Names()[1:] {
					loss = s.Add(loss, s.Sum(p.Get(n), false))
				}
				s.Backward(loss)
				cpu := testutil.CPUSeconds()
				for b.Loop() {
					if err := o.Step(s, p, func(string) float64 { return 1e-3 }); err != nil {
						return err
					}
				}
				b.ReportMetric(1e3*(testutil.CPUSeconds()-cpu)/float64(b.N), "cpu-ms/op")
				return s.Err()
			}))
		})
	}
}

// A weight that moves after a loss was computed with it is one that Backward cannot go through any more: it must say so and not
// take the new values for the old ones.
func TestBackwardRefusesWeightsThatMoved(t *testing.T) {
	testutil.NoLeak(t)
	for name, make := range optimizers(t) {
		p, o := network(t, []string{"w"}, func(s *scope) []*ten { return []*ten{x(s, 3, 40)} }), make()
		require.ErrorContains(t, failure(t, tensor.Training, func(s *scope) {
			loss := func() *ten { return s.Sum(s.Square(p.Get("w")), false) }
			s.Backward(loss())
			before := loss()
			require.NoError(t, o.Step(s, p, func(string) float64 { return 0.1 }))
			s.Backward(loss()) // that of the weight as it is
			require.NoError(t, s.Err())
			s.Backward(before)
		}), "modified by an inplace operation", name)
		require.NoError(t, o.Close())
	}
}
