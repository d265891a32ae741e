package downstream

import (
	"context"
	"fmt"
	"image"
	"iter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/rd4ad"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Score judges images of any size, in their order: see [Detector].
func (p *RD4AD) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &p.core, p, imgs)
}

// ScoreSet judges a data set: see [Detector].
func (p *RD4AD) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return scoreSet(ctx, &p.core, p, ds)
}

// ScoreSeq judges images as they come: see [Detector].
func (p *RD4AD) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return scoreSeq(ctx, &p.core, p, imgs)
}

// Calibrate chooses a threshold: see [Detector]. The next Fit or Reset takes it away.
func (p *RD4AD) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &p.core, p, parts, rule)
}

// Recalibrate chooses another threshold from the scores of the last Calibrate, or returns [ErrNotCalibrated].
func (p *RD4AD) Recalibrate(ctx context.Context, rule metrics.Rule) (*Calibration, error) {
	return recalibrate(ctx, &p.core, rule)
}

// Calibration returns the calibration in force. It returns [ErrNotCalibrated] if there
// is none.
func (p *RD4AD) Calibration() (*Calibration, error) { return calibrationNow(&p.core) }

func (p *RD4AD) judge(ctx context.Context, by judging) (*Calibration, error) {
	return judge(ctx, &p.core, by)
}

// score scores one batch.
func (p *RD4AD) score(ctx context.Context, g *distilled, b *feed.Batch, out []Result) error {
	err := tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		maps := p.teach(s, g, b)
		if err := s.Err(); err != nil {
			return err
		}
		whole := rd4ad.Unlike(s, g.levels, maps, g.folded.Forward(s, maps))
		for i := range out {
			if err := s.FloatsInto(out[i].Map.Data, s.Select(whole, 0, int64(i))); err != nil {
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

// teach returns the extractor's maps of a batch; maps that are not as they were
// when fitted fail s.
func (p *RD4AD) teach(s *tensor.Scope, g *distilled, b *feed.Batch) []*tensor.Tensor {
	maps := p.sel.Fe.Forward(s, s.FromNHWC(b.Pixels, b.N, g.InH, g.InW, 3), p.cfg.Layers...)
	for i, m := range maps {
		want := g.shapes[i]
		if sh := m.Shape(); s.Err() == nil && (len(sh) != 4 || sh[0] != int64(b.N) || sh[1] != int64(want.C) || sh[2] != int64(want.H) || sh[3] != int64(want.W)) {
			s.Fail(fmt.Errorf("%w: %s is %v for %d images, when fitted it had %d channels on %dx%d", ErrLayers, p.cfg.Layers[i], sh, b.N, want.C, want.W, want.H))
		}
	}
	return maps
}
