// Package pipeline runs work ahead of a loop: in parallel, in order and within
// a bound, with no goroutine left behind.
package pipeline
