// Package testutil holds what the tests of several packages share: a guard
// against leaked tensors, the reader of fixtures that PyTorch wrote and the
// formula that fills networks on both sides.
package testutil
