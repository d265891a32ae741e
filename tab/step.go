package tab

import (
	"context"
	"fmt"
	"time"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/tensor"
)

// Batch is what one step sees: B normal images and, where the objective asks for
// them, their damaged twins in the same order.
type Batch struct {
	H, W int
	// Normal and Abnormal hold B*H*W*3 normalised values each, in the order image,
	// row, column, channel. Abnormal is empty where there are no twins.
	Normal, Abnormal []float32
	// Class holds B indices into Classes.
	Class []int
	// Masks holds B*H*W bytes, not 0 where the twin differs; empty unless the
	// objective asks for masks.
	Masks []uint8
	// Redrawn counts the places for which another image had to be taken because no
	// defect could be placed.
	Redrawn int
}

// Step is what is known after one step.
type Step struct {
	Epoch     int     `json:"epoch"`      // from 0
	Batch     int     `json:"batch"`      // in the epoch, from 0; of the caller's own batches, by Step
	Batches   int     `json:"batches"`    // of the epoch; 0 by Step, which does not know
	Number    int64   `json:"step"`       // steps so far, this one included
	Loss      float64 `json:"loss"`       // before the update
	Accuracy  float64 `json:"accuracy"`   // share of right answers in the batch
	LR        float64 `json:"lr"`         // with the schedule's factor
	GradNorm  float64 `json:"grad_norm"`  // before clipping
	ImagesSec float64 `json:"images_sec"` // both twins counted, waiting for data included
	Redrawn   int     `json:"redrawn,omitempty"`
	// Indicators say where the run goes, in the steps of Config.IndicatorsEvery: the
	// loss of each part of a [Mix] without its weight, by the part's name; and of
	// [Amplify], for each stage with damaged cells, "ln q/q0 layer1" and so on, the
	// mean of ln(q/q0) over them, 0 where they are displaced as at the start.
	Indicators []Measure `json:"indicators,omitempty"`
	// Probe holds the measures taken after this step, the last of its epoch.
	Probe []Measure `json:"probe,omitempty"`
}

// Step trains on a batch of the caller's own. The learning rate is that of the
// run's present epoch: the one with which the epoch begins, after the share of
// warm-up that ends with it. A Step takes no place of the batches that Steps makes:
// between two calls of Steps, the second goes on with the batch that was next. Own
// batches are counted by themselves (Step.Batch, from 0 in each epoch);
// [Pretrainer.EndEpoch] ends the epoch for both.
//
// On any error, cancellation included, weights, optimizer, batch norm statistics
// and the run's place are those before the step. A loss or gradient that is not
// finite is [ErrDiverged].
//
// Under [WithGroup] b is this rank's share: all ranks call Step, with equally many
// pairs.
func (p *Pretrainer) Step(ctx context.Context, b Batch) (Step, error) {
	st, err := p.trainStep(ctx, b, 0, 1)
	if err != nil {
		return Step{}, err
	}
	st.Batch, st.Batches = p.own, 0
	p.own++
	return st, nil
}

// trainStep trains on a batch, number at of an epoch of so many.
func (p *Pretrainer) trainStep(ctx context.Context, b Batch, at, batches int) (Step, error) {
	p.ranks.begin()
	if err := p.ready(ctx, b); err != nil {
		return Step{}, p.ranks.end(ctx, "step", err)
	}
	st := Step{Epoch: p.epoch, Batch: at, Batches: batches, Number: p.step + 1, Redrawn: b.Redrawn,
		LR: p.cfg.LR * p.factor(at, batches)}
	start := time.Now()
	// A step is not interrupted: it takes seconds, and the next one asks the context
	// again.
	err := tensor.Run(context.WithoutCancel(ctx), p.dev, tensor.Training, func(s *tensor.Scope) error {
		return p.update(ctx, s, b, &st)
	})
	if err = p.ranks.end(ctx, "step", err); err != nil {
		return Step{}, fmt.Errorf("tab: epoch %d, batch %d: %w", p.epoch, at, err)
	}
	p.step++
	if st.Indicators != nil {
		p.log.Info("indicators", "step", st.Number, "loss", st.Loss, "measures", st.Indicators)
	}
	st.ImagesSec = float64(len(b.Class)*p.ranks.size()) / time.Since(start).Seconds()
	if len(b.Abnormal) > 0 {
		st.ImagesSec *= 2
	}
	return st, nil
}

