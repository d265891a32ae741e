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

// Score judges images of any size, in their order. Several images are read and
// scored in parallel: cut into batches of nearly equal size, each a Run of one
// thread, as many at once as tensor's thread budget has cores. A single image
// takes one Run with the threads of ctx or the budget.
//
// The score of an image does not depend on its company but for float32 rounding
// (below 1e-5 relative). Errors wrap [ErrNotFitted], [ErrImage] or
// [ErrNotFinite], or are ctx's; there is no partial result.
func (p *SimpleNet) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &p.core, p, imgs)
}

// ScoreSet scores a whole data set and yields its samples in order. Reading,
// transforming and scoring go on in parallel and a few batches ahead of the
// loop; memory does not grow with the data set. An error, also ctx's, is yielded
// once and ends the iteration. When the iteration ends, for whatever reason, all
// its goroutines have ended.
func (p *SimpleNet) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
	return scoreSet(ctx, &p.core, p, ds)
}

// ScoreSeq scores images as they come, such as those of a camera, and yields their
// results in order, each as soon as it is there. At most two images more than there are
// cores are taken before their results are handed over; memory does not grow with the
// sequence. An error, also ctx's, is yielded once and ends the iteration.
//
// The sequence runs on a goroutine of its own. When the iteration ends, all scoring has
// ended, and so has the sequence, which notices with its next image; only where ctx ends
// it is not waited for. So a sequence that waits for a camera should heed ctx.
func (p *SimpleNet) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
	return scoreSeq(ctx, &p.core, p, imgs)
}

// Calibrate chooses the score from which on a part is rejected, by a rule, from parts
// that the detector was not fitted on: good ones, and defective ones where there are
// some. They also give the colour scale of heat maps. From then on [Result.Verdict]
// decides, and Save keeps the calibration. It replaces an earlier one, and ends with
// the fit: the next Fit or Reset takes it away.
//
// Every part must be labelled, else it is [ErrLabels]. No good part, or fewer than the
// rule needs for what it promises, is [ErrTooFewImages]; no defective one where the
// rule needs some is [ErrLabels]; a rule that makes no sense is [ErrConfig]. An image
// whose pixels the detector was fitted on is [ErrSeen]; of more than 65,536 images of
// the fit so many are known. Scores and maps that are not finite are [ErrNotFinite],
// maps without any spread [ErrCalibration]. After an error, or the end of ctx, the
// calibration is as it was before. Calibrate takes its turn with Fits;
// scoring goes on meanwhile with the calibration before.
func (p *SimpleNet) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &p.core, p, parts, rule)
}

// Recalibrate chooses another threshold from the scores that the last Calibrate kept,
// without images. It returns [ErrNotCalibrated] if there was none, [ErrConfig] for a
// rule that makes no sense, and [ErrTooFewImages] for one that promises more than so
// many parts can.
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
