package tab

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/internal/seed"
	"github.com/gotab/gotab/tensor"
)

// spread is how far good parts of one product lie from one another at one stage
// of a frozen network. A displacement v of C channels is weighed by
//
//	q(v) = v' (S + e I)^-1 v / C,   e = ridge tr(S) / C,
//
// where S is the covariance of good images within a position: every position is
// centred on its own mean over the images, and the outer products are averaged
// over positions. A good image has a q of about 1 on average. All arithmetic is
// in double precision.
type spread struct {
	Layer   backbone.Layer
	C, H, W int
	Images  int
	// Mean is [H*W, C], the mean over the images at each position.
	Mean []float64
	// Covariance is S, [C, C].
	Covariance []float64
	// Whiten is [C, C]: q(v) is the squared length of the row vector v times
	// Whiten, over C.
	Whiten []float64
	// Normal holds the quantiles of q(feature - mean at its position) over the
	// positions of all good images, at the levels of normalLevels. Mean and
	// covariance come from the half of the images that the image is not in: the
	// same images would lie closer to their own mean than a new one does.
	Normal [len(normalLevels)]float64
}

// normalLevels are the quantiles that a spread holds.
var normalLevels = [...]float64{0.5, 0.95, 0.99, 0.999}

// Indices into spread.Normal.
const (
	levelMedian = iota
	level95
	level99
	level999
)

// minSpreadImages is the least number of good images: two in either half.
const minSpreadImages = 4

// spreadConfig says how spreads are measured.
type spreadConfig struct {
	Layers []backbone.Layer // stages, each with 1 channel or more
	Ridge  float64          // > 0; 0.1 is what the recipes use
	Batch  int              // images in one pass through the network, at least 1
	// Workers is how many images are packed at a time, 0 as 1.
	Workers int
	// Diagonal says at which stages only the variances weigh; nil: at none.
	Diagonal func(backbone.Layer) bool
}

// drawSpread is a drawn order of a product's good images, cut at most images: the
// halves that judge each other are halves of it. Twins and objectives are held
// against the same spread, so both draw here.
func drawSpread(runSeed uint64, class string, images []int, most int) []int {
	own := slices.Clone(images)
	seed.Rand(runSeed, "spread: "+class).Shuffle(len(own), func(i, j int) { own[i], own[j] = own[j], own[i] })
	return own[:min(len(own), most)]
}

// measureSpread runs n good images of one product through the network twice, in
// evaluation, and returns one spread for each of cfg.Layers. pack writes image i,
// normalised, as h*w*3 values in the order row, column, channel; cfg.Workers
// goroutines call it. The first half of the images (n/2) and the rest are the
// halves that judge each other, so the order should be drawn (drawSpread). Memory
// is one batch of features, the statistics of two halves, and four bytes for each
// position of each image. It returns ErrConfig where there are fewer than four
// images, or where all are the same.
func measureSpread(ctx context.Context, visual VisualEncoder, n, h, w int, pack func(ctx context.Context, i int, dst []float32) error, cfg spreadConfig) ([]*spread, error) {
	switch {
	case n < minSpreadImages:
		return nil, fmt.Errorf("tab: spread of good images: %w: there are %d, at least %d are needed", ErrConfig, n, minSpreadImages)
	case !(cfg.Ridge > 0) || math.IsInf(cfg.Ridge, 0):
		return nil, fmt.Errorf("tab: spread of good images: %w: the ridge is %g, want > 0", ErrConfig, cfg.Ridge)
	case cfg.Batch < 1:
		return nil, fmt.Errorf("tab: spread of good images: %w: the batch is %d, want 1 or more", ErrConfig, cfg.Batch)
	}
	m := &spreadRun{visual: visual, dev: visual.Params().Device(), h: h, w: w, pack: pack, cfg: cfg}
	halves := [2][2]int{{0, n / 2}, {n / 2, n}}
	for k, r := range halves {
		if err := m.each(ctx, r[0], r[1], func(s *tensor.Scope, l int, f *tensor.Tensor, count int) error { return m.sums(s, k, l, f, count) }); err != nil {
			return nil, err
		}
	}
	out := make([]*spread, len(cfg.Layers))
	var half [2][]*spread
	for l := range cfg.Layers {
		a, b := &m.moments[0][l], &m.moments[1][l]
		for k, mom := range []*moments{a, b} {
			s, err := m.solve(ctx, l, mom)
			if err != nil {
				return nil, err
			}
			half[k] = append(half[k], s)
		}
		a.add(b)
		var err error
		if out[l], err = m.solve(ctx, l, a); err != nil {
			return nil, err
		}
		m.moments[0][l], m.moments[1][l] = moments{}, moments{}
	}
	qs := make([][]float32, len(cfg.Layers))
	for k, r := range halves {
		other := half[1-k]
		if err := m.each(ctx, r[0], r[1], func(s *tensor.Scope, l int, f *tensor.Tensor, count int) error {
			sp := other[l]
			c, p := int64(sp.C), int64(sp.H*sp.W)
			v := s.Minus(positions(s, f), s.FromFloat64s(sp.Mean, 1, p, c))
			q, err := s.Floats(s.Cast(whitened(s, v, s.FromFloat64s(sp.Whiten, c, c)), tensor.Float32))
			qs[l] = append(qs[l], q...)
			return err
		}); err != nil {
			return nil, err
		}
	}
	for l, q := range qs {
		slices.Sort(q)
		for i, level := range normalLevels {
			out[l].Normal[i] = quantile(q, level)
		}
		qs[l] = nil
	}
	return out, nil
}

