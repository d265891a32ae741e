package tab

import (
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"runtime"
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
// the 99 % quantile is far, which is where recipe R1's loss lets go.
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
	if visual == nil || good == nil {
		return nil, fmt.Errorf("tab: measure twins: %w: the network or the data set is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, l := range cfg.Layers {
		if visual.Channels(l) < 1 {
			return nil, fmt.Errorf("tab: measure twins: %w: the network has no layer %s", ErrConfig, l)
		}
	}
	if err := dataset.RequireGood(good); err != nil {
		return nil, fmt.Errorf("tab: measure twins: %w: %w", ErrConfig, err)
	}
	byClass := map[string][]int{}
	for i := range good.Len() {
		it := good.Item(i)
		byClass[it.Class] = append(byClass[it.Class], i)
	}
	t := &TwinTable{Seed: cfg.Seed, Far: cfg.Far, Least: cfg.Least, Ridge: cfg.Ridge}
	for _, l := range cfg.Layers {
		t.Layers = append(t.Layers, l.String())
	}
	classes := make([]string, 0, len(byClass))
	for c := range byClass {
		classes = append(classes, c)
	}
	slices.Sort(classes)
	if len(classes) == 0 {
		return nil, fmt.Errorf("tab: measure twins: %w: the data set is empty", ErrConfig)
	}
	mixtures := map[string]synth.Mixture{}
	for _, class := range classes { // all, before the first is measured
		m, ok := of(class)
		if !ok {
			return nil, fmt.Errorf("tab: measure twins of %q: %w: there is no mixture for it", class, ErrUnknownClass)
		}
		if err := m.Validate(); err != nil {
			return nil, fmt.Errorf("tab: measure twins of %q: %w", class, err)
		}
		mixtures[class] = m
	}
	for _, class := range classes {
		r := &twinRun{visual: visual, ds: good, m: mixtures[class], cfg: cfg, class: class, order: byClass[class], tr: cfg.Transform.Shared()}
		p, err := r.product(ctx)
		if err != nil {
			return nil, fmt.Errorf("tab: measure twins of %q: %w", class, err)
		}
		t.Products = append(t.Products, p)
	}
	return t, t.Validate()
}

// twinRun measures the twins of one product.
type twinRun struct {
	visual VisualEncoder
	ds     dataset.Dataset
	m      synth.Mixture
	cfg    TwinConfig
	class  string
	order  []int // good images of the class
	tr     dataset.Transform
	size   image.Point
	spread []*spread
	pixels []float32
}

// image reads good image i of the class at the network's size.
func (r *twinRun) image(ctx context.Context, i int) (*image.RGBA, error) {
	s, err := r.ds.Sample(ctx, r.order[i])
	if err != nil {
		return nil, err
	}
	img, err := transformed(r.ds, r.tr, s)
	if err != nil {
		return nil, err
	}
	if r.size == (image.Point{}) {
		r.size = img.Rect.Size()
	}
	if img.Rect.Size() != r.size {
		return nil, fmt.Errorf("%s: %w: it comes out as %v, the first image as %v; choose a Transform with one size for all (a crop, or an exact size)",
			s.Name, ErrConfig, img.Rect.Size(), r.size)
	}
	return img, nil
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

// product measures spread and twins.
func (r *twinRun) product(ctx context.Context) (ProductTwins, error) {
	r.order = drawSpread(r.cfg.Seed, r.class, r.order, r.cfg.Images)
	p := ProductTwins{Class: r.class, Images: len(r.order)}
	if _, err := r.image(ctx, 0); err != nil {
		return p, err
	}
	var err error
	r.spread, err = measureSpread(ctx, r.visual, len(r.order), r.size.Y, r.size.X, func(ctx context.Context, i int, dst []float32) error {
		img, err := r.image(ctx, i)
		if err != nil {
			return err
		}
		return r.cfg.Normalize.Pack(dst, img)
	}, spreadConfig{Layers: r.cfg.Layers, Ridge: r.cfg.Ridge, Batch: r.cfg.Batch, Workers: runtime.GOMAXPROCS(0)})
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
	to := draw % len(r.order)
	rng := r.rand("draw", uint64(draw))
	dst, err := r.image(ctx, to)
	if err != nil {
		return err
	}
	src, err := r.image(ctx, (to+1+rng.IntN(len(r.order)-1))%len(r.order))
	if err != nil {
		return err
	}
	var pairs []synth.Pair
	var of []int
	for k, g := range kinds {
		// Every kind has numbers of its own, so that leaving one out changes no other.
		pair, err := place(g.Generator, dst, src, r.rand("kind "+string(g.Kind), uint64(draw)), r.m.Attempts)
		if errors.Is(err, synth.ErrNotPlaced) {
			out[k].All.Unplaced++
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", g.Kind, err)
		}
		if pair.Image == nil || pair.Image.Rect != dst.Rect || pair.Mask == nil || pair.Support == nil || pair.Mask.Rect != dst.Rect || pair.Support.Rect != dst.Rect {
			return fmt.Errorf("%s: %w: the generator gives no image, mask and support of the size of %v", g.Kind, ErrConfig, dst.Rect.Size())
		}
		pairs, of = append(pairs, pair), append(of, k)
	}
	for i := 0; i < len(pairs); i += r.cfg.Batch {
		part := pairs[i:min(i+r.cfg.Batch, len(pairs))]
		q, err := r.displace(ctx, dst, part)
		if err != nil {
			return err
		}
		for j, pair := range part {
			out[of[i+j]].count(pair, q[j], r.spread, r.cfg.Far)
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

// displace returns how loud each pair is at each layer: the mean of q over the
// loudest quarter of its damaged cells, one at least.
func (r *twinRun) displace(ctx context.Context, dst *image.RGBA, pairs []synth.Pair) ([][]float64, error) {
	per, n := 3*r.size.X*r.size.Y, len(pairs)+1
	if len(r.pixels) < n*per {
		r.pixels = make([]float32, n*per)
	}
	if err := r.cfg.Normalize.Pack(r.pixels[:per], dst); err != nil {
		return nil, err
	}
	for i, p := range pairs {
		if err := r.cfg.Normalize.Pack(r.pixels[(i+1)*per:(i+2)*per], p.Image); err != nil {
			return nil, err
		}
	}
	out := make([][]float64, len(pairs))
	err := tensor.Run(ctx, r.visual.Params().Device(), tensor.Evaluation, func(s *tensor.Scope) error {
		fs := r.visual.Forward(s, s.FromNHWC(r.pixels[:n*per], n, r.size.Y, r.size.X, 3), r.cfg.Layers...)
		for l, f := range fs {
			sp := r.spread[l]
			q, err := s.Float64s(s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				if s.Err() != nil {
					return nil
				}
				f = positions(s, f)
				d := s.Minus(s.Narrow(f, 0, 1, int64(len(pairs))), s.Narrow(f, 0, 0, 1))
				return whitened(s, d, s.FromFloat64s(sp.Whiten, int64(sp.C), int64(sp.C)))
			}))
			if err != nil {
				return err
			}
			cells := sp.H * sp.W
			for i, p := range pairs {
				m := p.Mask
				if p.Normal {
					m = p.Support
				}
				out[i] = append(out[i], loudness(q[i*cells:(i+1)*cells], damagedCells(m, sp.H, sp.W)))
			}
		}
		return nil
	})
	return out, err
}

// coveredShare is the share of a cell that a mask covers at least where the cell
// counts as damaged.
const coveredShare = 0.3

// damagedCells lists the cells of an h x w grid over m that are set in three
// tenths of their pixels or more, or, where there is none, those that are set
// most. A pixel on the edge between two cells counts in both.
func damagedCells(m *image.Gray, h, w int) []int {
	share := make([]float64, h*w)
	height, width := m.Rect.Dy(), m.Rect.Dx()
	most := 0.0
	for y := range h {
		y0, y1 := y*height/h, ((y+1)*height+h-1)/h
		for x := range w {
			x0, x1 := x*width/w, ((x+1)*width+w-1)/w
			n := 0
			for i := y0; i < y1; i++ {
				for _, v := range m.Pix[i*m.Stride+x0 : i*m.Stride+x1] {
					n += int(v >> 7)
				}
			}
			share[y*w+x] = float64(n) / float64((y1-y0)*(x1-x0))
			most = max(most, share[y*w+x])
		}
	}
	var cells []int
	for i, v := range share {
		if v > 0 && v >= min(coveredShare, most) {
			cells = append(cells, i)
		}
	}
	return cells
}

// loudness is the mean over the loudest quarter, rounded up, of the cells' q; 0
// where there are no cells.
func loudness(q []float64, cells []int) float64 {
	if len(cells) == 0 {
		return 0
	}
	v := make([]float64, len(cells))
	for i, c := range cells {
		v[i] = q[c]
	}
	slices.Sort(v)
	loud := v[len(v)-(len(v)+3)/4:]
	sum := 0.0
	for _, x := range loud {
		sum += x
	}
	return sum / float64(len(loud))
}
