package tensor

import (
	"fmt"
	"math"

	"github.com/gotab/gotab/tensor/internal/native"
)

// synchronised is what the batch norms of a step have in common whose statistics are
// those of all processes.
type synchronised struct {
	sum    func(layer int, backward bool, own []float64) ([]float64, error)
	handle native.SumsHandle
	layers int       // so far
	tokens []*Tensor // of the layers, see native.SyncNorm
	failed error     // the first error of an exchange within Backward
}

// synchronise makes the batch norms of the Run go over all processes until end is called.
func (s *Scope) synchronise(sum func(layer int, backward bool, own []float64) ([]float64, error)) (end func()) {
	if sum == nil {
		return func() {}
	}
	y := &synchronised{sum: sum}
	y.handle = native.NewSums(func(layer int, v []float64) error {
		all, err := y.over(layer, true, v)
		if err != nil {
			if y.failed == nil {
				y.failed = err
			}
			return err
		}
		copy(v, all)
		return nil
	})
	before := s.st.sync
	s.st.sync = y
	return func() {
		s.st.sync = before
		for _, t := range y.tokens {
			t.free()
		}
		y.handle.Delete()
	}
}

// over returns the sums over all processes.
func (y *synchronised) over(layer int, backward bool, own []float64) ([]float64, error) {
	all, err := y.sum(layer, backward, own)
	if err == nil && len(all) != len(own) {
		err = fmt.Errorf("Exchange.Statistics returns %d sums of %d", len(all), len(own))
	}
	return all, err
}

// connect adds the tokens of all layers to a loss.
func (y *synchronised) connect(s *Scope, loss *Tensor) *Tensor {
	for _, t := range y.tokens {
		loss = s.Add(loss, t)
	}
	return loss
}

// syncBatchNorm is BatchNorm with the statistics of the shares of all processes; its
// operands have been checked.
func (s *Scope) syncBatchNorm(x, weight, bias, mean, variance *Tensor, momentum, eps float64) *Tensor {
	const op = "BatchNorm"
	in := []*Tensor{x, weight, bias, mean, variance}
	none := &Tensor{dev: s.st.dev}
	if !s.ready(op, in) {
		return none
	}
	y, c := s.st.sync, int(x.Size(1))
	if c == 0 {
		s.fail(op, in, fmt.Errorf("%w: there are no channels", ErrShape))
		return none
	}
	for _, t := range in[1:] {
		if t.Len() != int64(c) {
			s.fail(op, in, fmt.Errorf("%w: %d channels and a weight or statistic of %d", ErrShape, c, t.Len()))
			return none
		}
	}
	y.layers++
	layer := y.layers
	all, err := native.BatchSums(x.h, int64(c))
	if err == nil {
		all, err = y.over(layer, false, all)
	}
	if err == nil && !(all[0] >= 2) {
		err = fmt.Errorf("%w: a channel has %g values on all processes, want 2 or more", ErrShape, all[0])
	}
	if err != nil {
		s.fail(op, in, err)
		return none
	}
	m, v := make([]float64, c), make([]float64, c)
	for i := range m {
		m[i] = all[1+i] / all[0]
		v[i] = math.Max(0, all[1+c+i]/all[0]-m[i]*m[i])
	}
	out, token, err := native.SyncNorm(x.h, weight.h, bias.h, mean.h, variance.h, m, v, all[0], momentum, eps, y.handle, layer)
	if err != nil {
		s.fail(op, in, err)
		return none
	}
	y.tokens = append(y.tokens, adopt(token, x.dev))
	return s.keep(out, x.dev)
}