// ready says whether a step can begin, and makes what it trains trainable.
func (p *Pretrainer) ready(ctx context.Context, b Batch) error {
	switch {
	case p.closed:
		return fmt.Errorf("tab: step: %w", ErrClosed)
	case p.classes == nil:
		return fmt.Errorf("tab: step: %w: call Prepare first", ErrNotPrepared)
	case p.needs.Metric && p.metric == nil:
		return fmt.Errorf("tab: step: %w: call MeasureProducts first", ErrNotPrepared)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.checkBatch(b); err != nil {
		return err
	}
	return p.phase()
}

// phase makes what the present epoch trains trainable and the rest not, so that
// Backward does not compute gradients that nobody uses.
func (p *Pretrainer) phase() error {
	if p.lent == nil {
		p.lent = borrow(p.parts.Visual)
	}
	if f, ok := p.parts.Visual.(statisticsFreezer); ok {
		f.FreezeStatistics(func(l backbone.Layer) bool { return p.cfg.frozenStatistics(l, p.epoch) })
	}
	if t, ok := p.parts.Visual.(preciser); ok {
		if err := t.SetTrainingPrecision(p.cfg.Precision); err != nil {
			return err
		}
	}
	if err := p.parts.Visual.Params().SetTrainable(func(n string) bool { return p.cfg.rate(n, p.epoch) > 0 }); err != nil {
		return err
	}
	return p.head.SetTrainable(func(string) bool { return p.cfg.HeadRate > 0 })
}

func (p *Pretrainer) checkBatch(b Batch) error {
	n := len(b.Class)
	want := n * b.H * b.W * 3
	fail := func(format string, a ...any) error {
		return fmt.Errorf("tab: batch of %d pairs of %dx%d: %w: %s", n, b.W, b.H, ErrConfig, fmt.Sprintf(format, a...))
	}
	switch {
	case n < 2:
		return fail("batch norm needs 2 or more")
	case b.H < 32 || b.W < 32:
		return fail("images must be 32x32 or larger")
	case len(b.Normal) != want:
		return fail("Normal has %d values, want %d", len(b.Normal), want)
	case p.needs.Twin && len(b.Abnormal) != want:
		return fail("Abnormal has %d values, want %d", len(b.Abnormal), want)
	case !p.needs.Twin && len(b.Abnormal) != 0:
		return fail("objective %s takes no twins", p.cfg.Objective.Name())
	case p.needs.Masks && len(b.Masks) != n*b.H*b.W:
		return fail("Masks has %d values, want %d", len(b.Masks), n*b.H*b.W)
	}
	for i, k := range b.Class {
		if k < 0 || k >= len(p.classes) {
			return fail("Class[%d] is %d, there are %d classes", i, k, len(p.classes))
		}
	}
	return nil
}

// update is forward, loss, backward and optimizer step.
func (p *Pretrainer) update(ctx context.Context, s *tensor.Scope, b Batch, st *Step) error {
	learners := []tensor.Learner{
		{Params: p.parts.Visual.Params(), Optimizer: p.opt[0], Rate: func(n string) float64 { return st.LR * p.cfg.rate(n, p.epoch) }},
		{Params: p.head, Optimizer: p.opt[1], Rate: func(string) float64 { return st.LR * p.cfg.HeadRate }},
	}
	if p.cfg.StartDecay > 0 {
		learners[0].Optimizer = pulled{p.opt[0], p.start.Params(), p.cfg.StartDecay}
	}
	u, err := tensor.DescendTogether(s, p.cfg.ClipNorm, learners, func(s *tensor.Scope) (*tensor.Tensor, error) {
		var told notes
		var note func(string, *tensor.Tensor)
		if p.cfg.tells(st.Number) {
			note = told.add
		}
		loss, accuracy := p.forward(ctx, s, b, note)
		var err error
		if st.Accuracy, err = s.Float(accuracy); err == nil {
			st.Indicators, err = told.measures(s)
		}
		return loss, err
	}, p.together(ctx, len(b.Class), st))
	if err != nil {
		return diverged(err)
	}
	st.Loss, st.GradNorm = u.Loss, u.GradNorm
	return nil
}

// forward computes the objective's loss and accuracy of a batch; note may be nil.
func (p *Pretrainer) forward(ctx context.Context, s *tensor.Scope, b Batch, note func(string, *tensor.Tensor)) (loss, accuracy *tensor.Tensor) {
	n := len(b.Class)
	v := View{Params: p.head, Note: note}
	if p.ranks.many() {
		v.over = &over{&p.ranks, ctx}
	}
	class := make([]int64, n)
	for i, k := range b.Class {
		class[i] = int64(k)
	}
	v.Class = s.FromInts(class, int64(n))
	if p.needs.Anchors {
		v.NormalText, v.AbnormalText = p.anchors.Get("normal"), p.anchors.Get("abnormal")
	}
	if p.needs.Masks {
		m := s.Cast(s.FromBytes(b.Masks, int64(n), 1, int64(b.H), int64(b.W)), tensor.Float32)
		v.Masks = s.Minus(s.Full(1, tensor.Float32, 1), s.Cast(s.Equal(m, s.Zeros(1)), tensor.Float32))
	}
	x := s.FromNHWC(b.Normal, n, b.H, b.W, 3)
	images := x // what the frozen copy sees
	switch {
	case !p.needs.Twin:
		v.Normal = p.features(s, x)
	case p.cfg.SeparatePasses:
		v.Normal = p.features(s, x)
		y := s.FromNHWC(b.Abnormal, n, b.H, b.W, 3)
		v.Abnormal = p.features(s, y)
		if p.needs.Start {
			images = s.Cat(0, x, y)
		}
	default:
		images = s.Cat(0, x, s.FromNHWC(b.Abnormal, n, b.H, b.W, 3))
		both := p.features(s, images)
		v.Normal, v.Abnormal = both.split(s, int64(n))
	}
	p.see(s, &v, b, images)
	return p.cfg.Objective.Loss(s, v)
}

// layers are what the network is asked for.
func (p *Pretrainer) layers() []backbone.Layer {
	if p.needs.NoPooled {
		return p.needs.Stages
	}
	return append([]backbone.Layer{backbone.Pooled}, p.needs.Stages...)
}

// features runs the network and the projection.
func (p *Pretrainer) features(s *tensor.Scope, x *tensor.Tensor) Features {
	at := p.layers()
	f := Features{Stages: map[backbone.Layer]*tensor.Tensor{}}
	for i, t := range p.parts.Visual.Forward(s, x, at...) {
		if at[i] == backbone.Pooled {
			f.Pooled = t
		} else {
			f.Stages[at[i]] = t
		}
	}
	if w := p.head.Get("projection.weight"); w != nil {
		f.Pooled = s.Linear(f.Pooled, w, p.head.Get("projection.bias"))
	}
	return f
}

// split cuts features of 2n images into those of the first and the last n.
func (f Features) split(s *tensor.Scope, n int64) (a, b Features) {
	cut := func(t *tensor.Tensor, i int64) *tensor.Tensor { return s.Narrow(t, 0, i*n, n) }
	a = Features{Stages: map[backbone.Layer]*tensor.Tensor{}}
	b = Features{Stages: map[backbone.Layer]*tensor.Tensor{}}
	if f.Pooled != nil {
		a.Pooled, b.Pooled = cut(f.Pooled, 0), cut(f.Pooled, 1)
	}
	for l, t := range f.Stages {
		a.Stages[l], b.Stages[l] = cut(t, 0), cut(t, 1)
	}
	return a, b
}
