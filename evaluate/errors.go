package evaluate

import "errors"

// Sentinel errors; test for them with errors.Is. Errors of a data set, of a
// detector and of package metrics come wrapped as they are.
var (
	// ErrSeed reports a seed that is none, or that a method does not have.
	ErrSeed = errors.New("no such seed")
	// ErrConfig reports a setting that makes no sense.
	ErrConfig = errors.New("invalid setting")
	// ErrTooFewImages reports fewer good images than a support set needs.
	ErrTooFewImages = errors.New("too few images")
	// ErrMaps reports a detector that gives maps of some images and not of others, or
	// none without a protocol that states the size it works at.
	ErrMaps = errors.New("maps do not fit")
	// ErrRecords reports a file of records that is none, or records that no run writes.
	ErrRecords = errors.New("not a file of results")
	// ErrStore reports a store that can no longer be written: what came after it would
	// be lost.
	ErrStore = errors.New("results cannot be kept")
	// ErrExists reports a store that has records, where a new one was asked for.
	ErrExists = errors.New("there are results already")
	// ErrLocked reports a store that another process writes to.
	ErrLocked = errors.New("another process writes to it")
	// ErrPart reports a part of a job that there is not, or text that is none.
	ErrPart = errors.New("no such part")
	// ErrPairs reports outcomes that are not of the same images.
	ErrPairs = errors.New("outcomes are not of the same images")
)
