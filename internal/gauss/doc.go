// Package gauss draws large tables of normal numbers quickly.
//
// A training that adds noise to every feature of every patch needs some ten
// million numbers a step, more than a general generator gives without holding
// the step up. Every row of a table has a generator of its own, so that the
// number of goroutines that fill it changes nothing.
package gauss
