package testutil

import (
	"testing"

	"github.com/gotab/gotab/tensor"
)

// NoLeak fails the test at its end unless as many native tensors live as when it
// was called. Call it first, so that its check runs after the test's own
// clean-up. The count belongs to the process: a test that uses it must not be
// parallel, nor run beside one that makes tensors.
func NoLeak(t testing.TB) {
	t.Helper()
	start := tensor.Live()
	t.Cleanup(func() {
		if n := tensor.Live() - start; n != 0 {
			t.Errorf("%+d native tensors live since the start of the test; close every Params and every optimizer", n)
		}
	})
}
