package tab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// bucketFloats is how many values are summed at a time: enough that the wait for an
// answer is small beside the transfer, and few enough that the first of several buckets
// is under way while the backward pass goes on. 4 MB are that for a few ranks. What a bucket waits
// grows with them, so they get larger ones, up to the 25 MB of PyTorch's DistributedDataParallel.
func bucketFloats(ranks int) int { return min(25<<20, max(4<<20, ranks<<19)) / 4 }

// said is what a rank tells of its share of a step.
type said struct {
	Loss       float64   `json:"loss"`
	Accuracy   float64   `json:"accuracy"`
	Redrawn    int       `json:"redrawn"`
	Pairs      int       `json:"pairs"`
	Indicators []Measure `json:"indicators,omitempty"`
	Has        []byte    `json:"has"` // for each weight that learns whether there is, or will be, a gradient
}

// together is what the ranks do in a step; without a group, nothing.
func (p *Pretrainer) together(ctx context.Context, pairs int, st *Step) tensor.Exchange {
	if !p.ranks.many() {
		return tensor.Exchange{}
	}
	sync := p.ranks.statistics == StatisticsSync
	ex := tensor.Exchange{
		Overlap: !p.ranks.afterwards && !sync,
		Begin: func(_ *tensor.Scope, u *tensor.Update, has []bool, failed error) ([]bool, error) {
			if failed != nil {
				return nil, p.ranks.end(ctx, "step", diverged(failed))
			}
			return p.compare(ctx, has, pairs, st, u)
		},
		Values: bucketFloats(p.ranks.size()),
		Memory: p.ranks.values,
		Sum:    func(v []float32) error { return p.sumOver(ctx, "gradients", v, 1/float32(p.ranks.size())) },
		Failed: func(failed error) error {
			_, err := p.ranks.exchange(ctx, "backward pass", nil, diverged(failed))
			if err == nil {
				err = fmt.Errorf("%w: it has no gradients and does not say why", ErrPeer)
			}
			return err
		},
		Reduce: func(s *tensor.Scope) error { return p.commonStatistics(ctx, s) },
		Agree: func(failed error) error {
			_, err := p.ranks.exchange(ctx, "update", nil, diverged(failed))
			return err
		},
	}
	if sync {
		ex.Reduce = nil // there is nothing left that differs
		ex.Statistics = func(layer int, backward bool, own []float64) ([]float64, error) {
			doing := fmt.Sprintf("batch norm %d", layer)
			if backward {
				doing += ", backward"
			}
			return p.ranks.sum(ctx, doing, own, nil)
		}
	}
	return ex
}

// diverged makes a loss or gradient that is not finite ErrDiverged, for the others too.
func diverged(err error) error {
	if errors.Is(err, tensor.ErrNotFinite) && !errors.Is(err, ErrDiverged) {
		return fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	return err
}

// compare brings together what the ranks know of the step, and which weights have gradients.
func (p *Pretrainer) compare(ctx context.Context, has []bool, pairs int, st *Step, u *tensor.Update) ([]bool, error) {
	own := said{Loss: u.Loss, Accuracy: st.Accuracy, Redrawn: st.Redrawn, Pairs: pairs, Indicators: st.Indicators, Has: make([]byte, len(has))}
	for i, h := range has {
		if h {
			own.Has[i] = 1
		}
	}
	b, err := json.Marshal(own)
	all, err := p.ranks.exchange(ctx, "step", b, err)
	if err != nil {
		return nil, err
	}
	return p.hear(all, pairs, st, u, len(has))
}

// hear makes the step's figures those of the whole batch, and returns which of the
// weights have a gradient on some rank.
func (p *Pretrainer) hear(all [][]byte, pairs int, st *Step, u *tensor.Update, weights int) ([]bool, error) {
	n := float64(len(all))
	u.Loss, st.Accuracy, st.Redrawn = 0, 0, 0
	unequal, counts, any := false, make([]int, len(all)), make([]bool, weights)
	for r, m := range all {
		var x said
		if err := json.Unmarshal(m, &x); err != nil || len(x.Has) != weights || len(x.Indicators) != len(st.Indicators) {
			p.ranks.broken = fmt.Errorf("%w: rank %d tells of %d weights and %d indicators, here are %d and %d",
				ErrPeer, r, len(x.Has), len(x.Indicators), weights, len(st.Indicators))
			return nil, p.ranks.broken
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
		for i := range any {
			any[i] = any[i] || x.Has[i] == 1
		}
	}
	if unequal {
		return nil, fmt.Errorf("tab: step: %w: the ranks have batches of %v pairs, want equally many", ErrConfig, counts)
	}
	return any, nil
}

// values returns a buffer for a bucket.
func (r *ranks) values(n int) []float32 {
	if cap(r.bucket) < n {
		r.bucket = make([]float32, n)
	}
	return r.bucket[:n]
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
