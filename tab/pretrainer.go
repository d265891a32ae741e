package tab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

// VisualEncoder is the network that is trained; *backbone.ResNet18 is one.
// Forward returns features in the order of at, in the scope's mode; Pooled is a
// layer too. Parameters named as torchvision's are sorted into stages, others
// count as layer 4. Every VisualEncoder is a downstream.Extractor, so that a probe can
// fit detectors on it.
type VisualEncoder interface {
	Params() *tensor.Params
	Device() tensor.Device
	Channels(l backbone.Layer) int
	Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor
}

// statisticsFreezer is what Stage.FreezeStatistics and frozen phases ask of the
// visual encoder.
type statisticsFreezer interface {
	FreezeStatistics(frozen func(stage backbone.Layer) bool)
}

// statisticsTeller is asked what is frozen, so that it can be so again.
type statisticsTeller interface {
	StatisticsFrozen(stage backbone.Layer) bool
}

// preciser is what Config.Precision asks of the visual encoder.
type preciser interface {
	TrainingPrecision() backbone.Precision
	SetTrainingPrecision(p backbone.Precision) error
}

// loan is how an encoder was when the first step changed it.
type loan struct {
	trainable map[string]bool
	frozen    map[backbone.Layer]bool
	precision backbone.Precision
}

func borrow(v VisualEncoder) *loan {
	l := &loan{trainable: map[string]bool{}, frozen: map[backbone.Layer]bool{}}
	for _, n := range v.Params().Names() {
		l.trainable[n] = v.Params().IsTrainable(n)
	}
	if t, ok := v.(statisticsTeller); ok {
		for s := backbone.Stem; s <= backbone.Layer4; s++ {
			l.frozen[s] = t.StatisticsFrozen(s)
		}
	}
	if t, ok := v.(preciser); ok {
		l.precision = t.TrainingPrecision()
	}
	return l
}

// giveBack makes the encoder's flags what they were.
func (l *loan) giveBack(v VisualEncoder) error {
	if l == nil {
		return nil
	}
	if f, ok := v.(statisticsFreezer); ok {
		f.FreezeStatistics(func(s backbone.Layer) bool { return l.frozen[s] })
	}
	var err error
	if t, ok := v.(preciser); ok && t.TrainingPrecision() != l.precision {
		err = t.SetTrainingPrecision(l.precision)
	}
	return errors.Join(err, v.Params().SetTrainable(func(n string) bool {
		was, known := l.trainable[n]
		return was || !known
	}))
}

// Measure is a named figure of a probe, for example "image AUROC" 0.93.
type Measure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
}

// Probe measures whether the training helps, for example by fitting a detector
// on the network as it is and scoring held-back images. It runs between epochs,
// uses the network in evaluation and must not change it.
type Probe interface {
	Probe(ctx context.Context, visual VisualEncoder) ([]Measure, error)
}

// ProbeFunc is a function as a Probe.
type ProbeFunc func(ctx context.Context, visual VisualEncoder) ([]Measure, error)

// Probe implements [Probe].
func (f ProbeFunc) Probe(ctx context.Context, visual VisualEncoder) ([]Measure, error) {
	return f(ctx, visual)
}

// Parts are what a Pretrainer is composed of. It borrows them: whoever made a
// part closes it, after the Pretrainer.
type Parts struct {
	Visual  VisualEncoder
	Anchors Anchors         // nil for objectives that need none
	Synth   synth.Generator // nil for objectives that skip the twin
	Probe   Probe           // nil for none
}

// Option adds a collaborator to a Pretrainer.
type Option func(*Pretrainer)

// WithLogger reports epochs, probes and oddities; the default is silent.
func WithLogger(log *slog.Logger) Option { return func(p *Pretrainer) { p.log = log } }

// WithProgress is called after every step, on the goroutine of the loop.
func WithProgress(f func(Step)) Option { return func(p *Pretrainer) { p.progress = f } }

// WithCheckpoint saves a checkpoint to path after every epoch and when a run is
// cancelled.
func WithCheckpoint(path string) Option { return func(p *Pretrainer) { p.checkpoint = path } }

// WithObjective gives Resume an objective that this package does not know. It
// must be the one the checkpoint was written with.
func WithObjective(o Objective) Option {
	return func(p *Pretrainer) { p.cfg.Objective, p.given = o, true }
}

// WithSameParts vouches, in [Resume], for a generator and an objective that have no
// Fingerprint: that they are those the checkpoint was written with. Types must
// agree, and what has a Fingerprint is compared all the same.
func WithSameParts() Option { return func(p *Pretrainer) { p.vouched = true } }

