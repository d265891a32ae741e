package tensor_test

import (
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// normNet is a convolution with batch norm, and a second batch norm of what is left of an image.
func normNet(t *testing.T) pupils {
	t.Helper()
	w := pupils{a: convNet(t)}
	w.b = network(t, []string{"gamma", "beta"}, func(s *scope) []*ten { return []*ten{pos(s, 31, 4), x(s, 32, 4)} })
	run(t, tensor.Training, func(s *scope) error {
		return errors.Join(w.b.PutBuffer(s, "mean", x(s, 33, 4)), w.b.PutBuffer(s, "variance", pos(s, 34, 4)))
	})
	var err error
	for _, o := range []*tensor.Optimizer{&w.oa, &w.ob} {
		*o, err = tensor.NewSGD(tensor.DefaultSGD(), tensor.CPU)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, (*o).Close()) })
	}
	return w
}

// normLoss is the loss of the images from to to-1 of six. Those of the second half alone have a term of the second batch norm.
func (w pupils) normLoss(s *scope, from, to int64, prepare func(s *scope, y *ten) *ten) *ten {
	part := func(t *ten) *ten { return s.Narrow(t, 0, from, to-from) }
	y := s.Conv2d(s.ChannelsLast(part(s.AddScalar(x(s, 45, 6, 3, 8, 8), 2))), w.a.Get("conv"), nil, tensor.Conv{Stride: 2, Padding: 1})
	get := w.a.Get
	y = s.BatchNorm(prepare(s, y), get("bn.weight"), get("bn.bias"), get("mean"), get("variance"), true, 0.1, 1e-5)
	y = s.Cast(y, tensor.Float32)
	loss := s.MulScalar(s.Sum(s.Square(s.Mul(y, part(x(s, 90, 6, 4, 4, 4)))), false), 1/float64(to-from))
	get = w.b.Get
	z := s.BatchNorm(s.GlobalAvgPool(s.ReLU(y)), get("gamma"), get("beta"), get("mean"), get("variance"), true, 0.1, 1e-5)
	if to == 6 {
		z = s.Mul(s.Narrow(z, 0, 3-from, 3), s.Narrow(x(s, 91, 6, 4), 0, 3, 3))
		loss = s.Add(loss, s.MulScalar(s.Sum(s.Square(z), false), 1/float64(to-from)))
	}
	return loss
}

func (w pupils) normStep(t *testing.T, from, to int64, ex tensor.Exchange, prepare func(s *scope, y *ten) *ten) error {
	rate := func(string) float64 { return 0.01 }
	return tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
		_, err := tensor.DescendTogether(s, 0, []tensor.Learner{{w.a, w.oa, rate}, {w.b, w.ob, rate}}, func(s *scope) (*ten, error) {
			return w.normLoss(s, from, to, prepare), s.Err()
		}, ex)
		return err
	})
}

// Two ranks with half of the images each take the steps of one that has all of them: weights and running
// statistics, whatever the layout, also where one rank's loss does not depend on a layer.
func TestBatchNormOfTwo(t *testing.T) {
	testutil.NoLeak(t)
	for name, c := range map[string]struct {
		prepare func(s *scope, y *ten) *ten
		tol     float64
	}{
		"channels last": {func(s *scope, y *ten) *ten { return s.ChannelsLast(y) }, 1e-5},
		"contiguous":    {func(s *scope, y *ten) *ten { return s.Contiguous(y) }, 1e-5},
		"bfloat16":      {func(s *scope, y *ten) *ten { return s.Cast(y, tensor.BFloat16) }, 2e-2},
	} {
		alone, apart := normNet(t), [2]pupils{normNet(t), normNet(t)}
		ws := [2]pupils{normNet(t), normNet(t)}
		for range 3 {
			require.NoError(t, alone.normStep(t, 0, 6, tensor.Exchange{}, c.prepare))
		}
		steps := func(ws [2]pupils, together bool) {
			errs, _ := inPair(t, func(rank int, m *meeting) error {
				ex := m.exchange(t, false, 30)
				layers := 0
				if together {
					ex.Statistics = func(layer int, backward bool, own []float64) ([]float64, error) {
						if backward != (layer <= layers && layers == 2) {
							t.Errorf("layer %d of %d, backward %v", layer, layers, backward)
						}
						if layers = max(layers, layer); backward && layer == 1 {
							layers = 0
						}
						return m.sums(t, own)
					}
				}
				from := int64(3 * rank)
				for range 3 {
					if err := ws[rank].normStep(t, from, from+3, ex, c.prepare); err != nil {
						return err
					}
				}
				return nil
			})
			require.NoError(t, errors.Join(errs[:]...), name)
		}
		steps(ws, true)
		require.Equal(t, ws[0].all(t).a, ws[1].all(t).a, name)
		require.Equal(t, ws[0].all(t).b, ws[1].all(t).b, name)
		require.Less(t, alone.off(t, ws[0]), c.tol, name)
		steps(apart, false)
		require.Greater(t, alone.off(t, apart[0]), 3*c.tol, "%s: it makes a difference", name)
	}
}

