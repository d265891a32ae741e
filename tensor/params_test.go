package tensor_test

import (
	"context"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

func TestPutRefuses(t *testing.T) {
	testutil.NoLeak(t)
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()) }()
	run(t, tensor.Training, func(s *scope) error {
		version := p.Version()
		w := s.Zeros(2)
		require.NoError(t, p.Put(s, "w", w))
		require.Greater(t, p.Version(), version)
		version = p.Version()
		require.ErrorIs(t, p.Put(s, "", s.Zeros(1)), tensor.ErrName)
		require.ErrorIs(t, p.Put(s, "w", s.Zeros(1)), tensor.ErrName)
		require.ErrorContains(t, p.PutBuffer(s, "w", s.Zeros(1)), `"w" is taken`)
		require.ErrorIs(t, p.Put(s, "x", nil), tensor.ErrReleased)
		require.ErrorContains(t, p.Put(s, "x", w), "does not own")
		require.ErrorContains(t, p.Put(s, "x", s.FromInts([]int64{1}, 1)), "floating point")
		s.Sub(func(c *scope) *ten {
			require.ErrorContains(t, p.PutBuffer(s, "x", c.Zeros(1)), "does not own")
			return nil
		})
		require.Equal(t, []string{"w"}, p.Names())
		require.Equal(t, version, p.Version())
		require.NoError(t, p.PutBuffer(s, "count", s.FromInts([]int64{1}, 1)))
		require.NoError(t, p.PutBuffer(s, "mean", s.Zeros(3)))
		return s.Err()
	})
	require.Equal(t, []string{"w", "count", "mean"}, p.Names())
	require.Equal(t, int64(6), p.Len())
	require.True(t, p.IsBuffer("mean"))
	require.False(t, p.IsBuffer("w"))
	require.False(t, p.IsBuffer("?"))
	require.True(t, p.IsTrainable("w"))
	require.False(t, p.IsTrainable("?"))
	require.Nil(t, p.Get("?"))
	failed := fmt.Errorf("before")
	require.Equal(t, failed, failure(t, tensor.Evaluation, func(s *scope) {
		z := s.Zeros(1)
		s.Fail(failed)
		require.ErrorIs(t, p.Put(s, "z", z), failed)
	}))
}

func TestCloseIsFinalAndIdempotent(t *testing.T) {
	testutil.NoLeak(t)
	p := convNet(t)
	w := p.Get("conv")
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.False(t, w.Valid())
	require.NoError(t, (*tensor.Params)(nil).Close())
	_, err := p.Arrays(t.Context())
	require.ErrorIs(t, err, tensor.ErrReleased)
	require.ErrorIs(t, p.SetArrays(t.Context(), nil, nil), tensor.ErrReleased)
	require.ErrorIs(t, p.SetTrainable(func(string) bool { return false }), tensor.ErrReleased)
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *tensor.Scope) error {
		testutil.RequireClosed(t, p, tensor.ErrClosed, []any{s})
		return nil
	}))
	require.True(t, p.Closed())
	for _, f := range []func(s *scope){
		func(s *scope) { s.ReLU(w) },
		func(s *scope) { s.Fail(p.Put(s, "x", s.Zeros(1))) },
		func(s *scope) { _, err := p.GradNorm(s); s.Fail(err) },
		func(s *scope) { s.Fail(p.ScaleGrads(s, 2)) },
	} {
		require.ErrorIs(t, failure(t, tensor.Training, f), tensor.ErrReleased)
	}
}

func TestSetArraysReportsEverythingAndChangesNothing(t *testing.T) {
	testutil.NoLeak(t)
	p := convNet(t)
	before, version := weights(t, p), p.Version()
	require.Len(t, before, 7)
	spoiled := func() []tensor.Array { // fits, with other values
		var out []tensor.Array
		for _, a := range before {
			v, err := a.Floats()
			require.NoError(t, err)
			for i := range v {
				v[i] += 1
			}
			out = append(out, tensor.FloatArray(a.Name, v, a.Shape...))
		}
		return out
	}
	bad := spoiled()
	bad[0].Shape = []int64{4, 27}                                        // conv
	bad[1].Data[3], bad[1].Data[2] = 0x7f, 0xc0                          // bn.weight: NaN
	bad[2].Name = "bn.biass"                                             // missing and unexpected
	bad[3].Data = bad[3].Data[:8]                                        // fc.weight
	bad[4] = tensor.FloatArray("mean", []float32{1, 2, 3, 4}, 4)         // fc.bias missing, mean twice
	bad[6] = tensor.FloatArray("variance", []float32{1, 2, 3, inf()}, 4) // infinite
	err := p.SetArrays(t.Context(), bad, nil)
	require.ErrorIs(t, err, tensor.ErrWeights)
	require.ErrorIs(t, err, tensor.ErrNotFinite)
	for _, want := range []string{
		"conv is [4 3 3 3], file has [4 27]", "bn.weight: value is not finite", "bn.biass [4] is not expected",
		"bn.bias [4] is missing", "fc.weight has 8 bytes", "mean comes twice", "fc.bias [5] is missing", "variance: value is not finite",
	} {
		require.ErrorContains(t, err, want)
	}
	require.Equal(t, before, weights(t, p))
	require.Equal(t, version, p.Version())

	require.ErrorContains(t, p.SetArrays(t.Context(), spoiled()[:6], nil), "variance [4] is missing")
	require.Equal(t, before, weights(t, p))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, p.SetArrays(ctx, spoiled(), nil), context.Canceled)
	require.Equal(t, before, weights(t, p))

	w := p.Get("conv")
	require.NoError(t, p.SetArrays(t.Context(), spoiled()[:6], func(name string) bool { return name == "variance" }))
	require.Greater(t, p.Version(), version)
	require.True(t, w == p.Get("conv"), "the same tensor with new values")
	after := weights(t, p)
	require.Equal(t, spoiled()[:6], after[:6])
	require.Equal(t, before[6], after[6])

	// Many faults: the first are spelled out, the rest counted.
	var many []tensor.Array
	for i := range 40 {
		many = append(many, tensor.FloatArray(fmt.Sprint("extra", i), []float32{1}, 1))
	}
	err = p.SetArrays(t.Context(), many, nil)
	require.ErrorContains(t, err, "and 35 more")
	require.NotContains(t, err.Error(), "extra20")
	// Another element type is converted.
	p64 := network(t, []string{"w"}, func(s *scope) []*ten { return []*ten{s.Full(0, tensor.Float64, 2)} })
	require.NoError(t, p64.SetArrays(t.Context(), []tensor.Array{tensor.FloatArray("w", []float32{1, 2}, 2)}, nil))
	run(t, tensor.Evaluation, func(s *scope) error {
		require.Equal(t, tensor.Float64, p64.Get("w").DType())
		require.Equal(t, []float32{1, 2}, floats(t, s, p64.Get("w")))
		return s.Err()
	})
}

