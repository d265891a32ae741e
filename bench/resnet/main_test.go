package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMeasures(t *testing.T) {
	for _, mode := range []string{"eval", "train"} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-mode", mode, "-batch", "2", "-side", "32", "-seconds", "0", "-threads", "1"}, &out, io.Discard))
		var r result
		require.NoError(t, json.Unmarshal(out.Bytes(), &r))
		require.Equal(t, 1, r.Passes)
		require.Equal(t, []any{mode, 2, 32, "cpu", 1}, []any{r.Mode, r.Batch, r.Side, r.Device, r.Threads})
		require.Positive(t, r.ImagesPerSecond)
		require.NotEmpty(t, r.Libtorch)
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-mode", "both"}, `-mode is "both"`}, {[]string{"-batch", "0"}, "-batch 0"}, {[]string{"-side", "8"}, "of side 8"},
		{[]string{"-batch", "4096", "-side", "4096"}, "pixels in all"}, {[]string{"-seconds", "-1"}, "-seconds is -1"}, {[]string{"-device", "tpu"}, "tpu"},
		{[]string{"more"}, `"more" is too much`}, {[]string{"-threads", "-3"}, "-3"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), c.args, &out, io.Discard)
		require.ErrorContains(t, err, c.says)
		require.Empty(t, out.String())
	}
}
