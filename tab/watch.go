package tab

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"runtime"
	"slices"

	"gonum.org/v1/gonum/mat"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/tensor"
)

// WatchConfig says how a [Watch] looks. Start from [DefaultWatch].
type WatchConfig struct {
	// Transform and Normalize bring images to the network's input; all results must have one size.
	Transform dataset.Transform
	Normalize dataset.Normalize
	// Layers are the stages that are looked at, at least one, none twice.
	Layers []backbone.Layer
	// Ridge is added to the covariance of good parts, as a share of its mean variance, > 0.
	Ridge float64
	// Images is the most images of a product that spreads are taken from, at least 4, and the most that are looked at
	// beside them.
	Images int
	// Batch is the most images that go through a network at once, at least 1.
	Batch int
	// Seed draws which images of a product are looked at where there are more than Images.
	Seed uint64
}

// DefaultWatch looks at up to 100 good images of a product, and as many that were kept apart, at layers 1 to 3, as PaDiM
// sees them.
func DefaultWatch() WatchConfig {
	t := DefaultTwins()
	return WatchConfig{Transform: t.Transform, Normalize: t.Normalize, Layers: t.Layers, Ridge: t.Ridge, Images: 100, Batch: t.Batch, Seed: t.Seed}
}

// Validate checks the ranges of all settings.
func (c WatchConfig) Validate() error {
	if err := checkLayers("WatchConfig", c.Layers); err != nil {
		return err
	}
	if err := positive("WatchConfig.Ridge", c.Ridge); err != nil {
		return err
	}
	switch {
	case c.Images < minSpreadImages:
		return fmt.Errorf("tab: WatchConfig.Images is %d: %w: want %d or more", c.Images, ErrConfig, minSpreadImages)
	case c.Batch < 1:
		return fmt.Errorf("tab: WatchConfig.Batch is %d: %w: want 1 or more", c.Batch, ErrConfig)
	}
	if err := c.Transform.Validate(); err != nil {
		return fmt.Errorf("tab: WatchConfig.Transform: %w", err)
	}
	if err := c.Normalize.Validate(); err != nil {
		return fmt.Errorf("tab: WatchConfig.Normalize: %w", err)
	}
	return nil
}

// Watch tells what training does to good parts, and above all to those that it never sees: a detector that is fitted on
// some good parts has to recognise others. It holds the network as it was at the start, good images that are trained on,
// and good images of the same products that were kept apart. It looks at no damage. Make one with [NewWatch]. It is a
// [Probe], and not safe for concurrent use.
type Watch struct {
	start    VisualEncoder
	cfg      WatchConfig
	products []watched
}

// watched is one product of a Watch.
type watched struct {
	class       string
	known, kept *goodImages
	before      []*spread // of the start
}

// GoodParts is what has become of the good parts of one product at one stage since the start. Distances are in units of the spread
// of the images in training, near 1 for what one good part differs by from the mean: roots of q as [Metric] has it, with
// [WatchConfig].Ridge and the whole covariance.
type GoodParts struct {
	Class string `json:"class"`
	Layer string `json:"layer"`
	// Known and Kept are how many images in training, and how many kept apart, were looked at.
	Known int `json:"known"`
	Kept  int `json:"kept"`
	// Moved is how far features of images kept apart have moved since the start, in the start's spread: the root of the mean square over
	// their positions. MovedFar is what 99 % of the positions lie below. Both are 0 at the start. Bound is what 95 % of the
	// positions of good images lie below there, from the mean.
	Moved    float64 `json:"moved"`
	MovedFar float64 `json:"moved_far"`
	Bound    float64 `json:"bound"`
	// Unseen is how many times as far from the mean of the images in training those kept apart lie as the former
	// themselves do, in the network as it is and in its own spread: the 99 % quantile of the one over that of the other, each image in training
	// judged by the half that it is not in, so that few images in training make it smaller than it should be. UnseenStart is that of the
	// start, to hold it against. What a network has learnt by heart about the parts that it has seen makes Unseen grow. Of a
	// handful of images kept apart it is a rough figure.
	Unseen      float64 `json:"unseen"`
	UnseenStart float64 `json:"unseen_start"`
	// Spread is the variance of images in training within a position, over that at the start (tr S).
	Spread float64 `json:"spread"`
	// Rank is the effective rank of their covariance, exp of the entropy of its eigenvalues (Roy and Vetterli, "The effective
	// rank", EUSIPCO 2007), 1 to the number of channels; RankStart is that of the start. A fall says that directions
	// are lost, in which damage might have shown.
	Rank      float64 `json:"rank"`
	RankStart float64 `json:"rank_start"`
	// CKA is the linear centred kernel alignment of the features of images kept apart with those of the start, 0 to 1: 1 for
	// the same up to a turn and a factor (Kornblith and others, "Similarity of neural network representations revisited",
	// ICML 2019), less each position's mean over the images in training.
	CKA float64 `json:"cka"`
}

