// Package hostile calls every exported function and method of a package with
// values that nobody should pass: nil, zero, negative, NaN, infinite, huge, of
// the wrong size. None may panic, hang or allocate without bound.
//
// A package's test lists its exported functions and types in a [Registry]; the
// list is compared with the source, so that a new function cannot be left out.
// Two things are not tried: methods of nil pointers, and readers, writers and
// callbacks that panic themselves.
package hostile
