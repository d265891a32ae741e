package downstream_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

func TestPatchCoreSavedAndOpenedScoresTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := patchConfig()
	cfg.Neighbours, cfg.Squared, cfg.Dim, cfg.Sigma, cfg.Normalize.Mean[0] = 4, false, 6, 1.5, 0.3
	good := textures(4, 44, 40)
	p := fittedPatchCore(t, &fake{scale: 1}, cfg, good)
	path, q := requireSavedAndOpened(t, p, downstream.OpenPatchCore, textures(4, 45, 40))
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
	_, err := downstream.OpenPatchCore(ctx, path, &fake{scale: 1})
	require.ErrorIs(t, err, context.Canceled)
}

func TestReadPatchCoreRefusesDamage(t *testing.T) {
	noLeak(t)
	requireRefusesDamage(t, savedPatchCore(t, patchConfig()), downstream.ReadPatchCore, map[string]damage{
		"kind": otherKind("gotab.padim.1"),
		"rows": func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array {
			a[0].Shape = []int64{a[0].Shape[1], a[0].Shape[0]}
			return a
		},
		"not a number": notANumber(0),
		"share":        otherSetting(`"share":0.2`, `"share":-1`),
		"neighbours":   otherSetting(`"neighbours":0`, `"neighbours":900`),
	})
}

// savedPatchCore returns a small fitted detector as bytes.
func savedPatchCore(t testing.TB, cfg downstream.PatchCoreConfig) []byte {
	return written(t, fittedPatchCore(t, &fake{scale: 1}, cfg, textures(2, 46, fakeSide)))
}

func FuzzReadPatchCore(f *testing.F) {
	cfg := patchConfig()
	cfg.Share, cfg.Transform = 0.1, dataset.Square(16)
	fuzzRead(f, savedPatchCore(f, cfg), downstream.ReadPatchCore)
}
