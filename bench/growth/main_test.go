package main

import (
	"bytes"
	"encoding/json"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestMeasures(t *testing.T) {
	for do := range works() {
		var out bytes.Buffer
		require.NoError(t, run(t.Context(), []string{"-do", do, "-images", "20", "-side", "64", "-threads", "1"}, &out, io.Discard), do)
		var r result
		require.NoError(t, json.Unmarshal(out.Bytes(), &r))
		require.Equal(t, []any{do, 20, 64, 1}, []any{r.Do, r.Images, r.Side, r.Threads})
		require.Positive(t, r.Seconds, do)
		require.GreaterOrEqual(t, r.Peak, r.Before, do)
	}
}

func TestSurfaces(t *testing.T) {
	d := surfaces{n: 3, side: 40}
	a, err := d.Sample(t.Context(), 1)
	require.NoError(t, err)
	b, err := d.Sample(t.Context(), 1)
	require.NoError(t, err)
	require.Equal(t, a, b)
	c, err := d.Sample(t.Context(), 2)
	require.NoError(t, err)
	require.NotEqual(t, a.Image, c.Image)
	_, err = d.Sample(t.Context(), 3)
	require.ErrorIs(t, err, dataset.ErrIndex)
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"-do", "all"}, `-do is "all"`}, {[]string{"-images", "1"}, "-images is 1"}, {[]string{"-side", "8"}, "-side 8"},
		{[]string{"more"}, `"more" is too much`}, {[]string{"-threads", "-3"}, "-3"},
	} {
		var out bytes.Buffer
		require.ErrorContains(t, run(t.Context(), c.args, &out, io.Discard), c.says)
		require.Empty(t, out.String())
	}
}
