package tab

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tensor"
)

// MetricConfig says how the spread of a product's good parts is measured, for
// objectives that ask for it ([Needs].Metric).
type MetricConfig struct {
	// Images is how many good images of a product are looked at, at most, 4 to
	// 10000. They go through the frozen copy twice.
	Images int
	// Ridge is added to the covariance's diagonal, in units of the mean variance of
	// a channel, > 0.
	Ridge float64
	// Form is what of the covariance is used.
	Form MetricForm
}

// MetricForm is what a [Metric] uses of the covariance.
type MetricForm string

const (
	// MetricFull uses all of it.
	MetricFull MetricForm = "full"
	// MetricDiagonal uses the variances.
	MetricDiagonal MetricForm = "diagonal"
	// MetricAuto is diagonal at layers 3 and 4 and for products of fewer than 40
	// images, else full.
	MetricAuto MetricForm = "auto"
)

// fewImages is the number below which MetricAuto trusts variances only.
const fewImages = 40

// DefaultMetric returns the settings of the trials: 200 images, ridge 0.1, full.
func DefaultMetric() MetricConfig { return MetricConfig{Images: 200, Ridge: 0.1, Form: MetricFull} }

// Validate checks the ranges.
func (c MetricConfig) Validate() error {
	switch {
	case c.Images < minSpreadImages || c.Images > 10000:
		return bad("Metric.Images", c.Images, fmt.Sprintf("%d to 10000", minSpreadImages))
	case !(c.Ridge > 0 && c.Ridge <= 1000):
		return bad("Metric.Ridge", c.Ridge, "> 0 and at most 1000")
	case c.Form != MetricFull && c.Form != MetricDiagonal && c.Form != MetricAuto:
		return bad("Metric.Form", fmt.Sprintf("%q", c.Form), "full, diagonal or auto")
	}
	return nil
}

func (c MetricConfig) diagonal(l backbone.Layer, images int) bool {
	return c.Form == MetricDiagonal || c.Form == MetricAuto && (l >= backbone.Layer3 || images < fewImages)
}

// Metric measures displacements of features in units of the spread of a product's
// good parts. For product k and stage l it holds the covariance S of the frozen
// copy's features within their positions (deviations from each position's mean
// over the images, all positions together) with e = ridge tr(S)/C on its diagonal,
// and
//
//	q(v) = v' (S + e I)^-1 v / C
//
// which is near 1 for the deviation of a good part; and the quantiles of that over
// good parts, each judged by the images of the half that it is not in, as
// [MeasureTwins] has them.
type Metric struct {
	p *tensor.Params
}

// Names of what a Metric keeps of a stage: the matrices W with q(v) = |v W|^2 [N, C, C], or
// their diagonals [N, C], and the quantiles [N].
func metricName(l backbone.Layer, what string) string { return l.String() + "." + what }

// Square returns q of each position of v [B, C, h, w] as [B, h, w]; class int64
// [B] names each image's product.
func (m *Metric) Square(s *tensor.Scope, l backbone.Layer, v, class *tensor.Tensor) *tensor.Tensor {
	w := m.p.Get(metricName(l, "whiten"))
	if w == nil {
		s.Fail(fmt.Errorf("tab: metric: %w: %s was not measured; name it in Needs.Stages", ErrConfig, l))
		return &tensor.Tensor{}
	}
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor { return square(s, s.IndexSelect(w, 0, class), v) })
}

// square is q with one matrix [B, C, C] or one row of factors [B, C] an image.
func square(s *tensor.Scope, w, v *tensor.Tensor) *tensor.Tensor {
	if s.Err() != nil {
		return nil
	}
	b, c, h, wd := v.Size(0), v.Size(1), v.Size(2), v.Size(3)
	x := s.Reshape(s.Permute(v, 0, 2, 3, 1), b, h*wd, c)
	if w.Dim() == 3 {
		x = s.Bmm(x, w)
	} else {
		x = s.Mul(x, s.Unsqueeze(w, 1))
	}
	return s.Reshape(s.Mean(s.Square(x), false, 2), b, h, wd)
}

// Quantiles returns the 95 % and the 99 % quantile of q over good parts of each
// image's product, [B] each.
func (m *Metric) Quantiles(s *tensor.Scope, l backbone.Layer, class *tensor.Tensor) (q95, q99 *tensor.Tensor) {
	get := func(what string) *tensor.Tensor {
		t := m.p.Get(metricName(l, what))
		if t == nil {
			s.Fail(fmt.Errorf("tab: metric: %w: %s was not measured; name it in Needs.Stages", ErrConfig, l))
			return &tensor.Tensor{}
		}
		return s.IndexSelect(t, 0, class)
	}
	return get("q95"), get("q99")
}

