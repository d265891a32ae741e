package downstream_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
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
				"kind":                      otherKind("other"),
				"trunk":                     notANumber(0),
				"transformer":               notANumber(4*6 + 1),
				"warp":                      otherSetting(`"rotation_scale"`, `"fisheye"`),
				"warp's outputs":            otherSetting(`"rotation_scale"`, `"affine"`),
				"epsilon":                   otherSetting(`"epsilon":0.01`, `"epsilon":-1`),
				"fewer than none":           otherSetting(`"images":`, `"images":-`),
				"classes":                   otherSetting(`["cloth","felt"]`, `[]`),
				"order":                     otherSetting(`["cloth","felt"]`, `["felt","cloth"]`),
				"hidden":                    otherSetting(`"hidden":8`, `"hidden":9`),
				"large input":               otherSetting(`"input":[32,32]`, `"input":[33,32]`),
				"small input":               otherSetting(`"input":[32,32]`, `"input":[28,28]`),
				"not the transform's input": otherSetting(`"input":[32,32]`, `"input":[31,31]`), // of the same grid
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

// What the machine lacks does not make a file a damaged one.
func TestReadRegADOfAMachineThatLacks(t *testing.T) {
	noLeak(t)
	good := written(t, trainedTiny(t, regadConfig(), nil))
	for cause, damaged := range map[error]bool{tensor.ErrOutOfMemory: false, tensor.ErrDevice: false, tensor.ErrShape: true} {
		_, err := downstream.ReadRegADOn(t.Context(), bytes.NewReader(good), func([]tensor.Array) (downstream.Trunk, error) {
			return nil, fmt.Errorf("grow: %w", cause)
		})
		require.ErrorIs(t, err, cause)
		if damaged {
			require.ErrorIs(t, err, downstream.ErrFile)
		} else {
			require.NotErrorIs(t, err, downstream.ErrFile)
		}
	}
}

func FuzzReadRegAD(f *testing.F) {
	cfg := regadConfig()
	cfg.Hidden, cfg.Epochs = 1, 0
	cfg.Transform = dataset.Square(16)
	fuzzRead(f, written(f, trainedTiny(f, cfg, textures(1, 66, 16))), readTiny)
}

// A training that was interrupted goes on from its checkpoint and ends with the
// bits of one that was not; a checkpoint of another training is refused.
func TestRegADTrainingGoesOn(t *testing.T) {
	noLeak(t)
	cfg := regadConfig()
	cfg.Epochs = 3
	path := filepath.Join(t.TempDir(), "checkpoint")
	ctx, cancel := context.WithCancel(t.Context())
	broken := newTiny(t, &fake{}, cfg, downstream.WithProgress(func(p downstream.Progress) {
		if p.Epoch == 2 && p.Done == 2 {
			cancel()
		}
	}))
	require.ErrorIs(t, broken.TrainResumable(ctx, products(), path), context.Canceled)
	require.Nil(t, broken.Classes())

	var seen []downstream.Progress
	watch := downstream.WithProgress(func(p downstream.Progress) { seen = append(seen, p) })
	resumed := newTiny(t, &fake{}, cfg, watch)
	require.NoError(t, resumed.TrainResumable(t.Context(), products(), path))
	require.Len(t, seen, 6, "the first epoch was done")
	require.Equal(t, [2]int{2, 3}, [2]int{seen[0].Epoch, seen[0].Epochs})
	whole := newTiny(t, &fake{}, cfg)
	require.NoError(t, whole.Train(t.Context(), products()))
	require.True(t, bytes.Equal(written(t, whole), written(t, resumed)))

	// One that has ended is there at once.
	seen = nil
	require.NoError(t, newTiny(t, &fake{}, cfg, watch).TrainResumable(t.Context(), products(), path))
	require.Empty(t, seen)

	other := cfg
	other.Momentum = 0.8
	err := newTiny(t, &fake{}, other).TrainResumable(t.Context(), products(), path)
	require.ErrorIs(t, err, downstream.ErrCheckpoint)
	require.ErrorContains(t, err, `"momentum":0.9`)
	fewer := dataset.Filter(products(), func(it dataset.Item) bool { return it.Name != "0" })
	err = newTiny(t, &fake{}, cfg).TrainResumable(t.Context(), fewer, path)
	require.ErrorIs(t, err, downstream.ErrCheckpoint)
	require.ErrorContains(t, err, "other images")
	// The weights that a training begins with are no setting, but belong to it: two
	// backbones that are compared must not go on from each other's file.
	weights := tinyWeights(t)
	weights[0].Data[2] ^= 0x40
	second, err := downstream.NewRegADOn(weights, growTiny(&fake{}), cfg, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	err = second.TrainResumable(t.Context(), products(), path)
	require.ErrorIs(t, err, downstream.ErrCheckpoint)
	require.ErrorContains(t, err, "another backbone")
	require.Nil(t, second.Classes())

	raw, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, bad := range map[string][]byte{"cut": raw[:len(raw)-1], "detector": written(t, whole), "no epoch": bytes.Replace(raw, []byte(`_done\":3`), []byte(`_done\":0`), 1)} {
		require.NoError(t, os.WriteFile(path, bad, 0o600))
		require.ErrorIs(t, newTiny(t, &fake{}, cfg).TrainResumable(t.Context(), products(), path), downstream.ErrFile, name)
	}
}

func FuzzReadRegADCheckpoint(f *testing.F) {
	cfg := regadConfig()
	cfg.Hidden = 1
	path := filepath.Join(f.TempDir(), "checkpoint")
	require.NoError(f, newTiny(f, &fake{}, cfg).TrainResumable(f.Context(), products(), path))
	good, err := os.ReadFile(path)
	require.NoError(f, err)
	f.Add(good)
	f.Add(good[:100])
	f.Add(bytes.Replace(good, []byte(`_done\":2`), []byte(`_done\":9`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		// All epochs are done, so that nothing is trained whatever b is.
		before := tensor.Live()
		path := filepath.Join(t.TempDir(), "checkpoint")
		require.NoError(t, os.WriteFile(path, b, 0o600))
		r := newTiny(t, &fake{}, cfg)
		if err := r.TrainResumable(t.Context(), products(), path); err == nil {
			require.NoError(t, r.Close())
		}
		require.Equal(t, before, tensor.Live())
	})
}
