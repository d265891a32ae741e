package tab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// bucketFloats is how many values are summed at a time, 25 MB of them as in PyTorch's
// DistributedDataParallel: large enough that the wait for an answer is small beside
// the transfer.
const bucketFloats = 25 << 20 / 4

// said is what a rank tells of its share of a step.
type said struct {
	Loss       float64   `json:"loss"`
	Accuracy   float64   `json:"accuracy"`
	Redrawn    int       `json:"redrawn"`
	Pairs      int       `json:"pairs"`
	Indicators []Measure `json:"indicators,omitempty"`
	Has        []byte    `json:"has"` // for each weight that learns whether there is a gradient
}

// together is what the ranks do in a step; without a group, nothing.
func (p *Pretrainer) together(ctx context.Context, sets []*tensor.Params, pairs int, st *Step) tensor.Exchange {
	if !p.ranks.many() {
		return tensor.Exchange{}
	}
	return tensor.Exchange{
		Reduce: func(s *tensor.Scope, u *tensor.Update, failed error) error {
			if failed != nil {
				return p.ranks.end(ctx, "step", diverged(failed))
			}
			return p.reduce(ctx, s, sets, pairs, st, u)
		},
		Agree: func(failed error) error {
			_, err := p.ranks.exchange(ctx, "update", nil, diverged(failed))
			return err
		},
	}
}

