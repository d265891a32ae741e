// Package setup describes an installation of libtorch, derives the cgo environment that links a Go program with it, and
// proves that environment by compiling and running a small C++ program. It changes nothing but its own cache folder.
package setup

import "errors"

var (
	// ErrPlatform is returned on anything but linux/amd64 with glibc.
	ErrPlatform = errors.New("unsupported platform")
	// ErrInstallation is returned for a folder that holds no usable libtorch.
	ErrInstallation = errors.New("no usable libtorch")
	// ErrVersion is returned for a libtorch of another version than 2.1.
	ErrVersion = errors.New("wrong libtorch version")
	// ErrCompiler is returned where no C or C++ compiler is found or it cannot do what is needed.
	ErrCompiler = errors.New("no usable compiler")
	// ErrProof is returned where the proof program does not compile, link or run.
	ErrProof = errors.New("the proof program failed")
	// ErrQuote is returned for a path that the cgo variables cannot express.
	ErrQuote = errors.New("path cannot be quoted")
)
