// Package inspect decides about parts on a line: one file that holds all that a verdict
// needs, the bundle, and one type that any number of goroutines ask, the [Inspector].
package inspect
