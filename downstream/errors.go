package downstream

import (
	"errors"

	"github.com/gotab/gotab/tensor"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrClosed reports the use of a detector or classifier after Close. It is
	// [tensor.ErrClosed].
	ErrClosed = tensor.ErrClosed
	// ErrNotFitted reports a detector or classifier that is asked to judge, or to
	// be saved, before Fit or after Reset.
	ErrNotFitted = errors.New("not fitted")
	// ErrNotCalibrated reports a verdict that is asked of a detector, or of a result
	// of one, that has no calibration: before Calibrate, and after the next Fit,
	// Update, Train or Reset.
	ErrNotCalibrated = errors.New("not calibrated")
	// ErrCalibration reports parts that no calibration can be made of.
	ErrCalibration = errors.New("no calibration can be made of these parts")
	// ErrSeen reports an image that a detector is to be calibrated on and was fitted
	// on.
	ErrSeen = errors.New("image was used for the fit")
	// ErrConfig reports a setting that makes no sense.
	ErrConfig = errors.New("invalid setting")
	// ErrLayers reports layers that the extractor does not have, or that give
	// nothing a detector can use.
	ErrLayers = errors.New("layers do not fit the extractor")
	// ErrChannels reports chosen channels that the layers do not have.
	ErrChannels = errors.New("channels do not fit the layers")
	// ErrTooFewImages reports fewer good images than the statistics need.
	ErrTooFewImages = errors.New("too few images")
	// ErrNotNormal reports an image that is not known to be good, because it is
	// labelled defective or not labelled, among those that a detector is fitted on.
	ErrNotNormal = errors.New("image is not a normal one")
	// ErrImage reports an image that cannot be scored: none, or of another size
	// after the transform than those of the fit.
	ErrImage = errors.New("image does not fit")
	// ErrNotFinite reports features or scores that are NaN or infinite, as
	// damaged weights give.
	ErrNotFinite = errors.New("value is not finite")
	// ErrLabels reports labels that nothing can be learnt from, or that do not fit
	// the samples.
	ErrLabels = errors.New("labels do not fit")
	// ErrClass reports samples whose class does not fit what is done with them:
	// there is none where classes matter, or RegAD is given support images of a
	// class that it was trained on.
	ErrClass = errors.New("class does not fit")
	// ErrNotTrained reports a RegAD that is asked to fit, or to be saved, before
	// Train or after Reset.
	ErrNotTrained = errors.New("detector is not trained")
	// ErrCheckpoint reports a checkpoint of another training than the one that is to
	// go on from it.
	ErrCheckpoint = errors.New("checkpoint is of another training")
	// ErrDiverged reports a loss or a gradient that is not a finite number, or
	// weights that the last step made so.
	ErrDiverged = errors.New("training diverged")
	// ErrFile reports a saved detector or classifier that is damaged or of another
	// kind.
	ErrFile = errors.New("damaged, or another kind of file")
	// ErrExtractor reports a saved detector or classifier that was fitted with
	// another backbone, or other weights, than it is loaded with.
	ErrExtractor = errors.New("extractor is not the one of the fit")
)