// off is the largest difference of two sets of weights and statistics.
func (w pupils) off(t *testing.T, o pupils) (worst float64) {
	a, b := append(weights(t, w.a), weights(t, w.b)...), append(weights(t, o.a), weights(t, o.b)...)
	for i := range a {
		x, err := a[i].Floats()
		require.NoError(t, err)
		y, err := b[i].Floats()
		require.NoError(t, err)
		for k := range x {
			worst = math.Max(worst, math.Abs(float64(x[k])-float64(y[k]))/math.Max(1, math.Abs(float64(x[k]))))
		}
	}
	return worst
}

// sums adds numbers up over both ranks.
func (m *meeting) sums(t *testing.T, own []float64) ([]float64, error) {
	all, err := m.say(t, doublesAsBytes(own), nil)
	if err != nil {
		return nil, err
	}
	out := make([]float64, len(own))
	for _, b := range all {
		for i := range out {
			out[i] += bytesAsDouble(b[8*i:])
		}
	}
	return out, nil
}

// An exchange that fails in the backward pass of a layer ends the step with its own error, and
// one that gives another number of sums is refused.
func TestBatchNormOfTwoFails(t *testing.T) {
	testutil.NoLeak(t)
	boom := errors.New("boom")
	for name, statistics := range map[string]func(layer int, backward bool, own []float64) ([]float64, error){
		"forward": func(layer int, backward bool, own []float64) ([]float64, error) {
			if layer == 2 {
				return nil, boom
			}
			return own, nil
		},
		"backward": func(layer int, backward bool, own []float64) ([]float64, error) {
			if layer == 1 && backward {
				return nil, boom
			}
			return own, nil
		},
		"panic": func(layer int, backward bool, own []float64) ([]float64, error) {
			if backward {
				panic("boom")
			}
			return own, nil
		},
		"returns 1 sums": func(layer int, backward bool, own []float64) ([]float64, error) { return own[:1], nil },
	} {
		w := normNet(t)
		before := w.all(t)
		ex := tensor.Exchange{Values: 10, Statistics: statistics,
			Begin: func(_ *scope, _ *tensor.Update, has []bool, failed error) ([]bool, error) { return has, failed },
			Sum:   func([]float32) error { return nil }, Agree: func(failed error) error { return failed }}
		err := w.normStep(t, 0, 6, ex, asGiven)
		switch name {
		case "forward", "backward":
			require.ErrorIs(t, err, boom, name)
		case "panic":
			require.ErrorContains(t, err, "boom")
		default:
			require.ErrorContains(t, err, name)
		}
		require.Equal(t, before, w.all(t), name)
		// Without the others, and with them, it goes on.
		ex.Statistics = func(_ int, _ bool, own []float64) ([]float64, error) { return own, nil }
		require.NoError(t, w.normStep(t, 0, 6, ex, asGiven))
		calm := normNet(t)
		require.NoError(t, calm.normStep(t, 0, 6, tensor.Exchange{}, asGiven))
		require.Less(t, calm.off(t, w), 1e-5)
	}
}

func asGiven(_ *scope, y *ten) *ten { return y }

func doublesAsBytes(v []float64) []byte {
	b := make([]byte, 0, 8*len(v))
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(x))
	}
	return b
}

func bytesAsDouble(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) }
