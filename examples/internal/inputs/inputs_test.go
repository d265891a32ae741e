package inputs

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func parsed(t *testing.T, args ...string) *Flags {
	t.Helper()
	var f Flags
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	f.AddReading(fs)
	f.AddPrefix(fs)
	f.AddTransform(fs)
	require.NoError(t, fs.Parse(args))
	return &f
}

func TestFlags(t *testing.T) {
	f := parsed(t, "-transform", "tiles:96", "-bits", "12", "-skip-broken")
	require.NoError(t, f.Validate())
	require.Equal(t, "tiles:96", f.View.String())
	require.Equal(t, 12, f.Decoder.Bits16)
	require.True(t, f.SkipBroken)
	for _, args := range [][]string{{"-transform", "448"}, {"-transform", "tiles:16"}, {"-bits", "17"}, {"-mask-above", "255"}, {"-max-pixels", "0"}, {"-threads", "5000"}} {
		require.ErrorContains(t, parsed(t, args...).Validate(), args[0]+" is")
	}
}

func TestHint(t *testing.T) {
	other := errors.New("other")
	require.Equal(t, other, Hint(other))
	require.NoError(t, Hint(nil))
	err := Hint(fmt.Errorf("%w: a.png", dataset.ErrBroken))
	require.ErrorIs(t, err, dataset.ErrBroken)
	require.ErrorContains(t, err, "by -skip-broken")
	require.ErrorContains(t, Hint(fmt.Errorf("%w: %w", dataset.ErrBroken, dataset.ErrTooLarge)), "-max-pixels allows larger images")
}

func TestWeightsNames(t *testing.T) {
	require.NoError(t, CheckWeightsName("a.safetensors"))
	require.NoError(t, CheckWeightsName("a"))
	require.ErrorContains(t, CheckWeightsName("a.PT"), "call it a.safetensors")
}
