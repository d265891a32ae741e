package backbone_test

import (
	"os"
	"testing"

	"github.com/gotab/gotab/tensor"
)

// TestMain runs the tests of this package on one thread: the images are too
// small to gain from a second, and threads that wait for each other are slow on
// a machine that is busy with other packages' tests.
func TestMain(m *testing.M) {
	if err := tensor.SetThreads(tensor.Threads{Cores: 1, PerRun: 1}); err != nil {
		println(err.Error())
		os.Exit(1)
	}
	os.Exit(m.Run())
}
