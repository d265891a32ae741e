package downstream_test

import (
	"bytes"
	"context"
	"image"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// opener is OpenPaDiM or that of another detector.
type opener[D detector] func(ctx context.Context, path string, fe downstream.Extractor, opts ...downstream.Option) (D, error)

// requireSavedAndOpened is requireOpensTheSame for a detector that borrows its
// extractor: another one is refused.
func requireSavedAndOpened[D detector](t *testing.T, p D, open opener[D], imgs []image.Image) (path string, q D) {
	t.Helper()
	path, q = requireOpensTheSame(t, p, open, imgs)
	_, err := open(t.Context(), path, &fake{scale: 1.01})
	require.ErrorIs(t, err, downstream.ErrExtractor)
	return path, q
}

// requireOpensTheSame saves p and returns where, and the detector read back, which
// must score imgs bit for bit as p does.
func requireOpensTheSame[D detector](t *testing.T, p D, open opener[D], imgs []image.Image) (path string, q D) {
	t.Helper()
	want, err := p.Score(t.Context(), imgs...)
	require.NoError(t, err)
	path = filepath.Join(t.TempDir(), "detector.safetensors")
	require.NoError(t, p.Save(path))
	q, err = open(t.Context(), path, &fake{scale: 1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, q.Close()) })
	got, err := q.Score(t.Context(), imgs...)
	require.NoError(t, err)
	require.Equal(t, want, got)

	_, err = open(t.Context(), path+"x", &fake{scale: 1})
	require.ErrorIs(t, err, os.ErrNotExist)
	return path, q
}

// requireWritesFile writes q, which must be what is at path.
func requireWritesFile(t *testing.T, path string, q detector) {
	t.Helper()
	first, err := os.ReadFile(path)
	require.NoError(t, err)
	var second bytes.Buffer
	n, err := q.WriteTo(&second)
	require.NoError(t, err)
	require.Equal(t, int64(second.Len()), n)
	require.True(t, bytes.Equal(first, second.Bytes()))
}

// written returns p as bytes.
func written(t testing.TB, p io.WriterTo) []byte {
	t.Helper()
	var buf bytes.Buffer
	_, err := p.WriteTo(&buf)
	require.NoError(t, err)
	return buf.Bytes()
}

// reader is ReadPaDiM or that of another detector.
type reader[D detector] func(ctx context.Context, r io.Reader, fe downstream.Extractor, opts ...downstream.Option) (D, error)

// damage changes metadata and arrays of a file.
type damage func(t *testing.T, meta map[string]string, arrays []tensor.Array) []tensor.Array

// otherSetting replaces a part of the settings.
func otherSetting(old, replaced string) damage {
	return func(t *testing.T, m map[string]string, a []tensor.Array) []tensor.Array {
		require.Contains(t, m["settings"], old)
		m["settings"] = strings.Replace(m["settings"], old, replaced, 1)
		return a
	}
}

