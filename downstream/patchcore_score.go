package downstream

import (
	"context"
	"image"
	"iter"
	"math"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/feed"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

const (
	// queryBlock and bankBlock are how many patches of an image and of the bank
	// are compared at once: 16 MB of products.
	queryBlock = 1024
	bankBlock  = 4096
)

// Score judges images of any size, in their order. Several images are read and
// scored in parallel: cut into batches of nearly equal size, each a Run of one
// thread, as many at once as tensor's thread budget has cores. A single image
// takes one Run with the threads of ctx or the budget.
//
// The score of an image does not depend on its company but for float32 rounding
// (below 1e-5 relative). Errors wrap [ErrNotFitted], [ErrImage] or
// [ErrNotFinite], or are ctx's; there is no partial result.
func (p *PatchCore) Score(ctx context.Context, imgs ...image.Image) ([]Result, error) {
	return scoreImages(ctx, &p.core, p, imgs)
}

// ScoreSet scores a whole data set and yields its samples in order. Reading,
// transforming and scoring go on in parallel and a few batches ahead of the
// loop; memory does not grow with the data set. An error, also ctx's, is yielded
// once and ends the iteration. When the iteration ends, for whatever reason, all
// its goroutines have ended.
func (p *PatchCore) ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error] {
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
func (p *PatchCore) ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error] {
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
func (p *PatchCore) Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error) {
	return calibrate(ctx, &p.core, p, parts, rule)
}

// Recalibrate chooses another threshold from the scores that the last Calibrate kept,
// without images. It returns [ErrNotCalibrated] if there was none, [ErrConfig] for a
// rule that makes no sense, and [ErrTooFewImages] for one that promises more than so
// many parts can.
func (p *PatchCore) Recalibrate(ctx context.Context, rule metrics.Rule) (*Calibration, error) {
	return recalibrate(ctx, &p.core, rule)
}

// Calibration returns the calibration in force. It returns [ErrNotCalibrated] if there
// is none.
func (p *PatchCore) Calibration() (*Calibration, error) { return calibrationNow(&p.core) }

func (p *PatchCore) judge(ctx context.Context, by judging) (*Calibration, error) {
	return judge(ctx, &p.core, by)
}

// score scores one batch.
func (p *PatchCore) score(ctx context.Context, g *patchBank, b *feed.Batch, out []Result) error {
	grid := g.GridH * g.GridW
	return tensor.Run(ctx, p.core.Dev, tensor.Evaluation, func(s *tensor.Scope) error {
		e := p.core.Vectors(s, g, b)
		if err := s.Err(); err != nil {
			return err
		}
		patches := s.Reshape(e, int64(b.N*grid), int64(p.emb.Count))
		s.AddInto(patches, g.mean, -1)
		for i := range out {
			var err error
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				out[i].Score, err = p.scoreImage(s, g, s.Narrow(patches, 0, int64(i*grid), int64(grid)), out[i].Map.Data)
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// scoreImage scores the patches q [P, C] of one image and fills its map.
func (p *PatchCore) scoreImage(s *tensor.Scope, g *patchBank, q *tensor.Tensor, into []float32) (float64, error) {
	d, at, err := nearestPatches(s, g, q)
	if err != nil {
		return 0, err
	}
	top := 0
	for i, v := range d {
		if v != v {
			return math.NaN(), nil
		}
		if v > d[top] {
			top = i
		}
	}
	score := float64(d[top])
	if !p.cfg.Squared {
		score = math.Sqrt(score)
		for i, v := range d {
			d[i] = float32(math.Sqrt(float64(v)))
		}
	}
	if p.cfg.Neighbours > 0 {
		w, err := p.weight(s, g, s.Narrow(q, 0, int64(top), 1), at[top])
		if err != nil {
			return 0, err
		}
		score *= w
	}
	values := s.FromFloats(d, int64(g.GridH), int64(g.GridW))
	return score, s.FloatsInto(into, g.Smooth(s, values))
}

// nearestPatches returns for every row of q [Q, C] the squared distance to its
// nearest patch of the bank and which that is.
//
// |q-b|^2 = |q|^2 - 2 q.b + |b|^2 is smallest where q.b - |b|^2/2 is largest: a
// product of matrices, block by block. It only finds the neighbour; the distance
// to that is then computed from the difference, since in the expansion the
// leading digits of small distances cancel.
func nearestPatches(s *tensor.Scope, g *patchBank, q *tensor.Tensor) (dist []float32, at []int64, err error) {
	n := int(q.Size(0))
	dist, at = make([]float32, n), make([]int64, n)
	found := make([]float32, min(n, queryBlock))
	for lo := 0; lo < n; lo += queryBlock {
		rows := min(queryBlock, n-lo)
		for first := 0; first < g.count; first += bankBlock {
			s.Sub(func(s *tensor.Scope) *tensor.Tensor {
				k := int64(min(bankBlock, g.count-first))
				part := s.Narrow(q, 0, int64(lo), int64(rows))
				block := s.Narrow(g.patches, 0, int64(first), k)
				near := s.Sub(func(s *tensor.Scope) *tensor.Tensor {
					return s.ArgMax(s.Linear(part, block, s.Narrow(g.half, 0, int64(first), k)), 1)
				})
				var index []int64
				if index, err = s.Ints(near); err != nil {
					return nil
				}
				d := s.Sum(s.Square(s.Minus(part, s.IndexSelect(block, 0, near))), false, 1)
				if err = s.FloatsInto(found[:rows], d); err != nil {
					return nil
				}
				for i, v := range found[:rows] {
					// NaN of the first block stays, and is found by the caller.
					if first == 0 || v < dist[lo+i] {
						dist[lo+i], at[lo+i] = v, int64(first)+index[i]
					}
				}
				return nil
			})
			if err != nil {
				return nil, nil, err
			}
		}
	}
	return dist, at, s.Err()
}

// weight is the factor of the article's re-weighting (eq. 7) for the patch q
// [1, C] whose nearest neighbour is patch m of the bank. Distances are squared by
// no setting here.
func (p *PatchCore) weight(s *tensor.Scope, g *patchBank, q *tensor.Tensor, m int64) (float64, error) {
	_, near := s.TopK(s.Linear(s.Narrow(g.patches, 0, m, 1), g.patches, g.half), int64(p.cfg.Neighbours), 1, true)
	index, err := s.Ints(near)
	if err != nil {
		return 0, err
	}
	squares, err := s.Floats(s.Sum(s.Square(s.Minus(s.IndexSelect(g.patches, 0, s.FromInts(index, int64(len(index)))), q)), false, 1))
	if err != nil {
		return 0, err
	}
	own, err := s.Float(s.Sum(s.Square(s.Minus(s.Narrow(g.patches, 0, m, 1), q)), false, 0, 1))
	if err != nil {
		return 0, err
	}
	return reweight(math.Sqrt(own), squares), nil
}

// reweight returns 1 - exp(d) / sum(exp(sqrt(squares))); relative to d, so that
// large distances do not overflow.
func reweight(d float64, squares []float32) float64 {
	sum := 0.0
	for _, v := range squares {
		sum += math.Exp(math.Sqrt(float64(v)) - d)
	}
	return 1 - 1/sum
}
