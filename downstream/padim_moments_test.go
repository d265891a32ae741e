package downstream_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"image"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/tensor"
)

// bare is a PaDiM that is not fitted.
func bare(t *testing.T, fe downstream.Extractor, cfg downstream.PaDiMConfig) *downstream.PaDiM {
	t.Helper()
	p, err := downstream.NewPaDiM(fe, cfg, nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.Close()) })
	return p
}

// momentsOf gathers those of images on a machine of its own, through a file.
func momentsOf(t *testing.T, fe downstream.Extractor, cfg downstream.PaDiMConfig, imgs []image.Image) *downstream.PaDiMMoments {
	t.Helper()
	m, err := bare(t, fe, cfg).Moments(t.Context(), memory(t, imgs))
	require.NoError(t, err)
	require.Equal(t, len(imgs), m.Images())
	path := t.TempDir() + "/moments"
	require.NoError(t, m.Save(path))
	read, err := downstream.OpenPaDiMMoments(t.Context(), path)
	require.NoError(t, err)
	var a, b bytes.Buffer
	_, err = m.WriteTo(&a)
	require.NoError(t, err)
	_, err = read.WriteTo(&b)
	require.NoError(t, err)
	require.Equal(t, a.Bytes(), b.Bytes())
	return read
}

// values are the float64 arrays of a file of moments.
func values(t *testing.T, m *downstream.PaDiMMoments) map[string][]float64 {
	t.Helper()
	var b bytes.Buffer
	_, err := m.WriteTo(&b)
	require.NoError(t, err)
	w, err := tensor.ReadWeights(&b)
	require.NoError(t, err)
	out := map[string][]float64{}
	for _, a := range w.Arrays {
		if a.DType == tensor.Float64 {
			for at := 0; at < len(a.Data); at += 8 {
				out[a.Name] = append(out[a.Name], math.Float64frombits(binary.LittleEndian.Uint64(a.Data[at:])))
			}
		}
	}
	require.Len(t, out, 2)
	return out
}

// TestPaDiMMomentsOfPartsAreThoseOfAll divides images of two kinds, so that the means of the parts
// lie apart, and puts the parts together in several orders. Rounding of double precision is 1e-16; sums of
// 31 images whose largest terms cancel to a few parts in a hundred keep 1e-12.
func TestPaDiMMomentsOfPartsAreThoseOfAll(t *testing.T) {
	noLeak(t)
	fe, cfg := &fake{scale: 1}, fakeConfig()
	good := textures(31, 41, 40)
	for _, img := range good[20:] {
		px := img.(*image.RGBA).Pix
		for i, v := range px {
			px[i] = uint8(min(int(v)+90, 255))
		}
	}
	test := append(textures(2, 42, 40), scratched(good[0]))
	whole := momentsOf(t, fe, cfg, good)
	p := bare(t, fe, cfg)
	require.NoError(t, p.FitMoments(t.Context(), whole))
	want, err := p.Score(t.Context(), test...)
	require.NoError(t, err)
	fit, err := fitted(t, fe, cfg, good).Score(t.Context(), test...)
	require.NoError(t, err)

	other := cfg
	other.Batch, other.Sigma, other.Epsilon = 3, cfg.Sigma+1, 2*cfg.Epsilon // none of which is in the moments
	parts := []*downstream.PaDiMMoments{momentsOf(t, fe, cfg, good[:1]), momentsOf(t, fe, other, good[1:20]), momentsOf(t, fe, cfg, good[20:22]), momentsOf(t, fe, cfg, good[22:])}
	for _, order := range [][]int{{0, 1, 2, 3}, {3, 2, 1, 0}, {2, 0, 3, 1}} {
		var list []*downstream.PaDiMMoments
		for _, i := range order {
			list = append(list, parts[i])
		}
		sum := momentsOf(t, fe, cfg, good[:1])
		for _, m := range parts[1:] {
			require.NoError(t, sum.Add(m))
		}
		require.Equal(t, len(good), sum.Images())
		was := values(t, whole)
		for name, got := range values(t, sum) {
			top := 0.0
			for _, v := range was[name] {
				top = max(top, math.Abs(v))
			}
			for i, v := range got {
				require.InDelta(t, was[name][i], v, 1e-12*top, "%s %d", name, i)
			}
		}
		q := bare(t, fe, cfg)
		require.NoError(t, q.FitMoments(t.Context(), list...))
		got, err := q.Score(t.Context(), test...)
		require.NoError(t, err)
		for i, r := range got {
			// The whitening is kept in single precision: its last bit may differ.
			require.LessOrEqual(t, relative(t, want[i].Map.Data, r.Map.Data), 1e-6)
			require.LessOrEqual(t, relative(t, slowMap(t, fe, cfg, good, test[i]), r.Map.Data), roundingTolerance)
			require.LessOrEqual(t, relative(t, fit[i].Map.Data, r.Map.Data), roundingTolerance)
			require.Greater(t, relative(t, slowMap(t, fe, cfg, good[:20], test[i]), r.Map.Data), 100*roundingTolerance, "the second kind changes nothing: the comparison is empty")
		}
		// It is a detector like any other: it goes on, into a file and with more images.
		update(t, reopened(t, q, fe), textures(2, 77, 40))
	}
}