// partSpread is what a Metric keeps of a spread.
type partSpread struct {
	whiten   []float32 // C*C, or C where diagonal
	q95, q99 float32
}

// part is a spread in single precision.
func (sp *spread) part(diagonal bool) partSpread {
	out := partSpread{q95: float32(sp.Normal[level95]), q99: float32(sp.Normal[level99])}
	for i, w := range sp.Whiten {
		if !diagonal || i%(sp.C+1) == 0 {
			out.whiten = append(out.whiten, float32(w))
		}
	}
	return out
}

// MeasureProducts measures the spread of each product's good images in ds, which
// Steps and Fit do before the first step where the objective asks for it. It is
// for callers who drive Step themselves. Prepare comes first. It returns at once
// where nothing is asked for or all is measured.
func (p *Pretrainer) MeasureProducts(ctx context.Context, ds dataset.Dataset) error {
	switch {
	case p.closed:
		return fmt.Errorf("tab: measure products: %w", ErrClosed)
	case p.classes == nil:
		return fmt.Errorf("tab: measure products: %w: call Prepare first", ErrNotPrepared)
	case !p.needs.Metric || p.metric != nil:
		return nil
	}
	p.ranks.begin()
	stages, err := p.measureAll(ctx, ds)
	if err == nil {
		err = p.keepMetric(ctx, len(p.classes), stages)
	}
	return p.ranks.end(ctx, "measure products", err)
}

// measureAll measures all products, each rank its own of them.
func (p *Pretrainer) measureAll(ctx context.Context, ds dataset.Dataset) (map[backbone.Layer][]partSpread, error) {
	f, err := p.newFeed(ds, 0)
	if err != nil {
		return nil, err
	}
	if err := f.sizes(ctx); err != nil {
		return nil, err
	}
	drawn := make([][]int, len(p.classes))
	products := make([][]partSpread, len(p.classes))
	for k, class := range p.classes {
		own := append([]int(nil), f.byClass[class]...)
		if len(own) < minSpreadImages {
			return nil, fmt.Errorf("tab: measure products: %w: class %q has %d good images, its spread needs %d or more", ErrConfig, class, len(own), minSpreadImages)
		}
		drawn[k] = drawSpread(p.cfg.Seed, class, own, p.cfg.Metric.Images)
		if k%p.ranks.size() != p.ranks.rank() {
			continue
		}
		if products[k], err = p.measureClass(ctx, f, drawn[k]); err != nil {
			return nil, fmt.Errorf("tab: measure products: class %q: %w", class, err)
		}
	}
	if err := p.shareSpreads(ctx, drawn, products); err != nil {
		return nil, fmt.Errorf("tab: measure products: %w", err)
	}
	stages := map[backbone.Layer][]partSpread{}
	for _, parts := range products {
		for i, l := range p.needs.Stages {
			stages[l] = append(stages[l], parts[i])
		}
	}
	return stages, nil
}

// shareSpreads gives each product's spreads from the rank that has measured it to all.
func (p *Pretrainer) shareSpreads(ctx context.Context, drawn [][]int, products [][]partSpread) error {
	if !p.ranks.many() {
		return nil
	}
	if _, err := p.ranks.exchange(ctx, "spreads", nil, nil); err != nil {
		return err
	}
	for k := range products {
		owner := k % p.ranks.size()
		var v []float32
		if owner == p.ranks.rank() {
			for _, sp := range products[k] {
				v = append(append(v, sp.whiten...), sp.q95, sp.q99)
			}
		}
		sizes := make([]int, len(p.needs.Stages))
		n := 0
		for i, l := range p.needs.Stages {
			c := p.parts.Visual.Channels(l)
			if sizes[i] = c * c; p.cfg.Metric.diagonal(l, len(drawn[k])) {
				sizes[i] = c
			}
			n += sizes[i] + 2
		}
		var err error
		if v, err = p.ranks.broadcast(ctx, owner, v, n); err != nil {
			return err
		}
		products[k] = nil
		for _, size := range sizes {
			products[k] = append(products[k], partSpread{whiten: v[:size:size], q95: v[size], q99: v[size+1]})
			v = v[size+2:]
		}
	}
	return nil
}

// measureBatch is how many images the frozen copy sees at a time.
const measureBatch = 16

