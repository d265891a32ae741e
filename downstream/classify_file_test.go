package downstream_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/backbone"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/downstream/classify"
	"github.com/gotab/gotab/tensor"
)

func TestFrozenClassifierSavedAndOpenedSaysTheSameBits(t *testing.T) {
	noLeak(t)
	cfg := frozenConfig(classify.MultiClass)
	cfg.Weights = []float64{1, 2, 0.5}
	cfg.Encoding, cfg.ClipNorm, cfg.SGD.Nesterov = classify.Dies, 2, true
	c := newClassifier(t, &pooler{scale: 1}, cfg)
	require.NoError(t, c.Fit(t.Context(), kinds(t, 32, 1)))
	path := filepath.Join(t.TempDir(), "classifier.safetensors")
	require.NoError(t, c.Save(path))
	d, err := classify.Open(t.Context(), path, &pooler{scale: 1})
	require.NoError(t, err)
	defer d.Close()
	requireSaysTheSame(t, c, d, kinds(t, 9, 4))
	a, b := c.Config(), d.Config()
	require.Equal(t, a.Transform.String(), b.Transform.String())
	a.Transform = b.Transform // each remembers weight tables of its own
	require.Equal(t, a, b)
	requireSameFile(t, path, d)

	// Fitted again it comes to the same weights: the seed was kept.
	require.NoError(t, d.Fit(t.Context(), kinds(t, 32, 1)))
	requireSaysTheSame(t, c, d, kinds(t, 9, 4))

	_, err = classify.Open(t.Context(), path, &pooler{scale: 1.01})
	require.ErrorIs(t, err, downstream.ErrExtractor)
	_, err = classify.Open(t.Context(), path, nil)
	require.ErrorIs(t, err, downstream.ErrExtractor)
	_, err = classify.Open(t.Context(), path+"x", &pooler{scale: 1})
	require.ErrorIs(t, err, os.ErrNotExist)
}

func requireSaysTheSame(t *testing.T, c, d *classify.Classifier, set *classify.Labelled) {
	t.Helper()
	require.Equal(t, c.Names(), d.Names())
	want, err := c.Predict(t.Context(), images(set)...)
	require.NoError(t, err)
	got, err := d.Predict(t.Context(), images(set)...)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func requireSameFile(t *testing.T, path string, d *classify.Classifier) {
	t.Helper()
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	require.True(t, bytes.Equal(first, written(t, d)), "written again it is another file")
}

func TestTrainedClassifierIsOneFile(t *testing.T) {
	noLeak(t)
	net := smallNet(t)
	cfg := trainedConfig()
	cfg.Epochs = 1
	c := newClassifier(t, net, cfg)
	require.NoError(t, c.Fit(t.Context(), bits(t, 16, 1)))
	path := filepath.Join(t.TempDir(), "classifier.safetensors")
	require.NoError(t, c.Save(path))
	for _, fe := range []downstream.Extractor{nil, net} {
		d, err := classify.Open(t.Context(), path, fe)
		require.NoError(t, err)
		requireSaysTheSame(t, c, d, bits(t, 9, 4))
		requireSameFile(t, path, d)
		if fe == nil {
			require.ErrorIs(t, d.Fit(t.Context(), bits(t, 16, 1)), downstream.ErrConfig)
		}
		require.NoError(t, d.Close())
	}
	// The network in it can be taken out by its names.
	w, err := tensor.OpenWeights(path)
	require.NoError(t, err)
	taken := &tensor.Weights{}
	for _, a := range w.Arrays {
		if rest, ok := bytes.CutPrefix([]byte(a.Name), []byte("backbone.")); ok {
			a.Name = string(rest)
			taken.Arrays = append(taken.Arrays, a)
		}
	}
	m, err := backbone.FromWeights(taken, tensor.CPU)
	require.NoError(t, err)
	require.NoError(t, m.Close())

	_, err = tensor.WriteWeights(&bytes.Buffer{}, w.Metadata, w.Arrays)
	require.NoError(t, err)
	var short bytes.Buffer
	_, err = tensor.WriteWeights(&short, w.Metadata, w.Arrays[:len(w.Arrays)-3])
	require.NoError(t, err)
	_, err = classify.Read(t.Context(), &short, nil)
	require.ErrorIs(t, err, downstream.ErrFile)
}

// savedClassifier is a small fitted one as bytes.
func savedClassifier(t testing.TB) []byte {
	cfg := frozenConfig(classify.MultiLabel)
	cfg.Epochs = 2
	c := newClassifier(t, &pooler{scale: 1}, cfg)
	require.NoError(t, c.Fit(t.Context(), bits(t, 16, 1)))
	return written(t, c)
}

func TestReadClassifierRefusesDamage(t *testing.T) {
	noLeak(t)
	good := savedClassifier(t)
	read := func(b []byte) error {
		c, err := classify.Read(t.Context(), bytes.NewReader(b), &pooler{scale: 1})
		if err == nil {
			require.NoError(t, c.Close())
		}
		return err
	}
	require.NoError(t, read(good))
	require.ErrorIs(t, read(nil), downstream.ErrFile)
	require.ErrorIs(t, read(good[:len(good)-1]), downstream.ErrFile)
	for name, f := range map[string]damage{
		"kind": otherKind("gotab.padim.1"),
		"no json": func(_ *testing.T, m map[string]string, a []tensor.Array) []tensor.Array {
			m["settings"] = "{"
			return a
		},
		"no head": func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array { return a[1:] },
		"no fingerprint": func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array {
			return a[:2]
		},
		"shape": func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array {
			a[0].Shape = []int64{a[0].Shape[0] * a[0].Shape[1]}
			return a
		},
		"not a number":  notANumber(0),
		"task":          otherSetting("multi-label", "multi"),
		"encoding":      otherSetting("colours", "sounds"),
		"fewer names":   otherSetting(`"upper left",`, ""),
		"a name twice":  otherSetting("upper left", "lower left"),
		"grid":          otherSetting(`"grid":[1,1]`, `"grid":[2,1]`),
		"large input":   otherSetting(`"input":[32,32]`, `"input":[1000000,1000000]`),
		"other input":   otherSetting(`"input":[32,32]`, `"input":[40,32]`),
		"epochs":        otherSetting(`"epochs":2`, `"epochs":-2`),
		"no network":    otherSetting(`"frozen":true`, `"frozen":false`),
		"filter":        otherSetting("lanczos", "best"),
		"learning rate": otherSetting(`"lr":0.05`, `"lr":0`),
	} {
		w, err := tensor.ReadWeights(bytes.NewReader(good))
		require.NoError(t, err)
		changed := f(t, w.Metadata, w.Arrays)
		var buf bytes.Buffer
		_, err = tensor.WriteWeights(&buf, w.Metadata, changed)
		require.NoError(t, err)
		err = read(buf.Bytes())
		if name == "no network" {
			// A pooler cannot be trained, so another reason comes first.
			require.ErrorIs(t, err, downstream.ErrConfig, name)
			_, err = classify.Read(t.Context(), bytes.NewReader(buf.Bytes()), nil)
		}
		require.ErrorIs(t, err, downstream.ErrFile, name)
	}
}

func FuzzReadClassifier(f *testing.F) {
	good := savedClassifier(f)
	f.Add(good)
	f.Add(good[:100])
	f.Add(bytes.Replace(good, []byte(`\"frozen\":true`), []byte(`\"frozen\":null`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := tensor.Live()
		c, err := classify.Read(context.Background(), bytes.NewReader(b), &pooler{scale: 1})
		if err == nil {
			require.NoError(t, c.Close())
		}
		require.Equal(t, before, tensor.Live())
	})
}
