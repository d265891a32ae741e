package downstream

import (
	"context"
	"image"
	"iter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/padim"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Score judges images of any size, in their order: see [Detector].
func (p *PaDiM) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &p.core, p, imgs)
}

// ScoreSet judges a data set: see [Detector].
func (p *PaDiM) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return scoreSet(ctx, &p.core, p, ds)
}

// ScoreSeq judges images as they come: see [Detector].
func (p *PaDiM) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return scoreSeq(ctx, &p.core, p, imgs)
}

// Calibrate chooses a threshold: see [Detector]. The next Fit, Update or Reset takes it away.
func (p *PaDiM) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &p.core, p, parts, rule)
}

// Recalibrate chooses another threshold from the scores of the last Calibrate, or returns [ErrNotCalibrated].
func (p *PaDiM) Recalibrate(ctx context.Context, rule metrics.Rule) (*Calibration, error) {
	return recalibrate(ctx, &p.core, rule)
}

// Calibration returns the calibration in force. It returns [ErrNotCalibrated] if there
// is none.
func (p *PaDiM) Calibration() (*Calibration, error) { return calibrationNow(&p.core) }

func (p *PaDiM) judge(ctx context.Context, by judging) (*Calibration, error) {
	return judge(ctx, &p.core, by)
}

// score scores one batch.
func (p *PaDiM) score(ctx context.Context, g *gaussians, b *feed.Batch, out []Result) error {
	err := tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		maps := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
			dist := s.Sub(func(s *tensor.Scope) *tensor.Tensor { return p.distances(s, g, b) })
			return g.Smooth(s, s.Reshape(dist, int64(b.N), int64(g.GridH), int64(g.GridW)))
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

// distances returns those of the positions of a batch, [n, P].
func (p *PaDiM) distances(s *tensor.Scope, g *gaussians, b *feed.Batch) *tensor.Tensor {
	maps := p.sel.Maps(s, s.FromNHWC(b.Pixels, b.N, g.InH, g.InW, 3))
	if s.Err() != nil {
		return nil
	}
	if err := p.core.SameGrid(g, maps[0].Size(2), maps[0].Size(3)); err != nil {
		s.Fail(err)
		return nil
	}
	if padim.Gathers(maps) {
		return g.DistancesOf(s, maps, p.sel.Groups(), p.form())
	}
	return g.Distances(s, p.sel.Join(s, maps), p.form())
}
