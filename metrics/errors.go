package metrics

import "errors"

var (
	// ErrOneClass says that all labels are equal, or that there are none: nothing
	// can be told apart and no value exists.
	ErrOneClass = errors.New("positives and negatives are both needed")
	// ErrNaN says that a score is not a number.
	ErrNaN = errors.New("score is NaN")
	// ErrLength says that scores and labels differ in number.
	ErrLength = errors.New("scores and labels differ in number")
)
