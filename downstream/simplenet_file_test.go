package downstream_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

func TestSimpleNetSavedAndOpenedScoresTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := simpleConfig()
	cfg.Noise, cfg.Margin, cfg.TestEvery, cfg.Sigma, cfg.Normalize.Mean[0], cfg.Cache = 0.02, 0.4, 7, 1.5, 0.3, 1<<20
	good := textures(4, 81, 40)
	p := fittedSimpleNet(t, &fake{scale: 1}, cfg, good)
	path, q := requireSavedAndOpened(t, p, downstream.OpenSimpleNet, textures(4, 82, 40))
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
	_, err := downstream.OpenSimpleNet(ctx, path, &fake{scale: 1})
	require.ErrorIs(t, err, context.Canceled)
}

func TestReadSimpleNetRefusesDamage(t *testing.T) {
	noLeak(t)
	variance := func(t *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array {
		for i := range a {
			if a[i].Name == "discriminator.norm.running_var" {
				a[i].Data[3] |= 0x80
				return a
			}
		}
		t.Fatal("there is no variance")
		return nil
	}
	requireRefusesDamage(t, savedSimpleNet(t, simpleConfig()), downstream.ReadSimpleNet, map[string]damage{
		"kind":         otherKind("gotab.patchcore.1"),
		"not a number": notANumber(0),
		"variance":     variance,
		"dim":          otherSetting(`"dim":16`, `"dim":18`),
		"hidden":       otherSetting(`"hidden":20`, `"hidden":8000`),
		"epochs":       otherSetting(`"epochs":3`, `"epochs":0`),
	})
}

// savedSimpleNet returns a small fitted detector as bytes.
func savedSimpleNet(t testing.TB, cfg downstream.SimpleNetConfig) []byte {
	return written(t, fittedSimpleNet(t, &fake{scale: 1}, cfg, textures(2, 83, fakeSide)))
}

func FuzzReadSimpleNet(f *testing.F) {
	cfg := simpleConfig()
	cfg.Epochs, cfg.LayerDim, cfg.Dim, cfg.Hidden, cfg.Transform = 1, 6, 4, 3, dataset.Square(16)
	fuzzRead(f, savedSimpleNet(f, cfg), downstream.ReadSimpleNet)
}