// whitened returns q of every row of v [.., C] for a whitening matrix [C, C] of
// the same type.
func whitened(s *tensor.Scope, v, whiten *tensor.Tensor) *tensor.Tensor {
	return s.Sub(func(s *tensor.Scope) *tensor.Tensor { return s.Mean(s.Square(s.MatMul(v, whiten)), false, -1) })
}

// quantile is the value at a level from 0 to 1 of rising values, linear between
// neighbours, as NumPy's and PyTorch's default has it.
func quantile(rising []float32, level float64) float64 {
	at := level * float64(len(rising)-1)
	i := min(int(at), len(rising)-1)
	lo, hi := float64(rising[i]), float64(rising[min(i+1, len(rising)-1)])
	return lo + (hi-lo)*(at-float64(i))
}

// spreadRun is the state of one measureSpread.
type spreadRun struct {
	visual  VisualEncoder
	dev     tensor.Device
	h, w    int
	pack    func(ctx context.Context, i int, dst []float32) error
	cfg     spreadConfig
	moments [2][]moments // of each half, one a layer
}

// moments are sums over images of features less the map of the first image,
// which keeps the sums of squares small beside what is left of them.
type moments struct {
	c, h, w, n int
	shift      []float64 // [h*w, c], shared by all sums of a layer
	sum        []float64 // [h*w, c]
	square     []float64 // [c, c], of outer products over positions too
}

func (m *moments) add(o *moments) {
	m.n += o.n
	for i, v := range o.sum {
		m.sum[i] += v
	}
	for i, v := range o.square {
		m.square[i] += v
	}
}

