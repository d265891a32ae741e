package safetensors

import "errors"

var errNoReader = errors.New("safetensors: read: the reader is nil")

var (
	// ErrFormat says that the bytes are not a valid safetensors file.
	ErrFormat = errors.New("not a valid safetensors file")
	// ErrNotFound says that the file holds no tensor of that name.
	ErrNotFound = errors.New("no such tensor")
	// ErrDType says that a tensor's element type does not fit the request.
	ErrDType = errors.New("unsuitable element type")
	// ErrTensor says that a tensor that was to be written contradicts itself or
	// the others: wrong length, repeated name, unknown element type.
	ErrTensor = errors.New("tensor cannot be written")
)
