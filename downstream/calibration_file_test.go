package downstream_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/metrics"
	"github.com/gotab/gotab/tensor"
)

// rewritten is a file of which change has changed something.
func rewritten(t *testing.T, file []byte, change func(w *tensor.Weights)) []byte {
	t.Helper()
	w, err := tensor.ReadWeights(bytes.NewReader(file))
	require.NoError(t, err)
	change(w)
	var out bytes.Buffer
	_, err = tensor.WriteWeights(&out, w.Metadata, w.Arrays)
	require.NoError(t, err)
	return out.Bytes()
}

// A saved detector decides as the one that was saved, is written anew with the same
// bytes, and can be calibrated by another rule.
func TestCalibrationIsSaved(t *testing.T) {
	good, held, bad := textures(6, 471, fakeSide), textures(20, 472, fakeSide), textures(4, 473, fakeSide)
	for name, make := range detectorsOf(t) {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			d := make()
			defer d.Close()
			require.NoError(t, d.Fit(t.Context(), memory(t, good)))
			requireCalibration(t, openedAs(t, d), nil)
			for _, ds := range []dataset.Dataset{memory(t, held), parts(t, held, bad)} {
				c, err := d.Calibrate(t.Context(), ds, metrics.Overkill(0.1))
				require.NoError(t, err)
				q := openedAs(t, d)
				requireCalibration(t, q, c)
				want, err := d.Score(t.Context(), bad...)
				require.NoError(t, err)
				got, err := q.Score(t.Context(), bad...)
				require.NoError(t, err)
				require.Equal(t, want, got)
				v, err := want[0].Verdict()
				require.NoError(t, err)
				w, err := got[0].Verdict()
				require.NoError(t, err)
				require.Equal(t, v, w)
				require.Equal(t, written(t, d), written(t, q))
				other, err := q.Recalibrate(t.Context(), metrics.Conformal(0.2))
				require.NoError(t, err)
				requireCalibration(t, openedAs(t, q), other)
			}
			require.NoError(t, d.Fit(t.Context(), memory(t, held)))
			requireCalibration(t, openedAs(t, d), nil)
		})
	}
}

// The tail of a rule is saved too.
func TestCalibrationByTheTailIsSaved(t *testing.T) {
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(6, 474, fakeSide))
	c, err := p.Calibrate(t.Context(), memory(t, textures(80, 475, fakeSide)), metrics.TailOverkill(0.01))
	require.NoError(t, err)
	require.NotNil(t, c.Point().Tail)
	requireCalibration(t, openedAs(t, p), c)
}

// Files from before calibrations open as detectors that have none and know no images.
func TestOlderFilesOpenWithoutACalibration(t *testing.T) {
	noLeak(t)
	good, held := textures(6, 476, fakeSide), textures(10, 477, fakeSide)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), good)
	_, err := p.Calibrate(t.Context(), memory(t, held), metrics.Conformal(0.2))
	require.NoError(t, err)
	old := rewritten(t, written(t, p), func(w *tensor.Weights) {
		delete(w.Metadata, "calibration")
		n := len(w.Arrays)
		w.Arrays = slices.DeleteFunc(w.Arrays, func(a tensor.Array) bool { return strings.HasPrefix(a.Name, "kept.") })
		require.Equal(t, n-2, len(w.Arrays))
	})
	q, err := downstream.ReadPaDiM(t.Context(), bytes.NewReader(old), &fake{scale: 1})
	require.NoError(t, err)
	defer q.Close()
	requireCalibration(t, q, nil)
	r, err := q.Score(t.Context(), held[0])
	require.NoError(t, err)
	_, err = r[0].Verdict()
	require.ErrorIs(t, err, downstream.ErrNotCalibrated)
	_, err = q.Calibrate(t.Context(), memory(t, good), metrics.Conformal(0.2))
	require.NoError(t, err, "of which images it was fitted on nothing is known")
}

// What a calibration cannot be is a damaged file.
func TestDamagedCalibrationsAreRefused(t *testing.T) {
	noLeak(t)
	p := fitted(t, &fake{scale: 1}, fakeConfig(), textures(6, 478, fakeSide))
	_, err := p.Calibrate(t.Context(), parts(t, textures(20, 479, fakeSide), textures(4, 480, fakeSide)), metrics.Overkill(0.1))
	require.NoError(t, err)
	file := written(t, p)
	array := func(w *tensor.Weights, name string) *tensor.Array {
		i := slices.IndexFunc(w.Arrays, func(a tensor.Array) bool { return a.Name == name })
		require.GreaterOrEqual(t, i, 0)
		return &w.Arrays[i]
	}
	text := func(old, replaced string) func(w *tensor.Weights) {
		return func(w *tensor.Weights) {
			require.Contains(t, w.Metadata["calibration"], old)
			w.Metadata["calibration"] = strings.Replace(w.Metadata["calibration"], old, replaced, 1)
		}
	}
	score := func(name string, i int, v float64) func(w *tensor.Weights) {
		return func(w *tensor.Weights) { binary.LittleEndian.PutUint64(array(w, name).Data[8*i:], math.Float64bits(v)) }
	}
	for name, c := range map[string]struct {
		change func(w *tensor.Weights)
		says   string
	}{
		"another version": {text(`"version":1`, `"version":2`), "version 2, this library reads 1"},
		"no JSON":         {text(`{`, `[`), "calibration"},
		"a rule of none":  {text(`"kind":"overkill"`, `"kind":"luck"`), "luck"},
		"a rate":          {text(`"rate":0.1`, `"rate":7`), "Rate is 7"},
		"the scale": {func(w *tensor.Weights) {
			at := strings.Index(w.Metadata["calibration"], `"scale":[`)
			w.Metadata["calibration"] = w.Metadata["calibration"][:at] + `"scale":[2,1]}`
		}, "colour scale"},
		"the threshold":    {text(`"Threshold":`, `"Threshold":1`), "the scores say"},
		"the count":        {text(`"Overkilled":2`, `"Overkilled":3`), "the scores say"},
		"more parts":       {text(`"Good":20`, `"Good":21`), "20 scores of 21 parts"},
		"negative parts":   {text(`"Good":20`, `"Good":-1`), "scores of -1 parts"},
		"no scores":        {func(w *tensor.Weights) { array(w, "kept.good").Name = "kept.other" }, "0 scores of 20 parts"},
		"NaN":              {score("kept.good", 3, math.NaN()), "score 3 is NaN"},
		"infinity":         {score("kept.defective", 3, math.Inf(1)), "score 3 is +Inf"},
		"scores that fall": {score("kept.good", 19, -1e9), "score 19 is -1e+09"},
		"another type":     {func(w *tensor.Weights) { array(w, "kept.good").DType = tensor.Int64 }, "kept.good is int64"},
		"another shape":    {func(w *tensor.Weights) { array(w, "kept.good").Shape = []int64{4, 5} }, "kept.good is float64 [4 5]"},
		"digests that fall": {func(w *tensor.Weights) {
			for i := range 8 {
				array(w, "kept.images").Data[i] = 0xff
			}
		}, "does not rise"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := downstream.ReadPaDiM(t.Context(), bytes.NewReader(rewritten(t, file, c.change)), &fake{scale: 1})
			require.ErrorIs(t, err, downstream.ErrFile)
			require.ErrorContains(t, err, c.says)
		})
	}
}
