package downstream

import (
	"context"
	"fmt"
	"image"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
)

// Update adds good images, at least one, to the statistics of a fitted detector,
// also of one that was read from a file: afterwards it is what Fit would have
// made of the earlier images and these together, whose pixels are not needed
// again. Scores of the two differ by rounding only, by less than 1e-4 of a map's
// largest value (a test holds it there), also after many updates.
//
// With n images, mean m and covariance S before, and x the further images, all
// N together have
//
//	m' = m + s/N,  S' = ((n-1) (S - Epsilon I) + Q - s s^T / N) / (N-1) + Epsilon I
//
// where s is the sum of x-m and Q that of (x-m)(x-m)^T, which are streams as in
// Fit (Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
// computing sample variances", 1979). The detector keeps L^-1 of S = L L^T only;
// S is built of it in double precision, a block of positions at a time. Memory is
// that of a Fit and, until the end, the statistics before ([PaDiMConfig.Estimate]); it
// depends on no number of images.
//
// Scoring goes on meanwhile with the statistics before. Concurrent Fits and Updates
// run one after another, in the order of the calls; ctx ends the wait too. After an
// error, or the end of ctx, the detector is as it was before. Errors are those of Fit; besides, a detector that is not fitted is
// [ErrNotFitted], images of another size after the transform are [ErrImage],
// and an extractor whose weights have changed since the fit is [ErrExtractor].
func (p *PaDiM) Update(ctx context.Context, more dataset.Dataset) error {
	return p.core.Refit(ctx, "update", func(ctx context.Context) (*gaussians, error) {
		before, ok := p.core.Current.Hold()
		if !ok {
			return nil, ErrNotFitted
		}
		defer p.core.Release(before)
		return p.update(ctx, before, more)
	})
}

func (p *PaDiM) update(ctx context.Context, before *gaussians, more dataset.Dataset) (*gaussians, error) {
	if more == nil || more.Len() == 0 {
		return nil, fmt.Errorf("%w: there is none to add", ErrTooFewImages)
	}
	from, seen, err := feed.FitImages(more, p.cfg.Transform)
	if err != nil {
		return nil, err
	}
	if err := p.core.Identify(ctx, before.Common()); err != nil {
		return nil, err
	}
	size := image.Pt(before.InW, before.InH)
	g, err := p.gather(ctx, "update", size, before, from, more.Len())
	if err == nil {
		g.seen = seen.With(before.seen)
	}
	return g, err
}
