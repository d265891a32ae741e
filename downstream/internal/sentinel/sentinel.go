// Package sentinel holds the errors that package downstream documents and owns, where
// the packages below it can return them.
package sentinel

import "errors"

// Each is the error of the same name of package downstream.
var (
	ErrNotFitted     = errors.New("not fitted")
	ErrNotCalibrated = errors.New("not calibrated")
	ErrCalibration   = errors.New("no calibration can be made of these parts")
	ErrSeen          = errors.New("image was used for the fit")
	ErrConfig        = errors.New("invalid setting")
	ErrLayers        = errors.New("layers do not fit the extractor")
	ErrChannels      = errors.New("channels do not fit the layers")
	ErrTooFewImages  = errors.New("too few images")
	ErrNotNormal     = errors.New("image is not a normal one")
	ErrImage         = errors.New("image does not fit")
	ErrNotFinite     = errors.New("value is not finite")
	ErrLabels        = errors.New("labels do not fit")
	ErrClass         = errors.New("class does not fit")
	ErrNotTrained    = errors.New("detector is not trained")
	ErrCheckpoint    = errors.New("checkpoint is of another training")
	ErrDiverged      = errors.New("training diverged")
	ErrFile          = errors.New("damaged, or another kind of file")
	ErrExtractor     = errors.New("extractor is not the one of the fit")
)
