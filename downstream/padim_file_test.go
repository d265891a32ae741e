package downstream_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

func TestPaDiMSavedAndOpenedScoresTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := fakeConfig()
	cfg.Channels = []int{3, 4, 9, 14, 10}
	cfg.Sigma = 1.5
	cfg.Normalize.Mean[0] = 0.3
	p := fitted(t, &fake{scale: 1}, cfg, textures(9, 20, 40))
	path, q := requireSavedAndOpened(t, p, downstream.OpenPaDiM, textures(4, 21, 40))
	a, b := p.Config(), q.Config()
	require.Equal(t, a.Transform.String(), b.Transform.String())
	a.Transform = b.Transform // each remembers weight tables of its own
	require.Equal(t, a, b)

	// Written again it is the same file.
	requireWritesFile(t, path, q)
}

func TestReadPaDiMRefusesDamage(t *testing.T) {
	noLeak(t)
	requireRefusesDamage(t, saved(t, fakeConfig()), downstream.ReadPaDiM, map[string]damage{
		"kind":         otherKind("other"),
		"not a number": notANumber(1),
		"epsilon":      otherSetting(`"epsilon":0.01`, `"epsilon":-1`),
		"no images":    otherSetting(`"images":4`, `"images":0`),
		"one image":    otherSetting(`"images":4`, `"images":1`),
		"many images":  otherSetting(`"images":4`, `"images":9000000000000000000`),
	})
}

// saved returns a small fitted detector as bytes.
func saved(t testing.TB, cfg downstream.PaDiMConfig) []byte {
	return written(t, fitted(t, &fake{scale: 1}, cfg, textures(4, 22, fakeSide)))
}

func FuzzReadPaDiM(f *testing.F) {
	cfg := fakeConfig() // a file of some hundred bytes, so that the fuzzer changes what matters
	cfg.Channels = []int{1, 6}
	cfg.Transform = dataset.Square(16)
	fuzzRead(f, saved(f, cfg), downstream.ReadPaDiM)
}