// measureClass returns the spread of one product at each stage.
func (p *Pretrainer) measureClass(ctx context.Context, f *feed, own []int) ([]partSpread, error) {
	diagonal := func(l backbone.Layer) bool { return p.cfg.Metric.diagonal(l, len(own)) }
	measured, err := measureSpread(ctx, p.start, len(own), f.full.Y, f.full.X, func(ctx context.Context, i int, dst []float32) error {
		img, err := f.image(ctx, own[i])
		if err != nil {
			return err
		}
		return p.cfg.Normalize.Pack(dst, img)
	}, spreadConfig{Layers: p.needs.Stages, Ridge: p.cfg.Metric.Ridge, Batch: measureBatch, Workers: p.cfg.Workers, Diagonal: diagonal})
	if err != nil {
		return nil, err
	}
	parts := make([]partSpread, len(measured))
	for i, sp := range measured {
		parts[i] = sp.part(diagonal(sp.Layer))
	}
	return parts, nil
}

// keepMetric puts what was measured on the device.
func (p *Pretrainer) keepMetric(ctx context.Context, classes int, stages map[backbone.Layer][]partSpread) error {
	return tensor.Run(ctx, p.dev, tensor.Evaluation, func(s *tensor.Scope) (err error) {
		p.metric, err = newMetric(s, p.needs.Stages, p.parts.Visual.Channels, classes, stages)
		return err
	})
}

// newMetric makes a Metric of the spreads of each stage, one a product. Where some
// products of a stage have a full matrix and others a diagonal, all get a matrix.
func newMetric(s *tensor.Scope, layers []backbone.Layer, channels func(backbone.Layer) int, classes int, stages map[backbone.Layer][]partSpread) (*Metric, error) {
	keep := tensor.NewParams(s.Device())
	n := int64(classes)
	for _, l := range layers {
		c := channels(l)
		full := false
		for _, sp := range stages[l] {
			full = full || len(sp.whiten) == c*c && c > 1
		}
		var w, q95, q99 []float32
		for _, sp := range stages[l] {
			q95, q99 = append(q95, sp.q95), append(q99, sp.q99)
			if !full || len(sp.whiten) == c*c {
				w = append(w, sp.whiten...)
				continue
			}
			m := make([]float32, c*c)
			for i, v := range sp.whiten {
				m[i*c+i] = v
			}
			w = append(w, m...)
		}
		shape := []int64{n, int64(c)}
		if full {
			shape = append(shape, int64(c))
		}
		if err := errors.Join(
			keep.PutBuffer(s, metricName(l, "whiten"), s.FromFloats(w, shape...)),
			keep.PutBuffer(s, metricName(l, "q95"), s.FromFloats(q95, n)),
			keep.PutBuffer(s, metricName(l, "q99"), s.FromFloats(q99, n))); err != nil {
			return nil, errors.Join(err, keep.Close())
		}
	}
	return &Metric{keep}, nil
}

// loadMetric restores what a checkpoint holds; nothing is there before the first
// step.
func (p *Pretrainer) loadMetric(ctx context.Context, n int, arrays []tensor.Array) error {
	if len(arrays) == 0 {
		return nil
	}
	if !p.needs.Metric {
		return fmt.Errorf("%w: it holds spreads that the objective does not ask for", ErrCheckpoint)
	}
	byName := map[string]tensor.Array{}
	for _, a := range arrays {
		byName[a.Name] = a
	}
	stages := map[backbone.Layer][]partSpread{}
	var missing []string
	for _, l := range p.needs.Stages {
		c := p.parts.Visual.Channels(l)
		var v [3][]float32
		for i, what := range []string{"whiten", "q95", "q99"} {
			name := metricName(l, what)
			a, ok := byName[name]
			if !ok {
				missing = append(missing, name)
				continue
			}
			delete(byName, name)
			var err error
			if v[i], err = a.Floats(); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrCheckpoint, name, err)
			}
			if err := a.CheckFinite(); err != nil {
				return fmt.Errorf("%w: %s: %w", ErrCheckpoint, name, err)
			}
		}
		if missing != nil {
			continue
		}
		if w := len(v[0]); len(v[1]) != n || len(v[2]) != n || w != n*c && w != n*c*c {
			return fmt.Errorf("%w: the spreads of %s do not fit %d classes and %d channels", ErrCheckpoint, l, n, c)
		}
		per := len(v[0]) / n
		for k := range n {
			stages[l] = append(stages[l], partSpread{whiten: v[0][k*per : (k+1)*per], q95: v[1][k], q99: v[2][k]})
		}
	}
	if missing != nil {
		return fmt.Errorf("%w: it has no spreads %s", ErrCheckpoint, strings.Join(missing, ", "))
	}
	for name := range byName {
		return fmt.Errorf("%w: it holds the spread %q", ErrCheckpoint, name)
	}
	return p.keepMetric(ctx, n, stages)
}

// close frees what was measured.
func (m *Metric) close() error {
	if m == nil {
		return nil
	}
	return m.p.Close()
}