// Pretrainer trains a visual encoder. It owns the projection, the objective's
// parameters, the optimizer's state and the anchors: Close it. It is not safe
// for concurrent use, and while it trains nobody else may use the encoder.
type Pretrainer struct {
	parts Parts
	cfg   Config
	dev   tensor.Device
	needs Needs

	log        *slog.Logger
	progress   func(Step)
	checkpoint string
	given      bool          // the objective came by WithObjective
	vouched    bool          // WithSameParts
	synth      *partIdentity // see generator

	classes []string
	data    string // hash of the data set's items, "" before the first Steps
	anchors *tensor.Params
	head    *tensor.Params
	opt     [2]tensor.Optimizer
	width   int        // of the anchors
	start   frozenCopy // nil where nothing looks at it
	metric  *Metric    // nil before MeasureProducts, or where nothing asks for it
	lent    *loan      // nil before the first step
	ranks   ranks

	// The next step of Steps is number batch of epoch; own counts the caller's own
	// batches in it.
	epoch, batch, own int
	step              int64
	closed            bool
}

// New checks that parts and settings fit together. Nothing of the encoder is
// changed.
func New(parts Parts, cfg Config, opts ...Option) (*Pretrainer, error) {
	p := &Pretrainer{parts: parts, cfg: cfg, ranks: ranks{statistics: StatisticsMean}}
	for _, o := range opts {
		o(p)
	}
	if err := p.compose(); err != nil {
		return nil, p.ranks.end(context.Background(), "new", err)
	}
	return p, nil
}

