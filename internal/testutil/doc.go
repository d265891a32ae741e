// Package testutil holds what the tests of several packages share: a guard
// against leaked tensors and the reader of fixtures that PyTorch wrote.
package testutil
