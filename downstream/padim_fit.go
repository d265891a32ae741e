package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/network"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

// whitenBlock is how many positions are turned into whitening matrices at once:
// small enough that their double-precision copies do not weigh.
const whitenBlock = 56

// Fit estimates the Gaussians from good images, at least two, and replaces those
// of an earlier Fit. It reads every image once.
//
// The statistics are streams: with a the mean of the first batch, each batch
// adds sum(x-a) and sum((x-a)(x-a)^T) to one vector and one matrix a position,
// and at the end
//
//	m = a + s/n,  S = (Q - s s^T / n) / (n-1) + Epsilon I.
//
// Shifting by a keeps Q at the size of the variance, so that nothing cancels and
// float32 is enough: the covariance of 4,096 images differs from one in double
// precision by less than 1e-5 of its trace (a test holds it there). Memory does
// not depend on the number of images ([EstimatePaDiM]). The sums are taken in
// the order of the data set whatever the number of workers.
//
// A sample that says it is anomalous is [ErrNotNormal], features that are not
// finite are [ErrNotFinite]; both name the sample. After an error, or the end
// of ctx, the detector is as it was before. Concurrent Fits run one after another,
// in the order of the calls; ctx ends the wait too. A Fit that Close ends is
// [ErrClosed].
func (p *PaDiM) Fit(ctx context.Context, normal dataset.Dataset) error {
	return p.core.Refit(ctx, "fit", func(ctx context.Context) (*gaussians, error) { return p.fit(ctx, normal) })
}

func (p *PaDiM) fit(ctx context.Context, normal dataset.Dataset) (*gaussians, error) {
	if normal == nil {
		return nil, fmt.Errorf("%w: the data set is nil", ErrTooFewImages)
	}
	n := normal.Len()
	if n < 2 {
		return nil, fmt.Errorf("%w: have %d, a covariance needs 2 or more", ErrTooFewImages, n)
	}
	from, seen, err := feed.FitImages(normal, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	size, err := p.core.In.InputSize(ctx, from)
	if err != nil {
		return nil, err
	}
	g, err := p.gather(ctx, "fit", &moments{p: p, size: size}, from, n)
	if err == nil {
		g.seen = seen.With(nil)
	}
	return g, err
}

// gather adds n images to acc and makes Gaussians of it. stage names it to whoever
// watches the progress.
func (p *PaDiM) gather(ctx context.Context, stage string, acc *moments, from feed.Pictures, n int) (*gaussians, error) {
	defer acc.close()
	// One thread a Run and as many Runs as cores: convolutions of one batch
	// scale worse over threads than batches do over cores.
	ctx = tensor.WithThreads(ctx, 1)
	cores := tensor.GetThreads().Cores
	cut := feed.Spans(n, p.cfg.Batch, 1)
	done := 0
	for f, err := range pipeline.Ordered(ctx, len(cut), cores+1, cores+1, func(ctx context.Context, i int) (*features, error) {
		return p.features(ctx, from, cut[i], acc.size)
	}) {
		if err == nil {
			err = acc.add(ctx, f)
		}
		if err != nil {
			return nil, err
		}
		p.core.In.Put(f.values)
		done += f.n
		p.core.Report(stage, done, n)
	}
	return acc.finish(ctx, cores)
}

// features is one batch on the host.
type features struct {
	values []float32 // n h w C
	n      int
	h, w   int
}

// features runs the network over images span[0] to span[1]-1.
func (p *PaDiM) features(ctx context.Context, from feed.Pictures, span [2]int, size image.Point) (*features, error) {
	b, err := p.core.In.Pack(ctx, from, span[0], span[1], size)
	if err != nil {
		return nil, err
	}
	f := &features{n: b.N}
	err = tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		e := p.sel.Embed(s, s.FromNHWC(b.Pixels, b.N, size.Y, size.X, 3))
		if err := s.Err(); err != nil {
			return err
		}
		f.h, f.w = int(e.Size(1)), int(e.Size(2))
		f.values = p.core.In.Get(int(e.Len()))
		return s.FloatsInto(f.values, e)
	})
	p.core.In.Put(b.Pixels)
	if err != nil {
		return nil, err
	}
	per := len(f.values) / f.n
	for i := range f.n {
		if v, ok := network.NotFinite(f.values[i*per:][:per]); ok {
			return nil, fmt.Errorf("features of image %s: %w: %v", b.Names[i], ErrNotFinite, v)
		}
	}
	return f, nil
}

