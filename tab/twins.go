package tab

import (
	"context"
	"errors"
	"fmt"
	"image"
	"maps"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

// TwinConfig says how [MeasureTwins] measures. Start from [DefaultTwins].
type TwinConfig struct {
	// Transform and Normalize bring images to the network's input; all results must
	// have one size.
	Transform dataset.Transform
	Normalize dataset.Normalize
	// Layers are the stages that are looked at, at least one.
	Layers []backbone.Layer
	// Ridge is added to the covariance of good parts, as a share of its mean
	// variance, > 0.
	Ridge float64
	// Images is the most good images of a product that its spread is taken from, at
	// least 4.
	Images int
	// Draws is the number of twins of each kind for each product, 1 to 1,000,000.
	Draws int
	// Far is from how many times the 99 % quantile of good parts on a displacement
	// teaches nothing more, 1 or more.
	Far float64
	// Least is the share of a kind's twins between the two limits below which the
	// kind is left out, 0 to 1.
	Least float64
	// Batch is the most twins that go through the network at once, at least 1.
	Batch int
	// Seed determines all random choices.
	Seed uint64
}

// DefaultTwins measures 100 twins of each kind against the spread of up to 200
// good images at layers 1 to 3, as PaDiM sees them. A displacement of four times
// the 99 % quantile is far, which is where Amplify's loss lets go.
func DefaultTwins() TwinConfig {
	return TwinConfig{
		Transform: dataset.PaDiM224(), Normalize: dataset.ImageNet(),
		Layers: []backbone.Layer{backbone.Layer1, backbone.Layer2, backbone.Layer3},
		Ridge:  0.1, Images: 200, Draws: 100, Far: 4, Least: 0.1, Batch: 8, Seed: 111,
	}
}

// maxDraws bounds TwinConfig.Draws.
const maxDraws = 1_000_000

// Validate checks the ranges of all settings.
func (c TwinConfig) Validate() error {
	bad := func(field string, value any, want string) error {
		return fmt.Errorf("tab: TwinConfig.%s is %v: %w: want %s", field, value, ErrConfig, want)
	}
	switch {
	case len(c.Layers) == 0:
		return bad("Layers", c.Layers, "at least one layer")
	case !(c.Ridge > 0) || math.IsInf(c.Ridge, 0):
		return bad("Ridge", c.Ridge, "> 0")
	case c.Images < minSpreadImages:
		return bad("Images", c.Images, fmt.Sprintf("%d or more", minSpreadImages))
	case c.Draws < 1 || c.Draws > maxDraws:
		return bad("Draws", c.Draws, fmt.Sprintf("1 to %d", maxDraws))
	case !(c.Far >= 1) || math.IsInf(c.Far, 0):
		return bad("Far", c.Far, "1 or more")
	case !(c.Least >= 0 && c.Least <= 1):
		return bad("Least", c.Least, "0 to 1")
	case c.Batch < 1:
		return bad("Batch", c.Batch, "1 or more")
	}
	for i, l := range c.Layers {
		if l < backbone.Stem || l > backbone.Layer4 || slices.Contains(c.Layers[:i], l) {
			return bad(fmt.Sprintf("Layers[%d]", i), l, "a stage of the network, each once")
		}
	}
	if err := c.Transform.Validate(); err != nil {
		return fmt.Errorf("tab: TwinConfig.Transform: %w", err)
	}
	if err := c.Normalize.Validate(); err != nil {
		return fmt.Errorf("tab: TwinConfig.Normalize: %w", err)
	}
	return nil
}

// MeasureTwins measures, before any training, what twins of each kind of m do to
// the features of each product of good, in the frozen network visual: how far the
// damaged cells are displaced from those of the good image, in a metric in which
// good parts of the product lie about 1 apart (their covariance within a
// position). What lies within the spread of good parts is normal for this product,
// what is far outside is seen already, and only what lies between teaches
// anything; see [Verdict] for the limits.
//
// visual runs in evaluation and stays as it is; good holds good images only, at
// least four of each class. The result depends on the images, the settings and the
// seed alone. Memory is one batch of features, the statistics of one product and
// four bytes for each position of each image. Errors: ErrConfig for a setting or
// an image that does not fit, ErrNoTwin where no kind could be placed on a product.
func MeasureTwins(ctx context.Context, visual VisualEncoder, good dataset.Dataset, m synth.Mixture, cfg TwinConfig) (*TwinTable, error) {
	return measureTwins(ctx, visual, good, func(string) (synth.Mixture, bool) { return m, true }, cfg)
}

// MeasureTwinsByClass is MeasureTwins with a mixture of each product's own, for
// example with the material of the other products as foreign textures
// ([ForeignTextures]). It returns ErrUnknownClass for a product without one.
func MeasureTwinsByClass(ctx context.Context, visual VisualEncoder, good dataset.Dataset, mixtures map[string]synth.Mixture, cfg TwinConfig) (*TwinTable, error) {
	return measureTwins(ctx, visual, good, func(class string) (m synth.Mixture, ok bool) {
		m, ok = mixtures[class]
		return m, ok
	}, cfg)
}

func measureTwins(ctx context.Context, visual VisualEncoder, good dataset.Dataset, of func(class string) (synth.Mixture, bool), cfg TwinConfig) (*TwinTable, error) {
	runs, err := twinRuns("measure twins", visual, good, of, cfg)
	if err != nil {
		return nil, err
	}
	t := &TwinTable{Seed: cfg.Seed, Far: cfg.Far, Least: cfg.Least, Ridge: cfg.Ridge}
	for _, l := range cfg.Layers {
		t.Layers = append(t.Layers, l.String())
	}
	for _, r := range runs {
		p, err := r.product(ctx)
		if err != nil {
			return nil, fmt.Errorf("tab: measure twins of %q: %w", r.class, err)
		}
		t.Products = append(t.Products, p)
	}
	return t, t.Validate()
}

// twinRuns checks everything that can be checked before the first product is
// measured, and returns a run for each product, in the order of their names.
func twinRuns(doing string, visual VisualEncoder, good dataset.Dataset, of func(class string) (synth.Mixture, bool), cfg TwinConfig) ([]*twinRun, error) {
	if visual == nil || good == nil {
		return nil, fmt.Errorf("tab: %s: %w: the network or the data set is nil", doing, ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, l := range cfg.Layers {
		if visual.Channels(l) < 1 {
			return nil, fmt.Errorf("tab: %s: %w: the network has no layer %s", doing, ErrConfig, l)
		}
	}
	if err := dataset.RequireGood(good); err != nil {
		return nil, fmt.Errorf("tab: %s: %w: %w", doing, ErrConfig, err)
	}
	byClass := imagesByClass(good)
	classes := slices.Sorted(maps.Keys(byClass))
	if len(classes) == 0 {
		return nil, fmt.Errorf("tab: %s: %w: the data set is empty", doing, ErrConfig)
	}
	var runs []*twinRun
	for _, class := range classes {
		m, ok := of(class)
		if !ok {
			return nil, fmt.Errorf("tab: %s of %q: %w: there is no mixture for it", doing, class, ErrUnknownClass)
		}
		if err := m.Validate(); err != nil {
			return nil, fmt.Errorf("tab: %s of %q: %w", doing, class, err)
		}
		runs = append(runs, &twinRun{goodImages: goodImages{ds: good, order: byClass[class], tr: cfg.Transform.Shared(), norm: cfg.Normalize}, visual: visual, m: m, cfg: cfg, class: class})
	}
	return runs, nil
}

// twinRun measures the twins of one product.
type twinRun struct {
	goodImages // of the class
	visual     VisualEncoder
	m          synth.Mixture
	cfg        TwinConfig
	class      string
	spread     []*spread
	pixels     []float32
}

// transformed is a sample's image after tr. A dataset.Cached of the same transform,
// or a part of one, has done it already, and a second pass would resize it again.
func transformed(ds dataset.Dataset, tr dataset.Transform, s dataset.Sample) (*image.RGBA, error) {
	if tr.AppliedTo(ds) {
		return s.Image, nil
	}
	img, err := tr.Image(s.Image)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.Name, err)
	}
	return img, nil
}

func (r *twinRun) rand(purpose string, ids ...uint64) *rand.Rand {
	return seed.Rand(r.cfg.Seed, "twins: "+purpose+": "+r.class, ids...)
}

// prepare measures the spread of the product's good images.
func (r *twinRun) prepare(ctx context.Context) error {
	r.order = drawSpread(r.cfg.Seed, r.class, r.order, r.cfg.Images)
	var err error
	r.spread, err = r.spreads(ctx, r.visual, r.cfg.Layers, r.cfg.Ridge, r.cfg.Batch)
	return err
}

// product measures spread and twins.
func (r *twinRun) product(ctx context.Context) (ProductTwins, error) {
	p := ProductTwins{Class: r.class}
	err := r.prepare(ctx)
	p.Images = len(r.order)
	if err != nil {
		return p, err
	}
	for _, s := range r.spread {
		p.Spread = append(p.Spread, s.Normal)
		s.Mean, s.Covariance = nil, nil // the difference of twins needs neither
	}
	var kinds []ingredient
	for _, g := range r.m.Kinds {
		kinds = append(kinds, ingredient{g, false})
	}
	for _, g := range r.m.Normal {
		kinds = append(kinds, ingredient{g, true})
	}
	for i, k := range kinds {
		p.Kinds = append(p.Kinds, KindTwins{Kind: k.Kind, Normal: k.normal})
		p.Kinds[i].ratios = make([][]float64, len(r.spread))
	}
	for draw := range r.cfg.Draws {
		if err := r.draw(ctx, draw, kinds, p.Kinds); err != nil {
			return p, err
		}
	}
	placed := 0
	for i := range p.Kinds {
		p.Kinds[i].finish(r.spread)
		placed += p.Kinds[i].All.placed()
	}
	if placed == 0 {
		return p, fmt.Errorf("%w: %d draws of each kind were tried; the material may be too even for these kinds", ErrNoTwin, r.cfg.Draws)
	}
	p.weigh(r.m, r.cfg.Least)
	return p, nil
}

type ingredient struct {
	synth.Ingredient
	normal bool
}

// draw makes one twin of each kind of one good image and measures it.
func (r *twinRun) draw(ctx context.Context, draw int, kinds []ingredient, out []KindTwins) error {
	dst, pairs, of, err := r.pairs(ctx, draw, kinds, func(k int) { out[k].All.Unplaced++ })
	if err != nil {
		return err
	}
	return r.batches(ctx, dst, pairs, func(i int, loud []float64) {
		out[of[i]].count(pairs[i], loud, r.spread, r.cfg.Far)
	}, nil)
}

// pairs makes a twin of each kind of one good image, dst; of is the kind of each.
func (r *twinRun) pairs(ctx context.Context, draw int, kinds []ingredient, unplaced func(kind int)) (dst *image.RGBA, pairs []synth.Pair, of []int, err error) {
	to := draw % len(r.order)
	rng := r.rand("draw", uint64(draw))
	if dst, err = r.image(ctx, to); err != nil {
		return nil, nil, nil, err
	}
	src, err := r.image(ctx, (to+1+rng.IntN(len(r.order)-1))%len(r.order))
	if err != nil {
		return nil, nil, nil, err
	}
	for k, g := range kinds {
		// Every kind has numbers of its own, so that leaving one out changes no other.
		pair, err := place(g.Generator, dst, src, r.rand("kind "+string(g.Kind), uint64(draw)), r.m.Attempts)
		if errors.Is(err, synth.ErrNotPlaced) {
			unplaced(k)
			continue
		}
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", g.Kind, err)
		}
		if pair.Image == nil || pair.Image.Rect != dst.Rect || pair.Mask == nil || pair.Support == nil || pair.Mask.Rect != dst.Rect || pair.Support.Rect != dst.Rect {
			return nil, nil, nil, fmt.Errorf("%s: %w: the generator gives no image, mask and support of the size of %v", g.Kind, ErrConfig, dst.Rect.Size())
		}
		pairs, of = append(pairs, pair), append(of, k)
	}
	return dst, pairs, of, nil
}

// batches tells counted how loud each pair is at each layer, and moved what displace
// tells it, by the number of the pair.
func (r *twinRun) batches(ctx context.Context, dst *image.RGBA, pairs []synth.Pair, counted func(i int, loud []float64), moved mover) error {
	for i := 0; i < len(pairs); i += r.cfg.Batch {
		part := pairs[i:min(i+r.cfg.Batch, len(pairs))]
		var of mover
		if moved != nil {
			of = func(s *tensor.Scope, j int, d *tensor.Tensor, loud float64) error { return moved(s, i+j, d, loud) }
		}
		q, err := r.displace(ctx, dst, part, of)
		if err != nil {
			return err
		}
		for j := range part {
			counted(i+j, q[j])
		}
	}
	return nil
}

// place draws until a pair is placed, as a Mixture does.
func place(g synth.Generator, dst, src image.Image, rng *rand.Rand, attempts int) (pair synth.Pair, err error) {
	for range attempts {
		if pair, err = g.Generate(dst, src, rng); !errors.Is(err, synth.ErrNotPlaced) {
			return pair, err
		}
	}
	return pair, err
}