// A damaged input size is refused before the network is run on it. (A RegAD has its
// own network in the file, which its damage table covers; a classifier has no size
// that it would run a network on.)
func TestReadDoesNotRunTheNetworkOnADamagedSize(t *testing.T) {
	noLeak(t)
	for name, c := range map[string]struct {
		good []byte
		read func(r io.Reader, fe downstream.Extractor) error
	}{
		"PaDiM": {saved(t, fakeConfig()), func(r io.Reader, fe downstream.Extractor) error {
			_, err := downstream.ReadPaDiM(t.Context(), r, fe)
			return err
		}},
		"PatchCore": {savedPatchCore(t, patchConfig()), func(r io.Reader, fe downstream.Extractor) error {
			_, err := downstream.ReadPatchCore(t.Context(), r, fe)
			return err
		}},
		"RD4AD": {savedRD4AD(t), func(r io.Reader, fe downstream.Extractor) error {
			_, err := downstream.ReadRD4AD(t.Context(), r, fe)
			return err
		}},
		"SimpleNet": {savedSimpleNet(t, simpleConfig()), func(r io.Reader, fe downstream.Extractor) error {
			_, err := downstream.ReadSimpleNet(t.Context(), r, fe)
			return err
		}},
	} {
		for _, size := range []string{"640,640", "33,32", "32,40", "64,64"} {
			w, err := tensor.ReadWeights(bytes.NewReader(c.good))
			require.NoError(t, err)
			arrays := otherSetting(`"input":[32,32]`, `"input":[`+size+`]`)(t, w.Metadata, w.Arrays)
			var b bytes.Buffer
			_, err = tensor.WriteWeights(&b, w.Metadata, arrays)
			require.NoError(t, err)
			fe := &fake{scale: 1}
			err = c.read(&b, fe)
			require.ErrorIs(t, err, downstream.ErrFile, "%s, %s", name, size)
			require.ErrorContains(t, err, "the transform", "%s, %s", name, size)
			require.Zero(t, fe.calls.Load(), "%s, %s", name, size)
		}
	}
}

// otherKind marks a file as of another kind.
func otherKind(kind string) damage {
	return func(_ *testing.T, m map[string]string, a []tensor.Array) []tensor.Array {
		m["kind"] = kind
		return a
	}
}

// notANumber puts a NaN into an array.
func notANumber(array int) damage {
	return func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array {
		copy(a[array].Data[8:], []byte{0, 0, 0xc0, 0x7f})
		return a
	}
}

// requireRefusesDamage damages a good file in ways that no detector may read,
// and in those of own.
func requireRefusesDamage[D detector](t *testing.T, good []byte, open reader[D], own map[string]damage) {
	t.Helper()
	read := func(b []byte) error {
		p, err := open(t.Context(), bytes.NewReader(b), &fake{scale: 1})
		if err == nil {
			require.NoError(t, p.Close())
		}
		return err
	}
	require.NoError(t, read(good))
	require.ErrorIs(t, read(nil), downstream.ErrFile)
	require.ErrorIs(t, read(good[:len(good)-1]), downstream.ErrFile)
	all := map[string]damage{
		"no json": func(_ *testing.T, m map[string]string, a []tensor.Array) []tensor.Array {
			m["settings"] = "{"
			return a
		},
		"missing": func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array { return a[:2] },
		"shape": func(_ *testing.T, _ map[string]string, a []tensor.Array) []tensor.Array {
			a[0].Shape = []int64{int64(len(a[0].Data) / 4)}
			return a
		},
		"large grid":   otherSetting(`"grid":[8,8]`, `"grid":[1000000,1000000]`),
		"another grid": otherSetting(`"grid":[8,8]`, `"grid":[8,9]`),
		"filter":       otherSetting("lanczos", "best"),
		"layer":        otherSetting("layer2", "layer9"),
	}
	maps.Copy(all, own)
	for name, f := range all {
		w, err := tensor.ReadWeights(bytes.NewReader(good))
		require.NoError(t, err)
		changed := f(t, w.Metadata, w.Arrays)
		var buf bytes.Buffer
		_, err = tensor.WriteWeights(&buf, w.Metadata, changed)
		require.NoError(t, err)
		require.ErrorIs(t, read(buf.Bytes()), downstream.ErrFile, name)
	}
}

// fuzzRead reads changed files, which must leak nothing.
func fuzzRead[D detector](f *testing.F, good []byte, open reader[D]) {
	f.Add(good)
	f.Add(good[:100])
	f.Add(bytes.Replace(good, []byte(`\"grid\":[4,4]`), []byte(`\"grid\":[9,9]`), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := tensor.Live()
		p, err := open(context.Background(), bytes.NewReader(b), &fake{scale: 1})
		if err == nil {
			require.NoError(t, p.Close())
		}
		require.Equal(t, before, tensor.Live())
	})
}