// compose checks parts and settings and makes the optimizers.
func (p *Pretrainer) compose() error {
	parts := p.parts
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if err := p.cfg.Validate(); err != nil {
		return err
	}
	if err := p.ranks.check(p.cfg); err != nil {
		return err
	}
	p.needs = p.cfg.Objective.Needs()
	p.needs.Masks = p.needs.Masks || p.needs.Cells
	name := p.cfg.Objective.Name()
	switch {
	case parts.Visual == nil:
		return fmt.Errorf("tab: new: %w: Parts.Visual is nil", ErrConfig)
	case p.needs.Anchors && parts.Anchors == nil:
		return fmt.Errorf("tab: new: %w: objective %s needs Parts.Anchors", ErrConfig, name)
	case p.needs.Twin && parts.Synth == nil:
		return fmt.Errorf("tab: new: %w: objective %s needs Parts.Synth", ErrConfig, name)
	}
	if _, ok := parts.Visual.(statisticsFreezer); !ok {
		for l := range p.cfg.Stages {
			if p.cfg.frozenStatistics(backbone.Layer(l), 0) {
				return fmt.Errorf("tab: new: %w: Config.Stages[%s] freezes batch norm statistics, the visual encoder cannot", ErrConfig, backbone.Layer(l))
			}
		}
	}
	for _, l := range p.layers() {
		if parts.Visual.Channels(l) < 1 {
			return fmt.Errorf("tab: new: %w: the visual encoder has no layer %s", ErrConfig, l)
		}
	}
	if err := p.checkPrecision(); err != nil {
		return err
	}
	if err := p.checkStart(); err != nil {
		return err
	}
	p.dev = parts.Visual.Params().Device()
	var err error
	for i := range p.opt {
		if p.cfg.Optimizer.Rule == "adamw" {
			p.opt[i], err = tensor.NewAdamW(p.cfg.Optimizer.AdamW, p.dev)
		} else {
			p.opt[i], err = tensor.NewSGD(p.cfg.Optimizer.SGD, p.dev)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// checkPrecision says whether the encoder computes in Config.Precision, and leaves it as it is.
func (p *Pretrainer) checkPrecision() error {
	t, ok := p.parts.Visual.(preciser)
	switch {
	case !ok && p.cfg.Precision == backbone.Float32:
		return nil
	case !ok:
		return fmt.Errorf("tab: new: %w: Config.Precision is %s, the visual encoder has no other than float32", ErrConfig, p.cfg.Precision)
	}
	was := t.TrainingPrecision()
	if err := t.SetTrainingPrecision(p.cfg.Precision); err != nil {
		return fmt.Errorf("tab: new: %w: Config.Precision: %w", ErrConfig, err)
	}
	return t.SetTrainingPrecision(was)
}

// Config returns the settings.
func (p *Pretrainer) Config() Config { return p.cfg }

// Classes returns the classes in the order of the anchors, nil before Prepare.
func (p *Pretrainer) Classes() []string { return append([]string(nil), p.classes...) }

// Head returns the trained parameters beside the encoder: the projection
// ("projection.weight", "projection.bias") where there is one, and the
// objective's. nil before Prepare.
func (p *Pretrainer) Head() *tensor.Params { return p.head }

// Prepare fixes the classes, encodes the anchors once and makes the projection
// and the objective's parameters. After it the text encoder may be closed. Steps
// and Fit call it with the data set's classes where the caller has not.
func (p *Pretrainer) Prepare(ctx context.Context, classes []string) error {
	p.ranks.begin()
	normal, abnormal, err := p.encode(ctx, classes)
	if err == nil {
		err = p.ranks.same(ctx, "prepare", p.program(classes), nil)
	}
	if err == nil {
		err = p.fromFirst(ctx, normal, abnormal)
	}
	if err == nil {
		err = p.make(ctx, classes, normal, abnormal)
	}
	made := err == nil
	if made {
		err = p.sameContents(ctx, "prepare")
	}
	if err = p.ranks.end(ctx, "prepare", err); err != nil {
		if made {
			err = errors.Join(err, p.unmake())
		}
		return fmt.Errorf("tab: prepare: %w", err)
	}
	p.classes = append([]string(nil), classes...)
	return nil
}

// encode checks the classes and returns their anchors, one after the other.
func (p *Pretrainer) encode(ctx context.Context, classes []string) (normal, abnormal []float32, err error) {
	switch {
	case p.closed:
		return nil, nil, ErrClosed
	case p.classes != nil:
		return nil, nil, fmt.Errorf("%w: it has been called before, with %q", ErrConfig, p.classes)
	case len(classes) == 0:
		return nil, nil, fmt.Errorf("%w: no classes", ErrConfig)
	}
	seen := map[string]bool{}
	for _, c := range classes {
		if seen[c] {
			return nil, nil, fmt.Errorf("%w: class %q comes twice", ErrConfig, c)
		}
		seen[c] = true
	}
	if err := checkTied(p.cfg.Tied, classes); err != nil {
		return nil, nil, err
	}
	if !p.needs.Anchors {
		return nil, nil, nil
	}
	n, a, err := p.parts.Anchors.Anchors(ctx, classes)
	if err != nil {
		return nil, nil, err
	}
	if p.width, err = checkAnchors(classes, n, a); err != nil {
		return nil, nil, err
	}
	return flatten(n), flatten(a), nil
}

func flatten(rows [][]float32) []float32 {
	var v []float32
	for _, r := range rows {
		v = append(v, r...)
	}
	return v
}

// make builds anchors, projection and the objective's parameters.
func (p *Pretrainer) make(ctx context.Context, classes []string, normal, abnormal []float32) error {
	anchors, head := tensor.NewParams(p.dev), tensor.NewParams(p.dev)
	visual := p.parts.Visual
	err := tensor.Run(ctx, p.dev, tensor.Evaluation, func(s *tensor.Scope) error {
		pooled := visual.Channels(backbone.Pooled)
		if p.needs.Anchors {
			n, w := int64(len(classes)), int64(p.width)
			if err := errors.Join(anchors.PutBuffer(s, "normal", s.FromFloats(normal, n, w)),
				anchors.PutBuffer(s, "abnormal", s.FromFloats(abnormal, n, w))); err != nil {
				return err
			}
			if p.needs.Project && pooled != p.width {
				if err := linear(s, head, "projection", int64(pooled), w, seed.Rand(p.cfg.Seed, "projection")); err != nil {
					return err
				}
				pooled = p.width
			}
		}
		d := Dims{Classes: len(classes), Pooled: pooled, Text: p.width, Channels: map[backbone.Layer]int{}}
		for _, l := range p.needs.Stages {
			d.Channels[l] = visual.Channels(l)
		}
		if err := p.cfg.Objective.Setup(s, head, d, seed.Rand(p.cfg.Seed, "objective")); err != nil {
			return err
		}
		return s.Err()
	})
	if err == nil {
		err = p.copyStart(ctx)
	}
	if err != nil {
		return errors.Join(err, anchors.Close(), head.Close())
	}
	p.anchors, p.head = anchors, head
	return nil
}

// unmake frees what make made.
func (p *Pretrainer) unmake() error {
	err := errors.Join(p.anchors.Close(), p.head.Close(), p.closeStart())
	p.anchors, p.head, p.start = nil, nil, nil
	return err
}

// Close frees what the Pretrainer owns. The encoder keeps its trained weights;
// which of them are trainable, which statistics are frozen and the precision of training are as
// they were before the first step. (An encoder that can freeze statistics and has no method
// StatisticsFrozen(backbone.Layer) bool comes back with none frozen.)
func (p *Pretrainer) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	errs := []error{
		p.parts.Visual.Params().ZeroGrad(), p.lent.giveBack(p.parts.Visual),
		p.anchors.Close(), p.head.Close(), p.closeStart(),
	}
	for _, o := range p.opt {
		errs = append(errs, o.Close())
	}
	tensor.ReleasePool()
	return errors.Join(errs...)
}
