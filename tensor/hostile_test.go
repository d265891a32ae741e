package tensor_test

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// What a function says about its failure, a file or a layer, stays in Run's
// error, whether or not it wraps what the scope remembers.
func TestRunKeepsWhatTheFunctionSays(t *testing.T) {
	testutil.NoLeak(t)
	image := errors.New("image 17.png")
	for name, c := range map[string]struct {
		fn   func(s *scope) error
		text string
	}{
		"wrapped": {func(s *scope) error {
			s.Add(s.Zeros(2), s.Zeros(3))
			return fmt.Errorf("layer2: %w: %w", image, s.Err())
		}, "layer2: image 17.png: tensor: Add of [2] and [3]: shapes do not fit"},
		"of its own": {func(s *scope) error {
			s.Add(s.Zeros(2), s.Zeros(3))
			return fmt.Errorf("layer2: %w", image)
		}, "layer2: image 17.png: tensor: Add of [2] and [3]: shapes do not fit"},
	} {
		err := tensor.Run(t.Context(), tensor.CPU, tensor.Evaluation, c.fn)
		require.ErrorIs(t, err, tensor.ErrShape, name)
		require.ErrorIs(t, err, image, name)
		require.EqualError(t, err, c.text, name)
		var op *tensor.OpError
		require.ErrorAs(t, err, &op, name)
	}
	err := failure(t, tensor.Evaluation, func(s *scope) { s.Add(s.Zeros(2), s.Zeros(3)) })
	require.EqualError(t, err, "tensor: Add of [2] and [3]: shapes do not fit", "a function that says nothing")
}

// A released tensor answers every question as one that holds nothing, also after
// the same question was answered while it lived.
func TestReleasedTensorKnowsNothing(t *testing.T) {
	testutil.NoLeak(t)
	var kept, packed *ten
	run(t, tensor.Evaluation, func(s *scope) error {
		kept = s.Full(1, tensor.Int64, 2, 3)
		require.Equal(t, []int64{2, 3}, kept.Shape())
		if tensor.HasOneDNN() {
			packed = s.PackConv(x(s, 1, 2, 3, 3, 3), tensor.Conv{}, [4]int64{1, 3, 5, 5})
			require.Equal(t, []int64{2, 3, 3, 3}, packed.Shape())
		}
		return s.Err()
	})
	for name, gone := range map[string]*ten{"released": kept, "packed": packed, "nil": nil, "never made": {}} {
		require.False(t, gone.Valid(), name)
		require.Nil(t, gone.Shape(), name)
		require.Zero(t, gone.Dim(), name)
		require.Zero(t, gone.Size(0), name)
		require.Zero(t, gone.Size(-1), name)
		require.Zero(t, gone.Len(), name)
		require.NotEqual(t, tensor.Float32, gone.DType(), name)
		require.Equal(t, tensor.CPU, gone.Device(), name)
		require.Equal(t, "tensor (released)", gone.String(), name)
	}
}

// exotic is libtorch's int32, which this package does not read or write.
const exotic = tensor.DType(3)

// An element type of unknown size is refused before a byte of it is touched.
func TestUnknownElementTypes(t *testing.T) {
	testutil.NoLeak(t)
	for code := range 64 {
		dt := tensor.DType(code - 8)
		known := false
		for _, k := range []tensor.DType{tensor.Uint8, tensor.Int64, tensor.Float16, tensor.Float32, tensor.Float64, tensor.Bool, tensor.BFloat16} {
			known = known || k == dt
		}
		if known {
			continue
		}
		for name, f := range map[string]func(s *scope){
			"Full": func(s *scope) { s.Full(1, dt, 2) },
			"Cast": func(s *scope) { s.Cast(s.Zeros(2), dt) },
			"FromArray": func(s *scope) {
				s.FromArray(tensor.Array{Name: "a", DType: dt, Shape: []int64{2}, Data: make([]byte, 16)})
			},
			"FromArray of nothing": func(s *scope) { s.FromArray(tensor.Array{Name: "a", DType: dt, Shape: []int64{0}}) },
		} {
			require.Error(t, failure(t, tensor.Evaluation, f), "%s %s", name, dt)
		}
	}
	p := network(t, []string{"w"}, func(s *scope) []*ten { return []*ten{s.Zeros(1)} })
	for _, dt := range []tensor.DType{exotic, -1, 99} {
		err := p.SetArrays(t.Context(), []tensor.Array{{Name: "w", DType: dt, Shape: []int64{1}, Data: make([]byte, 8)}}, nil)
		require.ErrorIs(t, err, tensor.ErrWeights, "%s", dt)
	}
}

// Sizes are checked before they become a number of bytes.
func TestArraySizes(t *testing.T) {
	testutil.NoLeak(t)
	for _, c := range []struct {
		shape []int64
		bytes int
	}{
		{[]int64{-1}, 0}, {[]int64{-1, -1}, 4}, {[]int64{-2, -3}, 24}, {[]int64{-1, 0}, 0}, {[]int64{1 << 32, 1 << 32}, 0},
		{[]int64{1 << 62}, 0}, {[]int64{1 << 33, 1 << 31}, 0}, {[]int64{math.MaxInt64, 2}, 0}, {[]int64{math.MinInt64}, 0},
		{[]int64{1 << 62, 4, 1}, 0}, {[]int64{0, 1 << 40, 1 << 40}, 0}, {[]int64{3}, 8},
	} {
		a := tensor.Array{Name: "a", DType: tensor.Float32, Shape: c.shape, Data: make([]byte, c.bytes)}
		require.ErrorIs(t, failure(t, tensor.Evaluation, func(s *scope) { s.FromArray(a) }), tensor.ErrShape, "FromArray %v", c.shape)
		require.ErrorIs(t, failure(t, tensor.Evaluation, func(s *scope) { s.FromFloats(make([]float32, c.bytes/4), c.shape...) }),
			tensor.ErrShape, "FromFloats %v", c.shape)
		if c.bytes == 0 {
			require.Error(t, failure(t, tensor.Evaluation, func(s *scope) { s.Zeros(c.shape...) }), "Zeros %v", c.shape)
		}
	}
}

// A count or a deviation that is none is an error, not a panic.
func TestHostileDraws(t *testing.T) {
	for _, n := range []int64{-1, math.MinInt64, math.MaxInt64, 1 << 50} {
		_, err := tensor.Normal(generator(1), n, 1)
		require.Error(t, err, "Normal of %d", n)
		_, err = tensor.Uniform(generator(1), n, 1)
		require.Error(t, err, "Uniform of %d", n)
	}
	for _, v := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1)} {
		_, err := tensor.Normal(generator(1), 3, v)
		require.Error(t, err, "Normal with %g", v)
		_, err = tensor.Uniform(generator(1), 3, v)
		require.Error(t, err, "Uniform with %g", v)
	}
	for _, shape := range [][]int64{nil, {}, {3}, {3, 4}, {0, 3, 3, 3}, {-1, 3, 3, 3}, {2, 3, 0, 3}, {1 << 40, 1, 1 << 40, 3}, {-2, 3, -3, 3}, {2, 3, 3}} {
		_, err := tensor.Normal(generator(1), 3, tensor.KaimingFanOut(shape))
		require.Error(t, err, "%v", shape)
	}
	for _, in := range []int64{0, -1, math.MinInt64} {
		_, err := tensor.Uniform(generator(1), 3, tensor.LinearBound(in))
		require.Error(t, err, "%d", in)
	}
}
