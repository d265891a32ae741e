package downstream_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

func TestRD4ADSavedAndOpenedScoresTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := rd4adConfig()
	cfg.PerPosition, cfg.Rate, cfg.Beta1, cfg.Beta2, cfg.Cache, cfg.Sigma = true, 0.002, 0.6, 0.99, 1e6, 1.5
	cfg.Blocks.Decoder = []int{1, 2, 1}
	cfg.Normalize.Mean[0] = 0.3
	good := textures(4, 80, 40)
	p := fittedRD4AD(t, cfg, good)
	path, q := requireSavedAndOpened(t, p, downstream.OpenRD4AD, textures(4, 81, 40))
	a, b := p.Config(), q.Config()
	require.Equal(t, a.Transform.String(), b.Transform.String())
	a.Transform = b.Transform // each remembers weight tables of its own
	require.Equal(t, a, b)

	// Written again, and fitted again, it is the same file.
	for range 2 {
		requireWritesFile(t, path, q)
		require.NoError(t, q.Fit(t.Context(), memory(t, good)))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := downstream.OpenRD4AD(ctx, path, &fake{scale: 1})
	require.ErrorIs(t, err, context.Canceled)
}

func TestReadRD4ADRefusesDamage(t *testing.T) {
	noLeak(t)
	requireRefusesDamage(t, savedRD4AD(t), downstream.ReadRD4AD, map[string]damage{
		"kind":         otherKind("gotab.padim.1"),
		"not a number": notANumber(0),
		"type": func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array {
			a[1].DType = tensor.Int64
			a[1].Shape = []int64{a[1].Shape[0] / 2}
			return a
		},
		"rate":    otherSetting(`"rate":0.005`, `"rate":-1`),
		"blocks":  otherSetting(`"blocks_oce":1`, `"blocks_oce":2`),
		"decoder": otherSetting(`"blocks_decoder":[1,1,1]`, `"blocks_decoder":[1,1]`),
		"input":   otherSetting(`"input":[32,32]`, `"input":[40,32]`),
		"halving": func(t *testing.T, m map[string]string, a []tensor.Array) []tensor.Array {
			a = otherSetting(`"transform_exact":[32,32]`, `"transform_exact":[40,32]`)(t, m, a)
			a = otherSetting(`"grid":[8,8]`, `"grid":[10,8]`)(t, m, a)
			return otherSetting(`"input":[32,32]`, `"input":[40,32]`)(t, m, a)
		},
	})
}

// savedRD4AD returns a small fitted detector as bytes.
func savedRD4AD(t testing.TB) []byte {
	cfg := rd4adConfig()
	cfg.Epochs = 1
	return written(t, fittedRD4AD(t, cfg, textures(2, 82, fakeSide)))
}

func FuzzReadRD4AD(f *testing.F) { fuzzRead(f, savedRD4AD(f), downstream.ReadRD4AD) }
