package downstream

import (
	"context"
	"image"
	"io"
	"iter"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream/internal/engine"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// Extractor gives the features that detectors look at. *backbone.ResNet18 is
// one. Forward runs in an evaluation Run on x [N, 3, H, W] and returns maps
// [N, C, h, w] in the order of at; it may be called from several Runs at once.
// Channels is the C of a layer, 0 for a layer that there is not. Device is where its
// weights are, and where a detector on it works.
type Extractor interface {
	Channels(l backbone.Layer) int
	Forward(s *tensor.Scope, x *tensor.Tensor, at ...backbone.Layer) []*tensor.Tensor
	Device() tensor.Device
}

// Result is what a detector says about one image. [Result.Verdict] says whether to
// reject it, if the detector is calibrated.
type Result struct {
	// Score is higher for more abnormal images; it is comparable only within one
	// fitted detector.
	Score float64
	// Map says where.
	Map Map

	calibration *Calibration // that the detector had, nil for none
	tiles       string       // how an image was cut that was seen as tiles; empty where it was seen whole
}

// Scored is the result of one sample of a data set. It leaves out the sample's
// pixels, so that what waits ahead of a loop stays small.
type Scored struct {
	dataset.Item
	// Mask is the sample's mask as the data set gave it, nil where it has none.
	Mask *image.Gray
	Result
}

// Detector is fitted on good images, scores others, and once it is calibrated decides
// about them. All detectors of this package are one.
//
// All methods are safe for concurrent use. Scoring and saving go on with what they began with, whatever
// changes the detector meanwhile: a Fit, Update, Train, Calibrate or Reset. These take their turns in the order of the
// calls, but Close, which comes first.
type Detector interface {
	// Fit learns what good images look like and replaces what an earlier Fit
	// learnt, its calibration too. When it fails or ctx ends, the detector is as it
	// was before. Concurrent Fits run one after another, in the order of the calls.
	Fit(ctx context.Context, normal dataset.Dataset) error
	// Score judges images of any size, in their order. It is safe for concurrent
	// use once fitted. Several images are read and scored in parallel: cut into batches of
	// nearly equal size, each a Run of one thread, as many at once as tensor's thread budget
	// has cores. A single image takes one Run with the threads of ctx or the budget.
	//
	// The score of an image does not depend on its company but for float32 rounding
	// (below 1e-5 relative). Errors wrap [ErrNotFitted], [ErrImage] or
	// [ErrNotFinite], or are ctx's; there is no partial result.
	Score(ctx context.Context, imgs ...image.Image) ([]Result, error)
	// ScoreSet judges a data set and yields its samples in order. Reading,
	// transforming and scoring go on in parallel and a few batches ahead of the
	// loop; memory does not grow with the data set. An error, also ctx's, is yielded
	// once and ends the iteration. When the iteration ends, for whatever reason, all
	// its goroutines have ended.
	ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error]
	// ScoreSeq judges images as they come, such as those of a camera, and yields their
	// results in order, each as soon as it is there. At most two images more than there are
	// cores are taken before their results are handed over; memory does not grow with the
	// sequence. An error, also ctx's, is yielded once and ends the iteration.
	//
	// The sequence runs on a goroutine of its own. When the iteration ends, all scoring has
	// ended, and so has the sequence, which notices with its next image; only where ctx ends
	// it is not waited for. So a sequence that waits for a camera should heed ctx.
	ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error]
	// Calibrate chooses the score from which on a part is rejected, by a rule, from parts
	// that the detector was not fitted on: good ones, and defective ones where there are
	// some. They also give the colour scale of heat maps. From then on [Result.Verdict]
	// decides, and Save keeps the calibration. It replaces an earlier one, and ends with
	// the fit.
	//
	// Every part must be labelled, else it is [ErrLabels]. No good part, or fewer than the
	// rule needs for what it promises, is [ErrTooFewImages]; no defective one where the
	// rule needs some is [ErrLabels]; a rule that makes no sense is [ErrConfig]. An image
	// whose pixels the detector was fitted on is [ErrSeen]; of more than 65,536 images of
	// the fit so many are known. Scores and maps that are not finite are [ErrNotFinite],
	// maps without any spread [ErrCalibration]. After an error, or the end of ctx, the
	// calibration is as it was before. Calibrate takes its turn with Fits and whatever else changes the detector;
	// scoring goes on meanwhile with the calibration before.
	Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error)
	// Save writes the fitted detector, with its calibration, to a file that appears whole or
	// not at all.
	Save(path string) error
	// Close frees what was fitted, for good: all other methods that return an error wrap
	// [ErrClosed] from then on. It does not wait: scoring that is going on ends as it would have,
	// and a Fit that is going on, or waits, is cancelled and returns [ErrClosed]. The extractor
	// must live until these have returned. Closing twice is harmless.
	io.Closer
}

// SetScorer is another name of [Detector], from when that did not score data sets.
type SetScorer = Detector

// whoIs names a detector of this package in messages.
func whoIs(name string) engine.Who { return engine.Who{Pkg: "downstream", Name: name} }
