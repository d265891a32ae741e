package tab

import (
	"context"
	"fmt"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
	"github.com/gotab/gotab/tensor"
)

// ProductChannels says of the channels of a network how far good parts of one product
// differ in them and how far twins displace them, with all that channels have in
// common. Channels are counted through the layers in their order, all on the grid of the
// first layer, to which deeper ones are repeated: as PaDiM sees them, whose
// PaDiMConfig.Channels counts likewise. Fill it by [MeasureChannels].
type ProductChannels struct {
	Class string
	// Layers are the stages, Widths how many channels each has; C is their sum.
	Layers []backbone.Layer
	Widths []int
	// Images is the number of good images, Counts what the twins were, of which those
	// that lie between the two limits (Counts.Drawn) count below.
	Images int
	Counts TwinCounts
	// Spread is [C*C], the covariance of good images within a position: each position
	// is centred on its own mean, and the outer products are averaged over positions.
	Spread []float64
	// Moved is [C*C], the mean of d d' over twins, where d displaces a cell: over the
	// loudest quarter of the damaged cells of a twin, and over that twin's own mean of
	// d' (Spread + e I)^-1 d, so that a faint twin counts as much as a loud one.
	Moved []float64
}

// MeasureChannels measures, for each product of good, what good parts and twins of m do
// to every channel of cfg.Layers in the network visual. A twin within the spread of
// good parts is no damage and one that is far outside is seen by any choice, so only
// those between count, each kind by its weight in m. Unlike in [MeasureTwins] these
// limits, cfg.Ridge and all distances are of all layers together.
//
// visual runs in evaluation and stays as it is; good holds good images only, at
// least four of each class. cfg.Least is not read. The result depends on the images, the settings
// and the seed alone. Memory is some copies of a batch of features in double precision
// on the grid of the first layer and of C*C numbers; for the 448 channels of
// ResNet-18's first three stages at 224 pixels that is 11 MB an image of the batch and
// copy. Errors: ErrConfig for a setting or an image that does not fit, ErrNoTwin where
// no twin of a product lies between the limits.
func MeasureChannels(ctx context.Context, visual VisualEncoder, good dataset.Dataset, m synth.Mixture, cfg TwinConfig) ([]ProductChannels, error) {
	return measureChannels(ctx, visual, good, func(string) (synth.Mixture, bool) { return m, true }, cfg)
}

// MeasureChannelsByClass is MeasureChannels with a mixture of each product's own, as
// [MeasureTwinsByClass] takes them. It returns ErrUnknownClass for a product without one.
func MeasureChannelsByClass(ctx context.Context, visual VisualEncoder, good dataset.Dataset, mixtures map[string]synth.Mixture, cfg TwinConfig) ([]ProductChannels, error) {
	return measureChannels(ctx, visual, good, func(class string) (m synth.Mixture, ok bool) {
		m, ok = mixtures[class]
		return m, ok
	}, cfg)
}

func measureChannels(ctx context.Context, visual VisualEncoder, good dataset.Dataset, of func(class string) (synth.Mixture, bool), cfg TwinConfig) ([]ProductChannels, error) {
	runs, err := twinRuns("measure channels", visual, good, of, cfg)
	if err != nil {
		return nil, err
	}
	n := 0
	for _, l := range cfg.Layers {
		n += visual.Channels(l)
	}
	if n > maxChannels {
		return nil, fmt.Errorf("tab: measure channels: %w: the layers %v have %d channels, want %d at most", ErrConfig, cfg.Layers, n, maxChannels)
	}
	var out []ProductChannels
	for _, r := range runs {
		r.visual, r.cfg.Layers = joined{visual, cfg.Layers}, cfg.Layers[:1]
		p, err := r.channels(ctx)
		if err != nil {
			return nil, fmt.Errorf("tab: measure channels of %q: %w", r.class, err)
		}
		p.Layers = slices.Clone(cfg.Layers)
		for _, l := range cfg.Layers {
			p.Widths = append(p.Widths, visual.Channels(l))
		}
		out = append(out, p)
	}
	return out, nil
}

// joined is a network that gives some of its layers as one: their channels side by
// side on the first one's grid.
type joined struct {
	VisualEncoder
	layers []backbone.Layer
}

func (j joined) Channels(backbone.Layer) int {
	n := 0
	for _, l := range j.layers {
		n += j.VisualEncoder.Channels(l)
	}
	return n
}

