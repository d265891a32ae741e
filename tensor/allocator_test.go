package tensor_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/testutil"
	"github.com/gotab/gotab/tensor"
)

// resident is how much memory of its own the process has.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	require.NoError(t, err)
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			require.NoError(t, err)
			return kb << 10
		}
	}
	require.FailNow(t, "no such line")
	return 0
}

// What a training has let go is its own again or the system's, whatever it keeps in between: blocks that grow a little each time, with one
// that stays behind each of them, as an optimizer's moments come between the maps of the first step.
func TestTrainingLeavesNoHoles(t *testing.T) {
	testutil.NoLeak(t)
	tensor.ReleasePool()
	const steps, large, more, small = 60, 1 << 20, 1 << 16, 1 << 17 // values
	p := tensor.NewParams(tensor.CPU)
	defer func() { require.NoError(t, p.Close()); tensor.ReleasePool() }()
	step := func(i int64) {
		require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
			s.Zeros(large + more*i)
			return p.PutBuffer(s, strconv.FormatInt(i, 10), s.Zeros(small))
		}))
	}
	step(0)
	before := resident(t)
	for i := range int64(steps) {
		step(i + 1)
	}
	grown := resident(t) - before
	const live = 4 * (steps*small + steps*more) // what stays, and by how much the last block is larger than the first
	require.Less(t, grown, int64(live+live/2), "%d MB", grown>>20)
}

// Free neighbours serve a block that neither of them would, so that nothing is asked of the system.
func TestTrainingJoinsWhatIsFree(t *testing.T) {
	testutil.NoLeak(t)
	tensor.ReleasePool()
	defer tensor.ReleasePool()
	const values = 1 << 20
	require.NoError(t, tensor.Run(t.Context(), tensor.CPU, tensor.Training, func(s *scope) error {
		all := s.Zeros(4 * values)
		s.Free(all)
		require.Equal(t, int64(16*values), tensor.PooledBytes()&^0xffff)
		parts := []*ten{s.Zeros(values), s.Zeros(values), s.Zeros(values)} // cut out of it
		s.Free(parts[1])
		s.Free(parts[0])
		s.Free(parts[2])
		require.Equal(t, int64(16*values), tensor.PooledBytes()&^0xffff)
		s.Zeros(4 * values)
		require.Less(t, tensor.PooledBytes(), int64(1<<16))
		return s.Err()
	}))
}
