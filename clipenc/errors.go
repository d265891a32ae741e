package clipenc

import (
	"errors"

	"github.com/gotab/gotab/tensor"
)

// Errors of this package; the returned errors wrap them and say which file, name or value is wrong.
var (
	// ErrVocabulary says that a vocabulary file is damaged, of another kind, or not one of CLIP's layout.
	ErrVocabulary = errors.New("unusable vocabulary")
	// ErrText says that a text cannot be tokenised or encoded.
	ErrText = errors.New("unusable text")
	// ErrConfig says that a Config describes no text tower.
	ErrConfig = errors.New("invalid configuration")
	// ErrWeights says that a weight file does not hold the text tower that the Config describes.
	ErrWeights = errors.New("unusable weights")
	// ErrClosed says that a TextEncoder was used after Close. It is [tensor.ErrClosed].
	ErrClosed = tensor.ErrClosed
)