func TestPaDiMMomentsRefuse(t *testing.T) {
	noLeak(t)
	fe, cfg := &fake{scale: 1}, fakeConfig()
	good := textures(8, 41, 40)
	m := momentsOf(t, fe, cfg, good[:4])
	before := values(t, m)
	p := bare(t, fe, cfg)
	refuse := func(is error, other *downstream.PaDiMMoments) {
		t.Helper()
		require.ErrorIs(t, m.Add(other), is)
		require.ErrorIs(t, p.FitMoments(t.Context(), m, other), is)
		require.Equal(t, before, values(t, m))
	}
	refuse(downstream.ErrConfig, m)
	refuse(downstream.ErrConfig, momentsOf(t, fe, cfg, good[:4])) // the same images, from another file
	require.ErrorIs(t, m.Add(nil), downstream.ErrConfig)
	require.ErrorIs(t, m.Add(new(downstream.PaDiMMoments)), downstream.ErrConfig)
	require.ErrorIs(t, p.FitMoments(t.Context()), downstream.ErrTooFewImages)
	require.ErrorIs(t, p.FitMoments(t.Context(), nil), downstream.ErrTooFewImages)
	require.ErrorIs(t, p.FitMoments(t.Context(), momentsOf(t, fe, cfg, good[:1])), downstream.ErrTooFewImages)
	fewer := cfg
	fewer.Channels = slices.Clone(p.Config().Channels)[1:]
	refuse(downstream.ErrConfig, momentsOf(t, fe, fewer, good[4:]))
	larger := cfg
	larger.Transform = dataset.Transform{Exact: image.Pt(fakeSide+8, fakeSide+8)}
	refuse(downstream.ErrConfig, momentsOf(t, fe, larger, good[4:]))
	refuse(downstream.ErrExtractor, momentsOf(t, &fake{scale: 1.2}, cfg, good[4:]))
	require.ErrorIs(t, bare(t, &fake{scale: 1.2}, cfg).FitMoments(t.Context(), m), downstream.ErrExtractor)
	_, err := p.Score(t.Context(), good[0])
	require.ErrorIs(t, err, downstream.ErrNotFitted, "what was refused has left nothing")

	_, err = p.Moments(t.Context(), nil)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	bad, err := dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Name: "b", Defect: "hole", Label: dataset.LabelDefective}, Image: good[1].(*image.RGBA)}})
	require.NoError(t, err)
	_, err = p.Moments(t.Context(), bad)
	require.ErrorIs(t, err, downstream.ErrNotNormal)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = p.Moments(ctx, memory(t, good))
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, p.Close())
	_, err = p.Moments(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrClosed)
	require.ErrorIs(t, p.FitMoments(t.Context(), m), downstream.ErrClosed)
}

