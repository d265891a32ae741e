package tensor_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// No argument of anything else that this package exports, and no zero value of its
// types, makes it panic, hang or take memory without bound.
func TestHostileArguments(t *testing.T) {
	testutil.NoLeak(t)
	r := hostile.Registry{
		Funcs: []any{
			tensor.CUDA, tensor.CUDADevices, tensor.ClipGrads, tensor.Configure, tensor.DefaultAdam, tensor.DefaultAdamW, tensor.DefaultSGD,
			tensor.DefaultSettings, tensor.DefaultThreads, tensor.Descend, tensor.DescendTogether, tensor.FloatArray, tensor.GetSettings, tensor.GetThreads,
			tensor.HasBFloat16, tensor.HasOneDNN, tensor.IntArray, tensor.KaimingFanOut, tensor.LibtorchVersion, tensor.LinearBound, tensor.Live, tensor.LowerAt, tensor.LowerLen, tensor.NewAdam,
			tensor.NewAdamW, tensor.NewParams, tensor.NewRowSet, tensor.NewSGD, tensor.NewWeightFile, tensor.OpenWeightFile, tensor.OpenWeights,
			tensor.ParseDevice, tensor.PooledBytes, tensor.ReadTorchWeights, tensor.ReadWeightFile, tensor.ReadWeights, tensor.ReleasePool, tensor.Run,
			tensor.WithThreads, tensor.WriteWeights,
		},
		Types: []any{
			new(tensor.AdamConfig), new(tensor.AdamWConfig), new(tensor.Array), new(tensor.Conv), new(tensor.DType), new(tensor.Device), new(tensor.Exchange),
			new(tensor.Learner), new(tensor.Mode), new(tensor.OpError), new(tensor.Panic), new(tensor.Params), new(tensor.RowSet), new(tensor.SGDConfig),
			new(tensor.Settings), new(tensor.Tensor), new(tensor.Threads), new(tensor.Update), new(tensor.WeightFile), new(tensor.WeightInfo),
			new(tensor.Weights),
		},
		Values: []any{tensor.DefaultAdam(), tensor.DefaultAdamW(), tensor.DefaultSGD(), tensor.DefaultSettings(), tensor.CPU, tensor.Evaluation, tensor.Training},
		Skip: map[string]string{
			"Normal":      "it takes what it is asked for, up to 16 GB; TestHostileDraws",
			"Uniform":     "as Normal",
			"SaveWeights": "it writes where the text says; WriteWeights is called",
			"Scope":       "TestHostileOperations calls its methods with that of a Run",
			"SetThreads":  "it would change the process for the tests beside; Threads.Validate is called",
			"UseThreads":  "it would change the process for the tests beside; TestUseThreads refuses numbers",
		},
	}
	missing, err := r.Missing(".")
	require.NoError(t, err)
	require.Empty(t, missing)
	r.Run(t, 200)
}

// A function that is not there, and a factor that would turn or spoil the gradients,
// are refused.
func TestNothingToCall(t *testing.T) {
	testutil.NoLeak(t)
	p := network(t, []string{"w"}, func(s *scope) []*ten { return []*ten{s.Zeros(2)} })
	require.ErrorContains(t, p.SetTrainable(nil), "want is nil")
	require.ErrorIs(t, p.Put(nil, "v", nil), tensor.ErrReleased)
	for name, err := range map[string]error{
		"Sub":    failure(t, tensor.Training, func(s *scope) { require.False(t, s.Sub(nil).Valid()) }),
		"SubN":   failure(t, tensor.Training, func(s *scope) { s.SubN(nil) }),
		"NoGrad": failure(t, tensor.Training, func(s *scope) { s.NoGrad(nil) }),
	} {
		require.EqualError(t, err, "tensor: "+name+": fn is nil")
	}
	run(t, tensor.Training, func(s *scope) error {
		for _, limit := range []float64{-1, math.NaN()} {
			_, err := tensor.ClipGrads(s, limit, p)
			require.ErrorContains(t, err, "limit is")
		}
		_, err := tensor.ClipGrads(s, 1, p, nil)
		require.ErrorContains(t, err, "set 1 is nil")
		require.ErrorIs(t, p.ScaleGrads(s, math.NaN()), tensor.ErrNotFinite)
		_, err = tensor.Descend(s, 0, nil, nil)
		require.ErrorContains(t, err, "loss is nil")
		return nil
	})
	require.ErrorContains(t, tensor.Run(t.Context(), tensor.CPU, 7, func(*scope) error { return nil }), "no mode 7")
	require.Contains(t, strings.ToLower((&tensor.OpError{Op: "Add"}).Error()), "nil")
}