func (j joined) Forward(s *tensor.Scope, x *tensor.Tensor, _ ...backbone.Layer) []*tensor.Tensor {
	return s.SubN(func(s *tensor.Scope) []*tensor.Tensor {
		fs := j.VisualEncoder.Forward(s, x, j.layers...)
		if s.Err() != nil {
			return []*tensor.Tensor{{}}
		}
		for i, f := range fs {
			if f.Dim() != 4 {
				s.Fail(fmt.Errorf("%w: layer %s gives features of shape %v, want a map [N, C, h, w]", ErrConfig, j.layers[i], f.Shape()))
				return []*tensor.Tensor{{}}
			}
			if h, w := fs[0].Size(2), fs[0].Size(3); f.Size(2) != h || f.Size(3) != w {
				fs[i] = s.UpsampleNearest(f, h, w)
			}
		}
		return []*tensor.Tensor{s.Cat(1, fs...)}
	})
}

// channels measures one product in a network of one joined layer.
func (r *twinRun) channels(ctx context.Context) (ProductChannels, error) {
	p := ProductChannels{Class: r.class}
	err := r.prepare(ctx)
	p.Images = len(r.order)
	if err != nil {
		return p, err
	}
	sp := r.spread[0]
	p.Spread = sp.Covariance
	sp.Mean = nil
	var kinds []ingredient
	for _, g := range r.m.Kinds {
		if g.Weight > 0 {
			kinds = append(kinds, ingredient{g, false})
		}
	}
	p.Moved = make([]float64, sp.C*sp.C)
	total := 0.0
	for draw := range r.cfg.Draws {
		dst, pairs, of, err := r.pairs(ctx, draw, kinds, func(int) { p.Counts.Unplaced++ })
		if err != nil {
			return p, err
		}
		err = r.batches(ctx, dst, pairs, func(_ int, loud []float64) {
			p.Counts.add(verdict(loud, r.spread, r.cfg.Far))
		}, func(s *tensor.Scope, i int, d *tensor.Tensor, loud float64) error {
			if verdict([]float64{loud}, r.spread, r.cfg.Far) != VerdictDrawn {
				return nil
			}
			outer, err := s.Float64s(s.MatMul(s.Transpose(d, 0, 1), d))
			weight := kinds[of[i]].Weight
			for k, v := range outer {
				p.Moved[k] += weight * v / (float64(d.Size(0)) * loud * float64(sp.C))
			}
			total += weight
			return err
		})
		if err != nil {
			return p, err
		}
	}
	if total == 0 {
		return p, fmt.Errorf("%w: of %d twins %d lie within the spread of good parts and %d are far outside, and none between; take other kinds of damage, or another Far",
			ErrNoTwin, p.Counts.placed(), p.Counts.Within, p.Counts.Beyond)
	}
	for k := range p.Moved {
		p.Moved[k] /= total
	}
	return p, nil
}

// check says whether the numbers fit each other.
func (p ProductChannels) check() error {
	c := 0
	if len(p.Layers) == 0 || len(p.Widths) != len(p.Layers) {
		return fmt.Errorf("%w: channels of %q: %d layers of %d widths", ErrConfig, p.Class, len(p.Layers), len(p.Widths))
	}
	for _, w := range p.Widths {
		if w < 1 || w > maxChannels {
			return fmt.Errorf("%w: channels of %q: a layer of %d channels, want 1 to %d", ErrConfig, p.Class, w, maxChannels)
		}
		c += w
	}
	if c > maxChannels || len(p.Spread) != c*c || len(p.Moved) != c*c {
		return fmt.Errorf("%w: channels of %q: %d of them with a spread of %d numbers and %d of twins, want C*C each and C of at most %d",
			ErrConfig, p.Class, c, len(p.Spread), len(p.Moved), maxChannels)
	}
	for i, v := range p.Spread {
		if w := p.Moved[i]; v-v != 0 || w-w != 0 || i%(c+1) == 0 && (v < 0 || w < 0) {
			return fmt.Errorf("%w: channels of %q: row %d, column %d is %g and %g, want numbers, and none below 0 where they are the same",
				ErrConfig, p.Class, i/c, i%c, v, w)
		}
	}
	return nil
}

// maxChannels bounds what is taken apart: two matrices of half a gigabyte.
const maxChannels = 8192
