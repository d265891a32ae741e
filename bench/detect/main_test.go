package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPreparesAndMeasures(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, run(t.Context(), []string{"prepare", "-out", dir, "-side", "64", "-train", "4"}, io.Discard, io.Discard))
	require.FileExists(t, filepath.Join(dir, onnxFile))
	for _, method := range []string{"padim", "patchcore"} {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"measure", "-in", dir, "-method", method, "-seconds", "0", "-threads", "1"}, &out, io.Discard))
		var r result
		require.NoError(t, json.Unmarshal(out.Bytes(), &r))
		require.Equal(t, []any{method, "float32", 1, 1}, []any{r.Method, r.Precision, r.Threads, r.Images})
		for _, v := range []float64{r.Median, r.Decode, r.Network} {
			require.Positive(t, v)
		}
		require.Less(t, r.Rejected, readyPictures/2, "a tenth of the good parts of the calibration may be rejected")
	}
	require.NoError(t, os.RemoveAll(filepath.Join(dir, pictureDir)))
	require.ErrorContains(t, run(t.Context(), []string{"measure", "-in", dir}, io.Discard, io.Discard), "holds no picture")
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{nil, "prepare or measure"}, {[]string{"both"}, `"both" is neither`}, {[]string{"prepare"}, "-out is missing"},
		{[]string{"prepare", "-out", "x", "-data", "y"}, "go together"}, {[]string{"prepare", "-out", "x", "-side", "3"}, "-side is 3"},
		{[]string{"prepare", "-out", "x", "more"}, `"more" is too much`}, {[]string{"measure"}, "-in is missing"},
		{[]string{"measure", "-in", "x", "-seconds", "-1"}, "-seconds is -1"}, {[]string{"measure", "-in", "x", "more"}, `"more" is too much`},
		{[]string{"measure", "-in", t.TempDir()}, weightsFile},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), c.args, &out, io.Discard), c.says)
		require.Empty(t, out.String())
	}
}
