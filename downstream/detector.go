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
type Detector interface {
	// Fit learns what normal images look like and replaces what an earlier Fit
	// learnt, its calibration too. When it fails or ctx ends, the detector is as it
	// was before. Concurrent Fits run one after another, in the order of the calls.
	Fit(ctx context.Context, normal dataset.Dataset) error
	// Score judges images of any size, in their order. It is safe for concurrent
	// use once fitted.
	Score(ctx context.Context, imgs ...image.Image) ([]Result, error)
	// ScoreSet judges a data set and yields its samples in order. An error ends it.
	ScoreSet(ctx context.Context, ds dataset.Dataset) iter.Seq2[Scored, error]
	// ScoreSeq judges images as they come, such as those of a camera, and yields their
	// results in order, each as soon as it is there. An error ends it.
	ScoreSeq(ctx context.Context, imgs iter.Seq[image.Image]) iter.Seq2[Result, error]
	// Calibrate chooses a threshold by a rule, from labelled parts that the detector
	// was not fitted on; [Result.Verdict] then decides by it. When it fails, the
	// calibration is as it was before.
	Calibrate(ctx context.Context, parts dataset.Dataset, rule metrics.Rule) (*Calibration, error)
	// Save writes the fitted detector, with its calibration, to a file.
	Save(path string) error
	// Close ends the detector: a Fit that is going on is cancelled, and all other
	// methods return [ErrClosed] from then on.
	io.Closer
}

// SetScorer is another name of [Detector], from when that did not score data sets.
type SetScorer = Detector

// whoIs names a detector of this package in messages.
func whoIs(name string) engine.Who { return engine.Who{Pkg: "downstream", Name: name} }
