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
	"github.com/gotab/gotab/downstream/internal/padim"
	"github.com/gotab/gotab/internal/pipeline"
	"github.com/gotab/gotab/tensor"
)

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
// not depend on the number of images ([PaDiMConfig.Estimate]). The sums are taken in
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
	g, err := p.gather(ctx, "fit", size, nil, from, n)
	if err == nil {
		g.seen = seen.With(nil)
	}
	return g, err
}

// gather makes Gaussians of n images, which come out with a size, and of those before
// where there are some. stage names it to whoever watches the progress.
func (p *PaDiM) gather(ctx context.Context, stage string, size image.Point, before *gaussians, from feed.Pictures, n int) (*gaussians, error) {
	var prior *padim.Fit
	if before != nil {
		prior = &padim.Fit{Gaussians: before.Gaussians, H: before.GridH, W: before.GridW, Images: before.Images}
	}
	acc := padim.NewMoments(p.core.Dev, p.sel.Count, p.cfg.Epsilon, prior)
	defer acc.Close()
	// One thread a Run and as many Runs as cores: convolutions of one batch
	// scale worse over threads than batches do over cores.
	ctx = tensor.WithThreads(ctx, 1)
	cores := tensor.GetThreads().Cores
	cut := feed.Spans(n, p.cfg.Batch, 1)
	done := 0
	for f, err := range pipeline.Ordered(ctx, len(cut), cores+1, cores+1, func(ctx context.Context, i int) (*features, error) {
		return p.features(ctx, from, cut[i], size)
	}) {
		if err == nil {
			err = acc.Add(ctx, f.values, f.n, f.h, f.w)
		}
		if err != nil {
			return nil, err
		}
		p.core.In.Put(f.values)
		done += f.n
		p.core.Report(stage, done, n)
	}
	f, err := acc.Finish(ctx, p.form(), cores)
	if err != nil {
		return nil, err
	}
	g := &gaussians{Gaussians: f.Gaussians, state: state{Model: engine.Model{Params: f.Params, GridH: f.H, GridW: f.W, InW: size.X, InH: size.Y, Images: f.Images}}}
	if err := g.AddSmoothing(ctx, p.cfg.Sigma); err != nil {
		return nil, errors.Join(err, g.Free())
	}
	if err := p.core.Identify(ctx, g.Common()); err != nil {
		return nil, errors.Join(err, g.Free())
	}
	return g, nil
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