// each calls fn with the features [count, C, h, w] of images first to last-1,
// layer by layer and batch by batch.
func (m *spreadRun) each(ctx context.Context, first, last int, fn func(s *tensor.Scope, l int, f *tensor.Tensor, count int) error) error {
	return eachBatch(ctx, m.dev, first, last, m.h, m.w, m.pack, m.cfg.Batch, m.cfg.Workers, func(s *tensor.Scope, x *tensor.Tensor, n int) error {
		fs := m.visual.Forward(s, x, m.cfg.Layers...)
		if err := s.Err(); err != nil {
			return err
		}
		for l, f := range fs {
			if f.Dim() != 4 {
				return fmt.Errorf("%w: layer %s gives features of shape %v, want a map [N, C, h, w]", ErrConfig, m.cfg.Layers[l], f.Shape())
			}
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				err = fn(s, l, f, n)
				return nil
			})
			if err := errors.Join(err, s.Err()); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachBatch calls fn in evaluation with images first to last-1 as a tensor [n, 3, h, w], batch by batch; so many workers pack a batch before.
func eachBatch(ctx context.Context, dev tensor.Device, first, last, h, w int, pack func(ctx context.Context, i int, dst []float32) error, batch, workers int,
	fn func(s *tensor.Scope, x *tensor.Tensor, n int) error) error {
	per := h * w * 3
	pixels := make([]float32, min(batch, last-first)*per)
	for i := first; i < last; i += batch {
		n := min(batch, last-i)
		for _, err := range pipeline.Ordered(ctx, n, max(1, workers), n, func(ctx context.Context, j int) (struct{}, error) {
			return struct{}{}, pack(ctx, i+j, pixels[j*per:(j+1)*per])
		}) {
			if err != nil {
				return err
			}
		}
		if err := tensor.Run(ctx, dev, tensor.Evaluation, func(s *tensor.Scope) error {
			return fn(s, s.FromNHWC(pixels[:n*per], n, h, w, 3), n)
		}); err != nil {
			return fmt.Errorf("tab: good images %d to %d: %w", i, i+n-1, err)
		}
	}
	return nil
}

// positions turns features [n, C, h, w] into rows [n, h*w, C] in double precision.
func positions(s *tensor.Scope, f *tensor.Tensor) *tensor.Tensor {
	sh := f.Shape()
	return s.Cast(s.Reshape(s.Permute(f, 0, 2, 3, 1), sh[0], sh[2]*sh[3], sh[1]), tensor.Float64)
}

// sums adds the features of a batch to the moments of half k.
func (m *spreadRun) sums(s *tensor.Scope, k, l int, f *tensor.Tensor, count int) error {
	c, h, w := f.Size(1), f.Size(2), f.Size(3)
	p := h * w
	f = positions(s, f)
	if m.moments[0] == nil {
		m.moments = [2][]moments{make([]moments, len(m.cfg.Layers)), make([]moments, len(m.cfg.Layers))}
	}
	mom := &m.moments[k][l]
	if mom.sum == nil {
		shift := m.moments[0][l].shift
		if shift == nil {
			var err error
			if shift, err = s.Float64s(s.Narrow(f, 0, 0, 1)); err != nil {
				return err
			}
		}
		*mom = moments{c: int(c), h: int(h), w: int(w), shift: shift, sum: make([]float64, c*p), square: make([]float64, c*c)}
	}
	v := s.Minus(f, s.FromFloat64s(mom.shift, 1, p, c))
	rows := s.Reshape(v, int64(count)*p, c)
	sum, err := s.Float64s(s.Sum(v, false, 0))
	if err != nil {
		return err
	}
	square, err := s.Float64s(s.MatMul(s.Transpose(rows, 0, 1), rows))
	if err != nil {
		return err
	}
	mom.add(&moments{n: count, sum: sum, square: square})
	return nil
}

// solve turns moments into means, covariance and whitening matrix.
func (m *spreadRun) solve(ctx context.Context, l int, mom *moments) (*spread, error) {
	c, p, n := mom.c, mom.h*mom.w, float64(mom.n)
	sp := &spread{Layer: m.cfg.Layers[l], C: c, H: mom.h, W: mom.w, Images: mom.n, Mean: make([]float64, len(mom.sum)), Covariance: make([]float64, c*c)}
	for i, v := range mom.sum {
		sp.Mean[i] = mom.shift[i] + v/n
	}
	err := tensor.Run(ctx, tensor.CPU, tensor.Evaluation, func(s *tensor.Scope) error {
		sum := s.FromFloat64s(mom.sum, int64(p), int64(c))
		between, err := s.Float64s(s.MatMul(s.Transpose(sum, 0, 1), sum))
		if err != nil {
			return err
		}
		for i := range sp.Covariance {
			sp.Covariance[i] = (mom.square[i] - between[i]/n) / (float64(p) * (n - 1))
		}
		tr := trace(sp.Covariance, c)
		// Rounding leaves a little where nothing differs; anything real is far above.
		if !(tr > 1e-12*energy(mom.shift)/float64(p)) {
			return fmt.Errorf("%w: %d good images are all the same at %s, so nothing can be said about how good parts differ", ErrConfig, mom.n, sp.Layer)
		}
		ridged := slices.Clone(sp.Covariance)
		if m.cfg.Diagonal != nil && m.cfg.Diagonal(sp.Layer) {
			for i := range ridged {
				if i%(c+1) != 0 {
					ridged[i] = 0
				}
			}
		}
		for i := 0; i < len(ridged); i += c + 1 {
			ridged[i] += m.cfg.Ridge * tr / float64(c)
		}
		root := s.Cholesky(s.FromFloat64s(ridged, int64(c), int64(c)))
		sp.Whiten, err = s.Float64s(s.Transpose(s.SolveLower(root, s.Cast(s.Eye(int64(c)), tensor.Float64)), 0, 1))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("tab: spread of good images: %w", err)
	}
	return sp, nil
}

// energy is the sum of squares.
func energy(v []float64) float64 {
	e := 0.0
	for _, x := range v {
		e += x * x
	}
	return e
}

// trace is that of a matrix [c, c].
func trace(m []float64, c int) float64 {
	t := 0.0
	for i := 0; i < len(m); i += c + 1 {
		t += m[i]
	}
	return t
}
