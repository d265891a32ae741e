package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMeasures(t *testing.T) {
	for name := range objectives() {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-objective", name, "-pairs", "2", "-side", "64", "-seconds", "0", "-threads", "1"}, &out, io.Discard))
		var r result
		require.NoError(t, json.Unmarshal(out.Bytes(), &r))
		require.Equal(t, []any{name, 2, 64, "cpu", 1, 1}, []any{r.Objective, r.Pairs, r.Side, r.Device, r.Threads, r.Steps})
		require.Positive(t, r.ImagesPerSecond)
		if name != "keep" { // alone it has nothing to correct
			require.Positive(t, r.Loss)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-objective", "all"}, `-objective is "all"`}, {[]string{"-pairs", "1"}, "-pairs 1"}, {[]string{"-side", "8"}, "of side 8"},
		{[]string{"-pairs", "4096", "-side", "4096"}, "pixels in all"}, {[]string{"-seconds", "-1"}, "-seconds is -1"}, {[]string{"-device", "tpu"}, "tpu"},
		{[]string{"more"}, `"more" is too much`}, {[]string{"-threads", "-3"}, "-3"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), c.args, &out, io.Discard)
		require.ErrorContains(t, err, c.says)
		require.Empty(t, out.String())
	}
}
