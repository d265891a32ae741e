package testutil

import (
	"fmt"
	"os"
	"testing"

	"github.com/gotab/gotab/tensor"
)

// OneThread is the body of TestMain in packages whose tests run small networks:
// too small to gain from a second thread, and threads that wait for each other
// are slow on a machine that is busy with other packages' tests. It returns the
// exit status.
func OneThread(m *testing.M) int {
	if err := tensor.SetThreads(tensor.Threads{Cores: 1, PerRun: 1}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
