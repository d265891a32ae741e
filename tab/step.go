package tab

import (
	"context"
	"errors"
	"fmt"
	"math"
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
	Batch     int     `json:"batch"`      // in the epoch, from 0
	Batches   int     `json:"batches"`    // of the epoch
	Number    int64   `json:"step"`       // steps so far, this one included
	Loss      float64 `json:"loss"`       // before the update
	Accuracy  float64 `json:"accuracy"`   // share of right answers in the batch
	LR        float64 `json:"lr"`         // with the schedule's factor
	GradNorm  float64 `json:"grad_norm"`  // before clipping
	ImagesSec float64 `json:"images_sec"` // both twins counted, waiting for data included
	Redrawn   int     `json:"redrawn,omitempty"`
	// Probe holds the measures taken after this step, the last of its epoch.
	Probe []Measure `json:"probe,omitempty"`
}

// Step trains on one batch. The learning rate is that of the run's present
// epoch. On any error, cancellation included, weights, optimizer and batch norm
// statistics are those before the step. A loss or gradient that is not finite is
// [ErrDiverged].
func (p *Pretrainer) Step(ctx context.Context, b Batch) (Step, error) {
	return p.trainStep(ctx, b, 1)
}

func (p *Pretrainer) trainStep(ctx context.Context, b Batch, batches int) (Step, error) {
	switch {
	case p.closed:
		return Step{}, fmt.Errorf("tab: step: %w", ErrClosed)
	case p.classes == nil:
		return Step{}, fmt.Errorf("tab: step: %w: call Prepare first", ErrNotPrepared)
	case p.needs.Metric && p.metric == nil:
		return Step{}, fmt.Errorf("tab: step: %w: call MeasureProducts first", ErrNotPrepared)
	}
	if err := ctx.Err(); err != nil {
		return Step{}, err
	}
	if err := p.checkBatch(b); err != nil {
		return Step{}, err
	}
	if err := p.phase(); err != nil {
		return Step{}, err
	}
	st := Step{Epoch: p.epoch, Batch: p.batch, Batches: batches, Number: p.step + 1, Redrawn: b.Redrawn,
		LR: p.cfg.LR * p.factor(batches)}
	start := time.Now()
	// Half a step must not stay, so the step itself is not interrupted: it takes
	// seconds, and the next one asks the context again.
	whole := context.WithoutCancel(ctx)
	err := tensor.Run(whole, p.dev, tensor.Training, func(s *tensor.Scope) error {
		for _, n := range p.backup.Names() {
			s.CopyInto(p.backup.Get(n), p.parts.Visual.Params().Get(n))
		}
		return p.update(s, b, &st)
	})
	err = errors.Join(err, p.parts.Visual.Params().ZeroGrad(), p.head.ZeroGrad())
	if err != nil {
		return Step{}, errors.Join(fmt.Errorf("tab: epoch %d, batch %d: %w", p.epoch, p.batch, err), p.restore(whole))
	}
	p.step++
	st.ImagesSec = float64(len(b.Class)) / time.Since(start).Seconds()
	if len(b.Abnormal) > 0 {
		st.ImagesSec *= 2
	}
	return st, nil
}

// restore puts back the buffers that the forward pass of a failed step moved.
func (p *Pretrainer) restore(ctx context.Context) error {
	defer p.parts.Visual.Params().Touch()
	return tensor.Run(ctx, p.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		for _, n := range p.backup.Names() {
			s.CopyInto(p.parts.Visual.Params().Get(n), p.backup.Get(n))
		}
		return s.Err()
	})
}

// phase makes what the present epoch trains trainable and the rest not, so that
// Backward does not compute gradients that nobody uses.
func (p *Pretrainer) phase() error {
	if f, ok := p.parts.Visual.(statisticsFreezer); ok {
		f.FreezeStatistics(func(l backbone.Layer) bool { return p.cfg.frozenStatistics(l, p.epoch) })
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
func (p *Pretrainer) update(s *tensor.Scope, b Batch, st *Step) error {
	loss, accuracy := p.forward(s, b)
	lv, err := s.Float(loss)
	if err != nil {
		return err
	}
	av, err := s.Float(accuracy)
	if err != nil {
		return err
	}
	if math.IsNaN(lv) || math.IsInf(lv, 0) {
		return fmt.Errorf("%w: the loss is %g", ErrDiverged, lv)
	}
	st.Loss, st.Accuracy = lv, av
	s.Backward(loss)
	st.GradNorm, err = tensor.ClipGrads(s, p.cfg.ClipNorm, p.parts.Visual.Params(), p.head)
	if errors.Is(err, tensor.ErrNotFinite) {
		return fmt.Errorf("%w: %w", ErrDiverged, err)
	}
	if err != nil {
		return err
	}
	if err := p.opt[0].Step(s, p.parts.Visual.Params(), func(n string) float64 { return st.LR * p.cfg.rate(n, p.epoch) }); err != nil {
		return err
	}
	if err := p.opt[1].Step(s, p.head, func(string) float64 { return st.LR * p.cfg.HeadRate }); err != nil {
		return err
	}
	p.pull(s, func(n string) float64 { return st.LR * p.cfg.rate(n, p.epoch) })
	return s.Err()
}

// forward computes the objective's loss and accuracy of a batch.
func (p *Pretrainer) forward(s *tensor.Scope, b Batch) (loss, accuracy *tensor.Tensor) {
	n := len(b.Class)
	v := View{Params: p.head}
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
