package program_test

import (
	"flag"
	"io"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/bench/internal/program"
	"github.com/gotab/gotab/tensor"
)

func TestBegin(t *testing.T) {
	old := tensor.GetThreads()
	t.Cleanup(func() { require.NoError(t, tensor.SetThreads(old)) })
	begin := func(args ...string) (program.Flags, program.Place, backbone.Precision, error) {
		var f program.Flags
		fs := flag.NewFlagSet("measured", flag.ContinueOnError)
		fs.SetOutput(io.Discard)
		f.Add(fs, "two passes that are not")
		require.NoError(t, fs.Parse(args))
		at, _, precision, err := f.Begin()
		return f, at, precision, err
	}
	f, at, precision, err := begin("-threads", "1", "-bf16", "-seconds", "0.5")
	require.NoError(t, err)
	require.Equal(t, 500*time.Millisecond, f.Long())
	require.Equal(t, program.Place{Device: "cpu", Libtorch: tensor.LibtorchVersion(), Threads: 1, Precision: "bfloat16"}, at)
	require.Equal(t, backbone.BFloat16, precision)
	require.Equal(t, 1, tensor.GetThreads().Cores)
	_, at, precision, err = begin()
	require.NoError(t, err)
	require.Equal(t, 1, at.Threads, "0 leaves what is set")
	require.Equal(t, backbone.Float32, precision)
	for says, args := range map[string][]string{
		"-seconds is -1": {"-seconds", "-1"}, "-seconds is NaN": {"-seconds", "NaN"}, "-3": {"-threads", "-3"}, `"gpu"`: {"-device", "gpu"},
	} {
		_, _, _, err := begin(args...)
		require.ErrorContains(t, err, says)
	}
	require.ErrorContains(t, program.Seconds(math.Inf(1)), "want 0 to 3600")
}
