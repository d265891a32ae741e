// Package bundle makes a finished program movable: it copies the program and the shared libraries that it needs into one
// folder and points the program's search path at them, so that it runs on another machine that has nothing but glibc.
package bundle

import "errors"

var (
	// ErrProgram is returned for a program that cannot be bundled.
	ErrProgram = errors.New("program cannot be bundled")
	// ErrTarget is returned for a target folder that is in the way.
	ErrTarget = errors.New("target folder is in the way")
	// ErrLibrary is returned where a library is not found, or is not found again in the finished bundle.
	ErrLibrary = errors.New("shared library")
)