func TestPaDiMMomentsOfDamagedFiles(t *testing.T) {
	m := momentsOf(t, &fake{scale: 1}, fakeConfig(), textures(3, 41, 40))
	var b bytes.Buffer
	_, err := m.WriteTo(&b)
	require.NoError(t, err)
	for _, n := range []int{0, 7, 8, 100, b.Len() / 2, b.Len() - 1} {
		_, err := downstream.ReadPaDiMMoments(bytes.NewReader(b.Bytes()[:n]))
		require.ErrorIs(t, err, downstream.ErrFile, n)
	}
	head := int(binary.LittleEndian.Uint64(b.Bytes())) + 8
	for at := 0; at < head; at += 3 {
		data := bytes.Clone(b.Bytes())
		data[at] ^= 1 << (at % 7)
		if read, err := downstream.ReadPaDiMMoments(bytes.NewReader(data)); err != nil {
			require.ErrorIs(t, err, downstream.ErrFile)
		} else {
			require.Positive(t, read.Images())
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1)} {
		data := bytes.Clone(b.Bytes())
		binary.LittleEndian.PutUint64(data[len(data)-8:], math.Float64bits(v))
		i := bytes.Index(data, []byte(`"fingerprint"`))
		require.Positive(t, i)
		for at := head; at+8 <= len(data); at += 8 { // every value in turn would take long: all of them
			binary.LittleEndian.PutUint64(data[at:], math.Float64bits(v))
		}
		_, err := downstream.ReadPaDiMMoments(bytes.NewReader(data))
		require.ErrorIs(t, err, downstream.ErrFile)
	}
	_, err = new(downstream.PaDiMMoments).WriteTo(&b)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	_, err = downstream.OpenPaDiMMoments(t.Context(), t.TempDir()+"/none")
	require.Error(t, err)
}

// Moments that are added to each other, and written, by goroutines at the same time do not wait for each other
// for ever, and every write has one of the states.
func TestPaDiMMomentsConcurrent(t *testing.T) {
	good := textures(6, 41, 40)
	a, b := momentsOf(t, &fake{scale: 1}, fakeConfig(), good[:2]), momentsOf(t, &fake{scale: 1}, fakeConfig(), good[2:5])
	c := momentsOf(t, &fake{scale: 1}, fakeConfig(), good[5:])
	var wg sync.WaitGroup
	for _, f := range []func() error{
		func() error { return a.Add(b) }, func() error { return b.Add(a) }, func() error { return a.Add(c) },
		func() error {
			var w bytes.Buffer
			if _, err := a.WriteTo(&w); err != nil {
				return err
			}
			_, err := downstream.ReadPaDiMMoments(&w)
			return err
		},
	} {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f(); err != nil {
				t.Error(err)
			}
		}()
	}
	wg.Wait()
	require.GreaterOrEqual(t, a.Images(), 6)
	require.GreaterOrEqual(t, b.Images(), 5)
}

func FuzzReadPaDiMMoments(f *testing.F) {
	cfg := fakeConfig() // a file of some hundred bytes, so that the fuzzer changes what matters
	cfg.Channels = []int{1, 6}
	cfg.Transform = dataset.Square(16)
	p, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
	require.NoError(f, err)
	f.Cleanup(func() { require.NoError(f, p.Close()) })
	m, err := p.Moments(f.Context(), memory(f, textures(3, 22, fakeSide)))
	require.NoError(f, err)
	var b bytes.Buffer
	_, err = m.WriteTo(&b)
	require.NoError(f, err)
	f.Add(b.Bytes())
	f.Add(b.Bytes()[:100])
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := downstream.ReadPaDiMMoments(bytes.NewReader(data))
		if err != nil {
			return
		}
		var first, second bytes.Buffer
		if _, err := m.WriteTo(&first); err != nil {
			t.Fatal(err)
		}
		again, err := downstream.ReadPaDiMMoments(bytes.NewReader(first.Bytes()))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if _, err := again.WriteTo(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Fatalf("it is written otherwise the second time (%v)", err)
		}
		q, err := downstream.NewPaDiM(&fake{scale: 1}, cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.FitMoments(t.Context(), m); err == nil {
			// Means that no features have give distances that are not finite, which Score says.
			if _, err := q.Score(t.Context(), textures(1, 5, fakeSide)[0]); err != nil && !errors.Is(err, downstream.ErrNotFinite) {
				t.Fatal(err)
			}
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
