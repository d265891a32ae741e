package downstream

import (
	"context"
	"errors"
	"fmt"
	"image"
	"iter"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/downstream/internal/simplenet"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Score judges images of any size, in their order: see [Detector].
func (p *SimpleNet) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &p.core, p, imgs)
}

// ScoreSet judges a data set: see [Detector].
func (p *SimpleNet) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return scoreSet(ctx, &p.core, p, ds)
}

// ScoreSeq judges images as they come: see [Detector].
func (p *SimpleNet) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return scoreSeq(ctx, &p.core, p, imgs)
}

// Calibrate chooses a threshold: see [Detector]. The next Fit or Reset takes it away.
func (p *SimpleNet) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &p.core, p, parts, rule)
}

// Recalibrate chooses another threshold from the scores of the last Calibrate, or returns [ErrNotCalibrated].
func (p *SimpleNet) Recalibrate(ctx context.Context, rule metrics.Rule) (*Calibration, error) {
	return recalibrate(ctx, &p.core, rule)
}

// Calibration returns the calibration in force. It returns [ErrNotCalibrated] if there
// is none.
func (p *SimpleNet) Calibration() (*Calibration, error) { return calibrationNow(&p.core) }

func (p *SimpleNet) judge(ctx context.Context, by judging) (*Calibration, error) {
	return judge(ctx, &p.core, by)
}

// score scores one batch. What comes after the backbone is done image by image:
// it is as fast, and the wide layers of one image stay in the cache.
func (p *SimpleNet) score(ctx context.Context, g *simpleModel, b *feed.Batch, out []Result) error {
	return tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		maps := p.emb.Fe.Forward(s, s.FromNHWC(b.Pixels, b.N, g.InH, g.InW, 3), p.emb.Layers...)
		if err := s.Err(); err != nil {
			return err
		}
		for i := range out {
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				one := make([]*tensor.Tensor, len(maps))
				for k, m := range maps {
					one[k] = s.Narrow(m, 0, int64(i), 1)
				}
				err = g.scoreImage(s, p.emb.Parts(s, one), &out[i])
				return nil
			})
			if err := errors.Join(err, s.Err()); err != nil {
				return err
			}
		}
		return nil
	})
}

// scoreImage scores the pooled layers of one image.
func (g *simpleModel) scoreImage(s *tensor.Scope, parts []*tensor.Tensor, out *Result) error {
	if err := s.Err(); err != nil {
		return err
	}
	if h, w := int(parts[0].Size(2)), int(parts[0].Size(3)); h != g.GridH || w != g.GridW {
		return fmt.Errorf("%w: the grid is %dx%d, when fitted it was %dx%d", ErrLayers, w, h, g.GridW, g.GridH)
	}
	patches := s.Reshape(g.Scores(s, parts), int64(g.GridH), int64(g.GridW))
	values, err := s.Floats(patches)
	if err != nil {
		return err
	}
	out.Score = Map{Data: values}.Max()
	return s.FloatsInto(out.Map.Data, g.Smooth(s, patches))
}

// complete puts into g what scoring needs of trained weights. After an error
// g's memory is freed.
func (p *SimpleNet) complete(ctx context.Context, g *simpleModel, trained []tensor.Array) (_ *simpleModel, err error) {
	defer func() {
		if err != nil {
			_ = g.Params.Close() // frees memory, cannot fail
		}
	}()
	if g.Matrices, err = simplenet.NewMatrices(ctx, g.Params, trained); err != nil {
		return nil, err
	}
	g.trained = trained
	if err := g.AddSmoothing(ctx, p.cfg.Sigma); err != nil {
		return nil, err
	}
	if err := p.core.Identify(ctx, g.Common()); err != nil {
		return nil, err
	}
	return g, nil
}
