package patchcore

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/gotab/gotab/tensor"
)

const (
	// leastPatches is from how many patches on a bound is worth its product: below, all are compared.
	leastPatches = 1024
	// leastValues and mostValues bound the values of a patch for which there is one.
	leastValues, mostValues = 96, 4096
	// perAxis is how many values of a patch there are for one of its shortened form. On patches of
	// boards 6 took a sixth longer, since seven times as many were left to be looked at; 3 take a third of the bank's memory more.
	perAxis = 3
	// turns is how often the axes are brought nearer to those of largest variance. They need not be these: any
	// axes give a bound.
	turns = 8
)

// Shortened returns how many axes a bank of count patches of c values has on a device, 0 where all
// patches are compared. Each is a value more of every patch, and one is the rest.
func Shortened(dev tensor.Device, count, c int) int {
	if dev.IsCUDA() || count < leastPatches || c < leastValues || c > mostValues {
		return 0
	}
	return c / perAxis
}

// shorten adds axes and short rows, of patches as NewBank has them.
func (g *Bank) shorten(ctx context.Context, params *tensor.Params, patches []float32, k int) error {
	c := int(g.Mean.Len())
	axes, err := leading(ctx, patches, c, k)
	if err != nil {
		return err
	}
	low := make([]float32, g.count*(k+1))
	err = tensor.Run(ctx, params.Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		a := s.FromFloats(axes, int64(c), int64(k))
		block := make([]float32, bankBlock*k)
		for lo := 0; lo < g.count; lo += bankBlock {
			rows := min(bankBlock, g.count-lo)
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				err = s.FloatsInto(block[:rows*k], s.MatMul(s.Narrow(g.Patches, 0, int64(lo), int64(rows)), a))
				return nil
			})
			if err != nil {
				return err
			}
			for i := range rows {
				short := low[(lo+i)*(k+1):][:k+1]
				rest := 0.0
				for _, v := range patches[(lo+i)*c:][:c] {
					rest += float64(v) * float64(v)
				}
				for j, v := range block[i*k:][:k] {
					short[j] = v
					rest -= float64(v) * float64(v)
				}
				short[k] = float32(math.Sqrt(max(rest, 0)))
			}
		}
		if err := params.PutBuffer(s, "axes", a); err != nil {
			return err
		}
		return params.PutBuffer(s, "low", s.FromFloats(low, int64(g.count), int64(k+1)))
	})
	g.axes, g.low = params.Get("axes"), params.Get("low")
	return err
}

// leading returns about those k axes, as columns [c, k], along which rows of c values with mean 0 vary most: the
// power method on a block of vectors, over rows evenly spread.
func leading(ctx context.Context, x []float32, c, k int) ([]float32, error) {
	n := len(x) / c
	m := min(n, axesRows)
	some := make([]float32, m*c)
	for i := range m {
		copy(some[i*c:], x[n*i/m*c:][:c])
	}
	rng := rand.New(rand.NewPCG(1, uint64(c)))
	axes := make([]float32, c*k)
	for i := range axes {
		axes[i] = float32(rng.NormFloat64())
	}
	upright(axes, c, k)
	err := tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		rows := s.FromFloats(some, int64(m), int64(c))
		covariance := s.MatMul(s.Transpose(rows, 0, 1), rows)
		for range turns {
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				err = s.FloatsInto(axes, s.MatMul(covariance, s.FromFloats(axes, int64(c), int64(k))))
				return nil
			})
			if err != nil {
				return err
			}
			upright(axes, c, k)
		}
		return s.Err()
	})
	return axes, err
}

// upright makes the columns of x [c, k], k of at most c, unit vectors at right angles to each other (Gram and Schmidt, twice,
// since once leaves rounding). A column that lies among those before it becomes another.
func upright(x []float32, c, k int) {
	columns := make([][]float64, k)
	for j := range columns {
		v := make([]float64, c)
		for i := range v {
			v[i] = float64(x[i*k+j])
		}
		for unit := 0; ; unit++ {
			before := length(v)
			for range 2 {
				for _, u := range columns[:j] {
					p := 0.0
					for i, w := range u {
						p += w * v[i]
					}
					for i, w := range u {
						v[i] -= p * w
					}
				}
			}
			if after := length(v); after > 1e-6*before && after > 0 {
				for i := range v {
					v[i] /= after
				}
				break
			}
			clear(v)
			v[unit%c] = 1
		}
		columns[j] = v
	}
	for j, v := range columns {
		for i, w := range v {
			x[i*k+j] = float32(w)
		}
	}
}

func length(v []float64) float64 {
	sum := 0.0
	for _, w := range v {
		sum += w * w
	}
	return math.Sqrt(sum)
}