// moments are the streams of a fit, or of an update of what an earlier one left.
type moments struct {
	p      *PaDiM
	size   image.Point
	before *gaussians     // of an update, else nil: their mean is the shift
	kept   *tensor.Params // mean (the shift until finish) and whitening (Q until finish)
	passed *tensor.Params // the vector sums
	n      int            // images, those of before included
	h, w   int
}

func (m *moments) close() {
	// Closing frees memory and cannot fail.
	_ = m.kept.Close()
	_ = m.passed.Close()
}

func (m *moments) add(ctx context.Context, f *features) error {
	first := m.kept == nil
	if first {
		m.h, m.w = f.h, f.w
		m.kept, m.passed = tensor.NewParams(m.p.core.Dev), tensor.NewParams(m.p.core.Dev)
		if g := m.before; g != nil {
			m.h, m.w, m.n = g.GridH, g.GridW, g.Images
		}
	}
	if f.h != m.h || f.w != m.w {
		return fmt.Errorf("%w: the grid is %dx%d, before it was %dx%d", ErrLayers, f.w, f.h, m.w, m.h)
	}
	grid, c := int64(m.h*m.w), int64(m.p.sel.Count)
	err := tensor.Run(ctx, m.p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		x := s.FromFloats(f.values, int64(f.n), grid, c)
		if first {
			shift := s.Mean(x, false, 0)
			if m.before != nil {
				shift = s.Clone(m.before.mean)
			}
			if err := errors.Join(
				m.kept.PutBuffer(s, "mean", shift),
				m.kept.PutBuffer(s, "whitening", s.Zeros(grid, c, c)),
				m.passed.PutBuffer(s, "sum", s.Zeros(grid, c)),
			); err != nil {
				return err
			}
		}
		s.AddInto(x, m.kept.Get("mean"), -1)
		s.AddInto(m.passed.Get("sum"), s.Sum(x, false, 0), 1)
		d := s.Permute(x, 1, 0, 2) // [P, n, C]
		s.AddBmmInto(m.kept.Get("whitening"), s.Transpose(d, 1, 2), d, 1)
		return s.Err()
	})
	m.n += f.n
	return err
}

// Finish turns the sums into Gaussians, in place and a block of positions at a
// time. The moments are empty afterwards.
func (m *moments) finish(ctx context.Context, cores int) (*gaussians, error) {
	grid, c := m.h*m.w, int64(m.p.sel.Count)
	n := float64(m.n)
	mean, q, sum := m.kept.Get("mean"), m.kept.Get("whitening"), m.passed.Get("sum")
	blocks := (grid + whitenBlock - 1) / whitenBlock
	for _, err := range pipeline.Ordered(ctx, blocks, cores, cores, func(ctx context.Context, i int) (struct{}, error) {
		lo := int64(i * whitenBlock)
		k := min(whitenBlock, int64(grid)-lo)
		return struct{}{}, tensor.Run(ctx, m.p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
			place := s.Narrow(q, 0, lo, k)
			cov := s.Cast(place, tensor.Float64)
			eye := s.Cast(s.Eye(c), tensor.Float64)
			if m.before != nil {
				m.addScatter(s, cov, eye, lo)
			}
			v := s.Cast(s.Narrow(sum, 0, lo, k), tensor.Float64)
			s.AddBmmInto(cov, s.MulScalar(s.Reshape(v, k, c, 1), -1/n), s.Reshape(v, k, 1, c), 1)
			s.ScaleInto(cov, 1/(n-1))
			s.AddInto(cov, s.Expand(eye, k, c, c), m.p.cfg.Epsilon)
			inverse := s.SolveLower(s.Cholesky(cov), s.Expand(eye, k, c, c))
			s.CopyInto(place, s.Transpose(inverse, 1, 2))
			return s.Err()
		})
	}) {
		if err != nil {
			return nil, err
		}
	}
	err := tensor.Run(ctx, m.p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		s.AddInto(mean, sum, 1/n)
		return s.Err()
	})
	if err != nil {
		return nil, err
	}
	if err := m.passed.Close(); err != nil {
		return nil, err
	}
	g := &gaussians{state: state{Model: engine.Model{Params: m.kept, GridH: m.h, GridW: m.w, InW: m.size.X, InH: m.size.Y, Images: m.n}}, mean: mean, whitening: q}
	if err := g.AddSmoothing(ctx, m.p.cfg.Sigma); err != nil {
		return nil, err
	}
	if err = m.p.core.Identify(ctx, g.Common()); err != nil {
		return nil, err
	}
	m.kept = nil // now the model's
	return g, nil
}
