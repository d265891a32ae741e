package downstream_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

func TestPaDiMSavedAndOpenedScoresTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := fakeConfig()
	cfg.Channels = []int{3, 4, 9, 14, 10}
	cfg.Sigma = 1.5
	cfg.Normalize.Mean[0] = 0.3
	p := fitted(t, &fake{scale: 1}, cfg, textures(9, 20, 40))
	imgs := textures(4, 21, 40)
	want, err := p.Score(t.Context(), imgs...)
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "padim.safetensors")
	require.NoError(t, p.Save(path))
	q, err := downstream.OpenPaDiM(t.Context(), path, &fake{scale: 1})
	require.NoError(t, err)
	defer q.Close()
	got, err := q.Score(t.Context(), imgs...)
	require.NoError(t, err)
	require.Equal(t, want, got)
	a, b := p.Config(), q.Config()
	require.Equal(t, a.Transform.String(), b.Transform.String())
	a.Transform = b.Transform // each remembers weight tables of its own
	require.Equal(t, a, b)

	// Written again it is the same file.
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	var second bytes.Buffer
	n, err := q.WriteTo(&second)
	require.NoError(t, err)
	require.Equal(t, int64(second.Len()), n)
	require.True(t, bytes.Equal(first, second.Bytes()))

	_, err = downstream.OpenPaDiM(t.Context(), path, &fake{scale: 1.01})
	require.ErrorIs(t, err, downstream.ErrExtractor)
	_, err = downstream.OpenPaDiM(t.Context(), path+"x", &fake{scale: 1})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestReadPaDiMRefusesDamage(t *testing.T) {
	noLeak(t)
	good := saved(t, fakeConfig())
	read := func(b []byte) error {
		p, err := downstream.ReadPaDiM(t.Context(), bytes.NewReader(b), &fake{scale: 1})
		if err == nil {
			require.NoError(t, p.Close())
		}
		return err
	}
	require.NoError(t, read(good))
	require.ErrorIs(t, read(nil), downstream.ErrFile)
	require.ErrorIs(t, read(good[:len(good)-1]), downstream.ErrFile)

	change := func(f func(meta map[string]string, arrays []tensor.Array) []tensor.Array) error {
		w, err := tensor.ReadWeights(bytes.NewReader(good))
		require.NoError(t, err)
		arrays := f(w.Metadata, w.Arrays)
		var buf bytes.Buffer
		_, err = tensor.WriteWeights(&buf, w.Metadata, arrays)
		require.NoError(t, err)
		return read(buf.Bytes())
	}
	type arrays = []tensor.Array
	for name, f := range map[string]func(map[string]string, arrays) arrays{
		"kind":    func(m map[string]string, a arrays) arrays { m["kind"] = "other"; return a },
		"no json": func(m map[string]string, a arrays) arrays { m["settings"] = "{"; return a },
		"missing": func(_ map[string]string, a arrays) arrays { return a[:2] },
		"shape": func(_ map[string]string, a arrays) arrays {
			a[0].Shape = []int64{a[0].Shape[0] * a[0].Shape[1]}
			return a
		},
		"not a number": func(_ map[string]string, a arrays) arrays {
			copy(a[1].Data[8:], []byte{0, 0, 0xc0, 0x7f})
			return a
		},
		"grid": func(m map[string]string, a arrays) arrays {
			m["settings"] = strings.Replace(m["settings"], `"grid":[8,8]`, `"grid":[1000000,1000000]`, 1)
			return a
		},
		"another grid": func(m map[string]string, a arrays) arrays {
			m["settings"] = strings.Replace(m["settings"], `"grid":[8,8]`, `"grid":[8,9]`, 1)
			return a
		},
		"epsilon": func(m map[string]string, a arrays) arrays {
			m["settings"] = strings.Replace(m["settings"], `"epsilon":0.01`, `"epsilon":-1`, 1)
			return a
		},
		"filter": func(m map[string]string, a arrays) arrays {
			m["settings"] = strings.Replace(m["settings"], "lanczos", "best", 1)
			return a
		},
		"layer": func(m map[string]string, a arrays) arrays {
			m["settings"] = strings.Replace(m["settings"], "layer2", "layer9", 1)
			return a
		},
	} {
		require.ErrorIs(t, change(f), downstream.ErrFile, name)
	}
}

// saved returns a small fitted detector as bytes.
func saved(t testing.TB, cfg downstream.PaDiMConfig) []byte {
	p := fitted(t, &fake{scale: 1}, cfg, textures(4, 22, fakeSide))
	var buf bytes.Buffer
	_, err := p.WriteTo(&buf)
	require.NoError(t, err)
	return buf.Bytes()
}

func FuzzReadPaDiM(f *testing.F) {
	cfg := fakeConfig() // a file of some hundred bytes, so that the fuzzer changes what matters
	cfg.Channels = []int{1, 6}
	cfg.Transform = dataset.Square(16)
	good := saved(f, cfg)
	f.Add(good)
	f.Add(good[:100])
	f.Add(bytes.Replace(good, []byte(`\"grid\":[4,4]`), []byte(`\"grid\":[9,9]`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := tensor.Live()
		p, err := downstream.ReadPaDiM(context.Background(), bytes.NewReader(b), &fake{scale: 1})
		if err == nil {
			err = p.Close()
			require.NoError(t, err)
		}
		require.Equal(t, before, tensor.Live())
	})
}