// diverged makes a loss or gradient that is not finite ErrDiverged, for the others too.
func diverged(err error) error {
	if errors.Is(err, tensor.ErrNotFinite) && !errors.Is(err, ErrDiverged) {
		return fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	return err
}

// reduce brings loss, gradients and statistics of all ranks together.
func (p *Pretrainer) reduce(ctx context.Context, s *tensor.Scope, sets []*tensor.Params, pairs int, st *Step, u *tensor.Update) error {
	weights, err := learning(s, sets)
	own := said{Loss: u.Loss, Accuracy: st.Accuracy, Redrawn: st.Redrawn, Pairs: pairs, Indicators: st.Indicators, Has: make([]byte, len(weights))}
	for i, w := range weights {
		if w.has {
			own.Has[i] = 1
		}
	}
	b, jsonErr := json.Marshal(own)
	all, err := p.ranks.exchange(ctx, "step", b, errors.Join(err, jsonErr))
	if err != nil {
		return err
	}
	if err := p.hear(all, pairs, st, u, weights); err != nil {
		return err
	}
	if err := p.sumGradients(ctx, s, weights); err != nil {
		return err
	}
	return p.commonStatistics(ctx, s)
}

// weight is one that learns; has says whether a backward pass has left it a gradient,
// any whether it has on some rank.
type weight struct {
	t        *tensor.Tensor
	has, any bool
}

// learning lists the weights that learn, in the order that all ranks have.
func learning(s *tensor.Scope, sets []*tensor.Params) ([]weight, error) {
	var out []weight
	for _, p := range sets {
		for _, n := range p.Names() {
			if !p.IsTrainable(n) {
				continue
			}
			w := weight{t: p.Get(n)}
			if g := s.Grad(w.t); g != nil {
				w.has = true
				s.Free(g)
			}
			out = append(out, w)
		}
	}
	return out, s.Err()
}

// hear makes the step's figures those of the whole batch.
func (p *Pretrainer) hear(all [][]byte, pairs int, st *Step, u *tensor.Update, weights []weight) error {
	n := float64(len(all))
	u.Loss, st.Accuracy, st.Redrawn = 0, 0, 0
	unequal, counts := false, make([]int, len(all))
	for r, m := range all {
		var x said
		if err := json.Unmarshal(m, &x); err != nil || len(x.Has) != len(weights) || len(x.Indicators) != len(st.Indicators) {
			p.ranks.broken = fmt.Errorf("%w: rank %d tells of %d weights and %d indicators, here are %d and %d",
				ErrPeer, r, len(x.Has), len(x.Indicators), len(weights), len(st.Indicators))
			return p.ranks.broken
		}
		counts[r] = x.Pairs
		unequal = unequal || x.Pairs != pairs // on every rank some rank differs, so that all return
		u.Loss += x.Loss / n
		st.Accuracy += x.Accuracy / n
		st.Redrawn += x.Redrawn
		for i, v := range x.Indicators {
			if r == 0 {
				st.Indicators[i].Value = 0
			}
			st.Indicators[i].Value += v.Value / n
		}
		for i := range weights {
			weights[i].any = weights[i].any || x.Has[i] == 1
		}
	}
	if unequal {
		return fmt.Errorf("tab: step: %w: the ranks have batches of %v pairs, want equally many", ErrConfig, counts)
	}
	return nil
}

// sumGradients replaces gradients by the mean over the ranks, a bucket at a time.
func (p *Pretrainer) sumGradients(ctx context.Context, s *tensor.Scope, weights []weight) error {
	var in []weight
	size := 0
	for i, w := range weights {
		if w.any {
			in, size = append(in, w), size+int(w.t.Len())
		}
		if len(in) == 0 || i+1 < len(weights) && size < bucketFloats {
			continue
		}
		if err := p.sumBucket(ctx, s, in, size); err != nil {
			return err
		}
		in, size = nil, 0
	}
	return nil
}

// values returns a buffer for a bucket.
func (r *ranks) values(n int) []float32 {
	if cap(r.bucket) < n {
		r.bucket = make([]float32, n)
	}
	return r.bucket[:n]
}

// sumBucket sums the gradients of some weights. A failure of this rank is the scope's and
// is told of when all agree on the step; until then it goes on with zeros, so that the
// others do not wait.
func (p *Pretrainer) sumBucket(ctx context.Context, s *tensor.Scope, in []weight, size int) error {
	values := p.ranks.values(size)
	at := 0
	for _, w := range in {
		n := int(w.t.Len())
		if !w.has {
			// The objective did not see this weight here, and did on another rank.
			s.Backward(s.MulScalar(s.Sum(w.t, false), 0))
		}
		take(s, values[at:at+n], s.Grad(w.t))
		at += n
	}
	if err := p.sumOver(ctx, "gradients", values, 1/float32(p.ranks.size())); err != nil {
		return err
	}
	at = 0
	for _, w := range in {
		n := int(w.t.Len())
		g := s.Grad(w.t)
		put(s, g, w.t.Shape(), values[at:at+n])
		s.Free(g)
		at += n
	}
	return nil
}

// take copies t to dst, and zeros where that fails.
func take(s *tensor.Scope, dst []float32, t *tensor.Tensor) {
	if err := s.FloatsInto(dst, t); err != nil {
		clear(dst)
	}
}

// put overwrites t with values.
func put(s *tensor.Scope, t *tensor.Tensor, shape []int64, v []float32) {
	x := s.FromFloats(v, shape...)
	s.CopyInto(t, x)
	s.Free(x)
}

// sumOver replaces v by f times the sum over all ranks.
func (p *Pretrainer) sumOver(ctx context.Context, doing string, v []float32, f float32) error {
	ctx, stop := linger(ctx)
	defer stop()
	if err := p.ranks.group.Sum(ctx, v); err != nil {
		p.ranks.broken = fmt.Errorf("sum of %s: %w", doing, err)
		return p.ranks.broken
	}
	if f != 1 {
		for i := range v {
			v[i] *= f
		}
	}
	return nil
}

// commonStatistics makes the batch norm statistics that this step has moved the same
// on all ranks. Those that are frozen, or of layers that were not computed, are.
func (p *Pretrainer) commonStatistics(ctx context.Context, s *tensor.Scope) error {
	deepest := backbone.Layer4
	if p.needs.NoPooled {
		deepest = backbone.Stem
		for _, l := range p.needs.Stages {
			deepest = max(deepest, l)
		}
	}
	visual := p.parts.Visual.Params()
	var moved []*tensor.Tensor
	size := 0
	for _, n := range visual.Names() {
		l, known := stageNamed(n) // of an encoder with other names any layer may have been computed
		if t := visual.Get(n); visual.IsBuffer(n) && t.DType() == tensor.Float32 && (l <= deepest || !known) && !p.cfg.frozenStatistics(l, p.epoch) {
			moved, size = append(moved, t), size+int(t.Len())
		}
	}
	if len(moved) == 0 {
		return nil
	}
	v := p.ranks.values(size)
	at := 0
	for _, t := range moved {
		n := int(t.Len())
		take(s, v[at:at+n], t)
		at += n
	}
	f := 1 / float32(p.ranks.size())
	if p.ranks.statistics == StatisticsFirst {
		f = 1
		if !p.ranks.first() {
			clear(v)
		}
	}
	if err := p.sumOver(ctx, "statistics", v, f); err != nil {
		return err
	}
	at = 0
	for _, t := range moved {
		n := int(t.Len())
		put(s, t, t.Shape(), v[at:at+n])
		at += n
	}
	return nil
}
