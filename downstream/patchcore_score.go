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
func (p *PatchCore) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &p.core, p, imgs)
}

// ScoreSet judges a data set: see [Detector].
func (p *PatchCore) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return scoreSet(ctx, &p.core, p, ds)
}

// ScoreSeq judges images as they come: see [Detector].
func (p *PatchCore) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return scoreSeq(ctx, &p.core, p, imgs)
}

// Calibrate chooses a threshold: see [Detector]. The next Fit or Reset takes it away.
func (p *PatchCore) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &p.core, p, parts, rule)
}

// Recalibrate chooses another threshold from the scores of the last Calibrate, or returns [ErrNotCalibrated].
func (p *PatchCore) Recalibrate(ctx context.Context, rule metrics.Rule) (*Calibration, error) {
	return recalibrate(ctx, &p.core, rule)
}

// Calibration returns the calibration in force. It returns [ErrNotCalibrated] if there
// is none.
func (p *PatchCore) Calibration() (*Calibration, error) { return calibrationNow(&p.core) }

func (p *PatchCore) judge(ctx context.Context, by judging) (*Calibration, error) {
	return judge(ctx, &p.core, by)
}

// Score scores one batch.
func (p *PatchCore) score(ctx context.Context, g *patchBank, b *feed.Batch, out []Result) error {
	grid := g.GridH * g.GridW
	return tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		e := p.core.Vectors(s, g, b)
		if err := s.Err(); err != nil {
			return err
		}
		patches := s.Reshape(e, int64(b.N*grid), int64(p.emb.Count))
		s.AddInto(patches, g.Mean, -1)
		for i := range out {
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				var d []float32
				if out[i].Score, d, err = g.Score(s, s.Narrow(patches, 0, int64(i*grid), int64(grid)), p.cfg.Neighbours, p.cfg.Squared, !p.cfg.Approximate); err == nil {
					err = s.FloatsInto(out[i].Map.Data, g.Smooth(s, s.FromFloats(d, int64(g.GridH), int64(g.GridW))))
				}
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
