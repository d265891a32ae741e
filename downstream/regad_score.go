package downstream

import (
	"context"
	"image"
	"iter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Score judges images of any size, in their order: see [Detector].
func (r *RegAD) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &r.core, r, imgs)
}

// ScoreSet judges a data set: see [Detector].
func (r *RegAD) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return scoreSet(ctx, &r.core, r, ds)
}

// ScoreSeq judges images as they come: see [Detector].
func (r *RegAD) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return scoreSeq(ctx, &r.core, r, imgs)
}

// Calibrate chooses a threshold: see [Detector]. The next Fit, Train or Reset takes it away.
func (r *RegAD) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &r.core, r, parts, rule)
}

// Recalibrate chooses another threshold from the scores of the last Calibrate, or returns [ErrNotCalibrated].
func (r *RegAD) Recalibrate(ctx context.Context, rule metrics.Rule) (*Calibration, error) {
	return recalibrate(ctx, &r.core, rule)
}

// Calibration returns the calibration in force. It returns [ErrNotCalibrated] if there
// is none.
func (r *RegAD) Calibration() (*Calibration, error) { return calibrationNow(&r.core) }

func (r *RegAD) judge(ctx context.Context, by judging) (*Calibration, error) {
	return judge(ctx, &r.core, by)
}

// score scores one batch.
func (r *RegAD) score(ctx context.Context, g *supports, b *feed.Batch, out []Result) error {
	err := tensor.Run(ctx, r.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		maps := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			dist := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				return g.stats.Distances(s, g.net.Features(s, s.FromNHWC(b.Pixels, b.N, g.InH, g.InW, 3)))
			})
			return g.Smooth(s, s.Reshape(s.Transpose(dist, 0, 1), int64(b.N), int64(g.GridH), int64(g.GridW)))
		})
		for i := range out {
			if err := s.FloatsInto(out[i].Map.Data, s.Select(maps, 0, int64(i))); err != nil {
				return err
			}
		}
		return s.Err()
	})
	if err != nil {
		return err
	}
	for i := range out {
		out[i].Score = out[i].Map.Max()
	}
	return nil
}
