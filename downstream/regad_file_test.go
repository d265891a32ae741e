package downstream_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

func TestRegADSavedAndOpenedScoresTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := regadConfig()
	cfg.Sigma, cfg.Warp, cfg.Normalize.Mean[0] = 1.5, downstream.WarpAffine, 0.3
	r := trainedTiny(t, cfg, textures(1, 60, 40))
	path, q := requireOpensTheSame(t, r, openTiny, textures(4, 61, 40))
	a, b := r.Config(), q.Config()
	require.Equal(t, a.Transform.String(), b.Transform.String())
	a.Transform = b.Transform // each remembers weight tables of its own
	require.Equal(t, a, b)
	require.Equal(t, r.Classes(), q.Classes())
	requireWritesFile(t, path, q)
}

// A training is kept before anything is fitted, and what is read fits as the
// detector that was written does.
func TestRegADSavedAfterTraining(t *testing.T) {
	noLeak(t)
	r := trainedTiny(t, regadConfig(), nil)
	q, err := readTiny(t.Context(), bytes.NewReader(written(t, r)), nil)
	require.NoError(t, err)
	defer q.Close()
	img, support := textures(2, 62, fakeSide), memory(t, textures(2, 63, fakeSide))
	_, err = q.Score(t.Context(), img...)
	require.ErrorIs(t, err, downstream.ErrNotFitted)
	require.NoError(t, r.Fit(t.Context(), support))
	require.NoError(t, q.Fit(t.Context(), support))
	want, err := r.Score(t.Context(), img...)
	require.NoError(t, err)
	got, err := q.Score(t.Context(), img...)
	require.NoError(t, err)
	require.Equal(t, want, got)
	// It goes on from there.
	require.NoError(t, q.Train(t.Context(), products()))
	require.NoError(t, q.Fit(t.Context(), support))
	got, err = q.Score(t.Context(), img...)
	require.NoError(t, err)
	require.NotEqual(t, want[0].Score, got[0].Score)
}

func TestReadRegADRefusesDamage(t *testing.T) {
	noLeak(t)
	for name, good := range map[string][]byte{
		"low rank":  written(t, trainedTiny(t, regadConfig(), textures(1, 64, fakeSide))),
		"triangles": written(t, trainedTiny(t, regadConfig(), textures(3, 65, fakeSide))),
	} {
		t.Run(name, func(t *testing.T) {
			all := map[string]damage{
				"kind":            otherKind("other"),
				"trunk":           notANumber(0),
				"transformer":     notANumber(4*6 + 1),
				"warp":            otherSetting(`"rotation_scale"`, `"fisheye"`),
				"warp's outputs":  otherSetting(`"rotation_scale"`, `"affine"`),
				"epsilon":         otherSetting(`"epsilon":0.01`, `"epsilon":-1`),
				"fewer than none": otherSetting(`"images":`, `"images":-`),
				"classes":         otherSetting(`["cloth","felt"]`, `[]`),
				"order":           otherSetting(`["cloth","felt"]`, `["felt","cloth"]`),
				"hidden":          otherSetting(`"hidden":8`, `"hidden":9`),
				"large input":     otherSetting(`"input":[32,32]`, `"input":[33,32]`),
				"small input":     otherSetting(`"input":[32,32]`, `"input":[28,28]`),
			}
			if name == "low rank" { // else their number does not show in the statistics
				all["images"] = otherSetting(`"images":1`, `"images":2`)
			}
			requireRefusesDamage(t, good, readTiny, all)
		})
	}
	// ReadRegAD knows ResNets alone.
	_, err := downstream.OpenRegAD(t.Context(), "testdata/parity/padim.json", tensor.CPU)
	require.ErrorIs(t, err, downstream.ErrFile)
}

func FuzzReadRegAD(f *testing.F) {
	cfg := regadConfig()
	cfg.Hidden, cfg.Epochs = 1, 0
	cfg.Transform = dataset.Square(16)
	fuzzRead(f, written(f, trainedTiny(f, cfg, textures(1, 66, 16))), readTiny)
}
