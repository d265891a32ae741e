package backbone_test

import (
	"fmt"
	"math"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/hostile"
	"github.com/gotab/gotab/tensor"
)

// hostileInputs are pictures that nobody should pass; the first is right.
func hostileInputs(s *tensor.Scope) []*tensor.Tensor {
	gone := s.Zeros(2, 3, 32, 32)
	s.Free(gone)
	shape := func(n ...int64) *tensor.Tensor { return s.Zeros(n...) }
	of := func(dt tensor.DType) *tensor.Tensor { return s.Full(1, dt, 2, 3, 32, 32) }
	return []*tensor.Tensor{
		shape(2, 3, 32, 32), nil, {}, gone, shape(), shape(0), shape(3), shape(0, 3, 32, 32), shape(2, 0, 32, 32), shape(2, 3, 0, 32), shape(2, 3, 31, 32),
		shape(2, 4, 32, 32), shape(2, 3, 32), shape(2, 3, 32, 32, 1), of(tensor.Int64), of(tensor.Bool), of(tensor.Float64), of(tensor.Float16), of(tensor.BFloat16),
		s.Full(math.NaN(), tensor.Float32, 2, 3, 32, 32), s.Full(math.Inf(1), tensor.Float32, 2, 3, 32, 32),
		s.Expand(shape(1, 3, 1, 1), 1, 3, 1<<20, 1<<20), s.Expand(shape(1, 3, 32, 32), 1<<40, 3, 32, 32), s.Expand(shape(2, 3, 1, 32), 2, 3, 40, 32),
		s.Transpose(shape(2, 3, 32, 40), 2, 3),
	}
}

// No input and no layer, in either mode, ends the process or panics, and what is
// refused is refused with an error that says what was done.
func TestHostileInputs(t *testing.T) {
	layers := []backbone.Layer{backbone.Stem, backbone.Layer1, backbone.Layer4, backbone.Pooled, -1, backbone.Pooled + 1, 99, math.MaxInt, math.MinInt}
	hostile.InChild(t, func(step func(string) bool) {
		const most = 12 << 30 // of addresses, so that an allocation fails that a machine could grant and not fill
		require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: most, Max: most}))
		m, err := backbone.NewResNet18(tensor.CPU, newRand())
		require.NoError(t, err)
		defer func() { require.NoError(t, m.Close()) }()
		for _, mode := range []tensor.Mode{tensor.Evaluation, tensor.Training} {
			for _, l := range layers {
				for _, stage := range []bool{false, true} {
					for i, more := 0, true; more; i++ {
						text := fmt.Sprintf("input %d, %s, %s, stage %t", i, l, mode, stage)
						err := tensor.Run(t.Context(), tensor.CPU, mode, func(s *tensor.Scope) error {
							inputs := hostileInputs(s)
							if more = i+1 < len(inputs); s.Err() != nil || !step(text) {
								return s.Err()
							}
							var y *tensor.Tensor
							if stage {
								y = m.Stage(s, inputs[i], l)
							} else {
								y = m.Forward(s, inputs[i], l)[0]
							}
							_, err := s.Floats(y)
							return err
						})
						right := i == 0 && l >= backbone.Stem && l <= backbone.Pooled && (!stage || l == backbone.Stem)
						if right {
							require.NoError(t, err, text)
						} else if err != nil {
							require.Regexp(t, "backbone: (forward|stage)|tensor: ", err.Error(), text)
						}
					}
				}
			}
		}
	})
}
