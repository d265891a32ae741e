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

// Score judges images of any size, in their order. Several images are read and
// scored in parallel: cut into batches of nearly equal size, each a Run of one
// thread, as many at once as tensor's thread budget has cores. A single image
// takes one Run with the threads of ctx or the budget.
//
// The score of an image does not depend on its company but for float32 rounding
// (below 1e-5 relative). Errors wrap [ErrNotFitted], [ErrImage] or
// [ErrNotFinite], or are ctx's; there is no partial result.
func (p *RD4AD) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &p.core, p, imgs)
}

// ScoreSet scores a whole data set and yields its samples in order. Reading,
// transforming and scoring go on in parallel and a few batches ahead of the
// loop; memory does not grow with the data set. An error, also ctx's, is yielded
// once and ends the iteration. When the iteration ends, for whatever reason, all
// its goroutines have ended.
func (p *RD4AD) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
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
func (p *RD4AD) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
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
func (p *RD4AD) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &p.core, p, parts, rule)
}

// Recalibrate chooses another threshold from the scores that the last Calibrate kept,
// without images. It returns [ErrNotCalibrated] if there was none, [ErrConfig] for a
// rule that makes no sense, and [ErrTooFewImages] for one that promises more than so
// many parts can.
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
