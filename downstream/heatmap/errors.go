package heatmap

import "errors"

// Sentinel errors; test for them with errors.Is.
var (
	// ErrSize reports an image, a mask and a map that are not of one size, or one
	// without pixels.
	ErrSize = errors.New("sizes do not fit")
	// ErrNotFinite reports a value that is NaN or infinite where the detector has
	// looked, or a threshold that is NaN.
	ErrNotFinite = errors.New("value is not finite")
	// ErrScale reports a scale whose upper end is not above its lower one.
	ErrScale = errors.New("scale is empty")
	// ErrConfig reports a setting that makes no sense.
	ErrConfig = errors.New("invalid setting")
	// ErrNoMaps reports a scale that is to be made from nothing.
	ErrNoMaps = errors.New("no maps were given")
)
