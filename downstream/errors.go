package downstream

import (
	"github.com/gotab/gotab/downstream/internal/sentinel"
	"github.com/gotab/gotab/tensor"
)

// Sentinel errors; test for them with errors.Is.
var (
	// ErrClosed reports the use of a detector or classifier after Close. It is
	// [tensor.ErrClosed].
	ErrClosed = tensor.ErrClosed
	// ErrNotFitted reports a detector or classifier that is asked to judge, or to
	// be saved, before Fit or after Reset.
	ErrNotFitted = sentinel.ErrNotFitted
	// ErrNotCalibrated reports a verdict that is asked of a detector, or of a result
	// of one, that has no calibration: before Calibrate, and after the next Fit,
	// Update, Train or Reset.
	ErrNotCalibrated = sentinel.ErrNotCalibrated
	// ErrCalibration reports parts that no calibration can be made of.
	ErrCalibration = sentinel.ErrCalibration
	// ErrSeen reports an image that a detector is to be calibrated on and was fitted
	// on.
	ErrSeen = sentinel.ErrSeen
	// ErrConfig reports a setting that makes no sense.
	ErrConfig = sentinel.ErrConfig
	// ErrLayers reports layers that the extractor does not have, or that give
	// nothing a detector can use.
	ErrLayers = sentinel.ErrLayers
	// ErrChannels reports chosen channels that the layers do not have.
	ErrChannels = sentinel.ErrChannels
	// ErrTooFewImages reports fewer good images than the statistics need.
	ErrTooFewImages = sentinel.ErrTooFewImages
	// ErrNotNormal reports an image that is not known to be good, because it is
	// labelled defective or not labelled, among those that a detector is fitted on.
	ErrNotNormal = sentinel.ErrNotNormal
	// ErrImage reports an image that cannot be scored: none, or of another size
	// after the transform than those of the fit.
	ErrImage = sentinel.ErrImage
	// ErrNotFinite reports features or scores that are NaN or infinite, as
	// damaged weights give.
	ErrNotFinite = sentinel.ErrNotFinite
	// ErrLabels reports labels that nothing can be learnt from, or that do not fit
	// the samples.
	ErrLabels = sentinel.ErrLabels
	// ErrClass reports samples whose class does not fit what is done with them:
	// there is none where classes matter, or RegAD is given support images of a
	// class that it was trained on.
	ErrClass = sentinel.ErrClass
	// ErrNotTrained reports a RegAD that is asked to fit, or to be saved, before
	// Train or after Reset.
	ErrNotTrained = sentinel.ErrNotTrained
	// ErrCheckpoint reports a checkpoint of another training than the one that is to
	// go on from it.
	ErrCheckpoint = sentinel.ErrCheckpoint
	// ErrDiverged reports a loss or a gradient that is not a finite number, or
	// weights that the last step made so.
	ErrDiverged = sentinel.ErrDiverged
	// ErrFile reports a saved detector or classifier that is damaged or of another
	// kind.
	ErrFile = sentinel.ErrFile
	// ErrExtractor reports a saved detector or classifier that was fitted with
	// another backbone, or other weights, than it is loaded with.
	ErrExtractor = sentinel.ErrExtractor
)