// NewWatch measures the start on good images: known, which are trained on, at least four of each class of kept, and kept, which
// are not, at least one of a class, and none of known. start is read whenever the Watch looks, stays the caller's, and must not change. The
// Watch holds the statistics of each product at the start, 4 MB at 224 pixels. Errors: ErrConfig for a setting or
// an image that does not fit, ErrUnknownClass for a class of kept without images in known, and those of reading.
func NewWatch(ctx context.Context, start VisualEncoder, known, kept dataset.Dataset, cfg WatchConfig) (*Watch, error) {
	if start == nil || known == nil || kept == nil {
		return nil, fmt.Errorf("tab: watch: %w: the network or a data set is nil", ErrConfig)
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, l := range cfg.Layers {
		if start.Channels(l) < 1 {
			return nil, fmt.Errorf("tab: watch: %w: the network has no layer %s", ErrConfig, l)
		}
	}
	if err := errors.Join(dataset.RequireGood(known), dataset.RequireGood(kept)); err != nil {
		return nil, fmt.Errorf("tab: watch: %w: %w", ErrConfig, err)
	}
	w := &Watch{start: start, cfg: cfg}
	have, apart := imagesByClass(known), imagesByClass(kept)
	if len(apart) == 0 {
		return nil, fmt.Errorf("tab: watch: %w: no image is kept apart", ErrConfig)
	}
	for _, class := range slices.Sorted(maps.Keys(apart)) {
		if len(have[class]) == 0 {
			return nil, fmt.Errorf("tab: watch: %w: %q has images kept apart, and none in training", ErrUnknownClass, class)
		}
		p := watched{class: class,
			known: &goodImages{ds: known, order: drawSpread(cfg.Seed, class, have[class], cfg.Images), tr: cfg.Transform.Shared(), norm: cfg.Normalize},
			kept:  &goodImages{ds: kept, order: drawSpread(cfg.Seed, class, apart[class], cfg.Images), tr: cfg.Transform.Shared(), norm: cfg.Normalize}}
		var err error
		if p.before, err = w.spreads(ctx, start, p); err != nil {
			return nil, fmt.Errorf("tab: watch %q: %w", class, err)
		}
		p.kept.size = p.known.size
		w.products = append(w.products, p)
	}
	return w, nil
}

// spreads are those of a network on the product's images in training.
func (w *Watch) spreads(ctx context.Context, visual VisualEncoder, p watched) ([]*spread, error) {
	return p.known.spreads(ctx, visual, w.cfg.Layers, w.cfg.Ridge, w.cfg.Batch)
}

// Look says what has become of the good parts in the network now, product by product and stage by stage. It runs in evaluation
// and changes nothing. It takes two passes over the images in training and one over those kept apart, memory
// for a batch of features, the statistics of one product once more and a dozen bytes for each position of its images. Errors: ErrConfig where now has
// other layers than the start, or where all images have become the same in it, and those of reading.
func (w *Watch) Look(ctx context.Context, now VisualEncoder) ([]GoodParts, error) {
	if w.start == nil || now == nil {
		return nil, fmt.Errorf("tab: watch: %w: the network is nil, or the watch was not made by NewWatch", ErrConfig)
	}
	for _, l := range w.cfg.Layers {
		if now.Channels(l) != w.start.Channels(l) {
			return nil, fmt.Errorf("tab: watch: %w: %s has %d channels, and had %d at the start", ErrConfig, l, now.Channels(l), w.start.Channels(l))
		}
	}
	if a, b := now.Params().Device(), w.start.Params().Device(); a != b {
		return nil, fmt.Errorf("tab: watch: %w: the network is on %s, and that of the start on %s", ErrConfig, a, b)
	}
	var out []GoodParts
	for _, p := range w.products {
		after, err := w.spreads(ctx, now, p)
		if err == nil {
			var one []GoodParts
			if one, err = w.product(ctx, now, p, after); err == nil {
				out = append(out, one...)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("tab: watch %q: %w", p.class, err)
		}
	}
	return out, nil
}

// Probe implements [Probe] with the [GoodParts.Measures] of all that [Watch.Look] says.
func (w *Watch) Probe(ctx context.Context, now VisualEncoder) (out []Measure, err error) {
	all, err := w.Look(ctx, now)
	for _, g := range all {
		out = append(out, g.Measures()...)
	}
	return out, err
}

// Measures are the figures that change, under names such as "good/CLASS/layer2/moved".
func (g GoodParts) Measures() []Measure {
	at := "good/" + g.Class + "/" + g.Layer + "/"
	return []Measure{{at + "moved", g.Moved}, {at + "moved_far", g.MovedFar}, {at + "bound", g.Bound}, {at + "unseen", g.Unseen}, {at + "spread", g.Spread}, {at + "rank", g.Rank}, {at + "cka", g.CKA}}
}

// String is a line.
func (g GoodParts) String() string {
	return fmt.Sprintf("%s %s: moved by %.2f, 99 %% by less than %.2f (95 %% of good parts differ by less than %.2f from the mean); unseen parts lie %.2f times as far off as seen ones (%.2f at the start; %d and %d images); variance times %.2f; rank %.1f, was %.1f; alignment %.3f",
		g.Class, g.Layer, g.Moved, g.MovedFar, g.Bound, g.Unseen, g.UnseenStart, g.Kept, g.Known, g.Spread, g.Rank, g.RankStart, g.CKA)
}

// keptStage gathers what is said of the images kept apart at one stage.
type keptStage struct {
	moved, before, after []float32 // q of each position
	rows                 float64
	sums                 [2][]float64 // [C], before and after, of deviations
	products             [3][]float64 // [C, C]: before before, before after, after after
}

// product holds the images kept apart against the start.
func (w *Watch) product(ctx context.Context, now VisualEncoder, p watched, after []*spread) ([]GoodParts, error) {
	stages := make([]keptStage, len(w.cfg.Layers))
	err := eachBatch(ctx, w.start.Params().Device(), 0, len(p.kept.order), p.known.size.Y, p.known.size.X, p.kept.pack, w.cfg.Batch, runtime.GOMAXPROCS(0), func(s *tensor.Scope, x *tensor.Tensor, _ int) error {
		was, is := w.start.Forward(s, x, w.cfg.Layers...), now.Forward(s, x, w.cfg.Layers...)
		if err := s.Err(); err != nil {
			return err
		}
		for l := range stages {
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				err = stages[l].add(s, positions(s, was[l]), positions(s, is[l]), p.before[l], after[l])
				return nil
			})
			if err := errors.Join(err, s.Err()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var out []GoodParts
	for l := range stages {
		g, err := stages[l].parts(p.before[l], after[l])
		if err != nil {
			return nil, err
		}
		g.Class, g.Layer, g.Known, g.Kept = p.class, w.cfg.Layers[l].String(), len(p.known.order), len(p.kept.order)
		out = append(out, g)
	}
	return out, nil
}

// add takes the features of a batch, [n, positions, C] each.
func (k *keptStage) add(s *tensor.Scope, was, is *tensor.Tensor, before, after *spread) error {
	if int(was.Size(1)) != before.H*before.W || int(is.Size(1)) != after.H*after.W {
		return fmt.Errorf("%w: features have %d and %d positions, those of the images in training %d", ErrConfig, was.Size(1), is.Size(1), before.H*before.W)
	}
	c := int64(before.C)
	matrix := func(v []float64) *tensor.Tensor { return s.FromFloat64s(v, c, c) }
	a := s.Minus(was, s.FromFloat64s(before.Mean, 1, was.Size(1), c))
	b := s.Minus(is, s.FromFloat64s(after.Mean, 1, is.Size(1), c))
	for _, q := range []struct {
		of, whiten *tensor.Tensor
		to         *[]float32
	}{{s.Minus(is, was), matrix(before.Whiten), &k.moved}, {a, matrix(before.Whiten), &k.before}, {b, matrix(after.Whiten), &k.after}} {
		v, err := s.Floats(s.Cast(whitened(s, q.of, q.whiten), tensor.Float32))
		if err != nil {
			return err
		}
		*q.to = append(*q.to, v...)
	}
	rows := [2]*tensor.Tensor{s.Reshape(a, -1, c), s.Reshape(b, -1, c)}
	k.rows += float64(rows[0].Size(0))
	for i, r := range rows {
		if err := addTo(s, &k.sums[i], s.Sum(r, false, 0)); err != nil {
			return err
		}
	}
	for i, pair := range [3][2]int{{0, 0}, {0, 1}, {1, 1}} {
		if err := addTo(s, &k.products[i], s.MatMul(s.Transpose(rows[pair[0]], 0, 1), rows[pair[1]])); err != nil {
			return err
		}
	}
	return nil
}

// addTo adds the values of t to those of sum, which is made where it is nil.
func addTo(s *tensor.Scope, sum *[]float64, t *tensor.Tensor) error {
	v, err := s.Float64s(t)
	if err != nil {
		return err
	}
	if *sum == nil {
		*sum = v
		return nil
	}
	for i, x := range v {
		(*sum)[i] += x
	}
	return nil
}

// parts says what was gathered.
func (k *keptStage) parts(before, after *spread) (g GoodParts, err error) {
	sum := 0.0
	for _, q := range k.moved {
		sum += float64(q)
	}
	g.Moved = math.Sqrt(sum / float64(len(k.moved)))
	far := func(q []float32) float64 {
		slices.Sort(q)
		return math.Sqrt(quantile(q, normalLevels[level99]))
	}
	g.MovedFar, g.Bound = far(k.moved), math.Sqrt(before.Normal[level95])
	g.UnseenStart, g.Unseen = far(k.before)/math.Sqrt(before.Normal[level99]), far(k.after)/math.Sqrt(after.Normal[level99])
	g.Spread = trace(after.Covariance, after.C) / trace(before.Covariance, before.C)
	if g.RankStart, err = effectiveRank(before.Covariance, before.C); err != nil {
		return g, err
	}
	if g.Rank, err = effectiveRank(after.Covariance, after.C); err != nil {
		return g, err
	}
	g.CKA = k.alignment(before.C)
	return g, nil
}

// alignment is the linear CKA of what was gathered, 0 where one side does not vary.
func (k *keptStage) alignment(c int) float64 {
	var squares [3]float64
	for i, pair := range [3][2]int{{0, 0}, {0, 1}, {1, 1}} {
		x, y := k.sums[pair[0]], k.sums[pair[1]]
		for r := range c {
			for j := range c {
				v := k.products[i][r*c+j] - x[r]*y[j]/k.rows
				squares[i] += v * v
			}
		}
	}
	if under := math.Sqrt(squares[0] * squares[2]); under > 0 {
		return min(1, squares[1]/under)
	}
	return 0
}

// effectiveRank is exp of the entropy of the eigenvalues of a covariance [c, c]. Values that rounding leaves below
// zero count as none.
func effectiveRank(covariance []float64, c int) (float64, error) {
	var e mat.EigenSym
	if !e.Factorize(mat.NewSymDense(c, slices.Clone(covariance)), false) {
		return 0, fmt.Errorf("the eigenvalues of a covariance of %d channels were not found", c)
	}
	values := e.Values(nil)
	total, entropy := 0.0, 0.0
	for _, v := range values {
		total += max(0, v)
	}
	for _, v := range values {
		if v > 0 {
			entropy -= v / total * math.Log(v/total)
		}
	}
	return math.Exp(entropy), nil
}