func inf() float32 { return float32(math.Inf(1)) }

// normTolerance: each parameter's norm is taken in float32, which leaves some 1e-7.
const normTolerance = 1e-6

func TestGradNorm(t *testing.T) {
	testutil.NoLeak(t)
	p := tower(t)
	run(t, tensor.Training, func(s *scope) error {
		norm, err := p.GradNorm(s)
		require.NoError(t, err)
		require.Zero(t, norm, "no gradient yet")
		s.Backward(towerLoss(s, p))
		sum := 0.0
		for _, n := range p.Names() {
			g, err := s.Float64s(s.Grad(p.Get(n)))
			require.NoError(t, err)
			for _, v := range g {
				sum += v * v
			}
		}
		norm, err = p.GradNorm(s)
		require.NoError(t, err)
		require.InEpsilon(t, math.Sqrt(sum), norm, normTolerance)
		require.NoError(t, p.ScaleGrads(s, 0.25))
		quarter, err := p.GradNorm(s)
		require.NoError(t, err)
		require.InEpsilon(t, norm/4, quarter, normTolerance)

		s.AddInto(s.Grad(p.Get("up.bias")), s.Full(math.NaN(), tensor.Float32, 8), 1)
		s.AddInto(s.Grad(p.Get("head")), s.Full(math.Inf(1), tensor.Float32, 6, 4), 1)
		_, err = p.GradNorm(s)
		require.ErrorIs(t, err, tensor.ErrNotFinite)
		require.ErrorContains(t, err, `"up.bias"`)
		require.NoError(t, p.ZeroGrad())
		norm, err = p.GradNorm(s)
		require.NoError(t, err)
		require.Zero(t, norm)
		return s.Err()
	})
}

func TestZeroParams(t *testing.T) {
	testutil.NoLeak(t)
	var p tensor.Params // is an empty set on the CPU
	require.Empty(t, weights(t, &p))
	run(t, tensor.Training, func(s *scope) error { return p.Put(s, "w", s.Zeros(2)) })
	require.Equal(t, []string{"w"}, p.Names())
	require.NoError(t, p.Close())
}

func TestVersionGrows(t *testing.T) {
	testutil.NoLeak(t)
	p := convNet(t)
	v := p.Version()
	p.Touch()
	require.Greater(t, p.Version(), v)
	v = p.Version()
	require.NoError(t, p.SetArrays(t.Context(), weights(t, p), nil))
	require.Greater(t, p.Version(), v)
}

func TestDraws(t *testing.T) {
	_, err := tensor.Normal(nil, 3, 1)
	require.Error(t, err)
	_, err = tensor.Uniform(nil, 3, 1)
	require.Error(t, err)
	const n = 20000
	a, err := tensor.Normal(generator(1), n, 0.5)
	require.NoError(t, err)
	again, err := tensor.Normal(generator(1), n, 0.5)
	require.NoError(t, err)
	require.Equal(t, a, again)
	other, err := tensor.Normal(generator(2), n, 0.5)
	require.NoError(t, err)
	require.NotEqual(t, a, other)
	mean, deviation := moments(a)
	// Four standard errors of n draws: 4*0.5/sqrt(n) = 0.014 and 0.01.
	require.InDelta(t, 0, mean, 0.014)
	require.InDelta(t, 0.5, deviation, 0.01)
	u, err := tensor.Uniform(generator(1), n, 0.5)
	require.NoError(t, err)
	mean, deviation = moments(u)
	require.InDelta(t, 0, mean, 0.009)
	require.InDelta(t, 0.5/math.Sqrt(3), deviation, 0.005)
	for _, v := range u {
		require.LessOrEqual(t, math.Abs(float64(v)), 0.5)
	}
	require.InDelta(t, math.Sqrt(2.0/(64*49)), tensor.KaimingFanOut([]int64{64, 3, 7, 7}), 1e-12)
	require.InDelta(t, 0.1, tensor.LinearBound(100), 1e-12)
}
