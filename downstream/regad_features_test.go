package downstream_test

import (
	"bytes"
	"context"
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
)

// featuresOf gathers those of images on a machine of its own, through a file.
func featuresOf(t *testing.T, r *downstream.RegAD, imgs []image.Image) *downstream.RegADFeatures {
	t.Helper()
	f, err := r.Features(t.Context(), memory(t, imgs))
	require.NoError(t, err)
	require.Equal(t, len(imgs), f.Images())
	path := t.TempDir() + "/features"
	require.NoError(t, f.Save(path))
	read, err := downstream.OpenRegADFeatures(t.Context(), path)
	require.NoError(t, err)
	var a, b bytes.Buffer
	_, err = f.WriteTo(&a)
	require.NoError(t, err)
	_, err = read.WriteTo(&b)
	require.NoError(t, err)
	require.True(t, bytes.Equal(a.Bytes(), b.Bytes()))
	return read
}

// Features of parts make the detector that a fit on all images makes, to the bit: where samples are kept (one
// image) and where covariances are.
func TestRegADFeaturesOfPartsAreThoseOfAll(t *testing.T) {
	noLeak(t)
	good := textures(5, 81, fakeSide)
	test := append(textures(2, 82, 40), scratched(good[0]))
	for _, cut := range [][]int{{1}, {1, 1, 3}, {2, 3}, {4, 1}} {
		images := 0
		for _, n := range cut {
			images += n
		}
		whole := trainedTiny(t, regadConfig(), good[:images])
		want, err := whole.Score(t.Context(), test...)
		require.NoError(t, err)
		var file bytes.Buffer
		_, err = whole.WriteTo(&file)
		require.NoError(t, err)

		r := trainedTiny(t, regadConfig(), nil)
		var parts []*downstream.RegADFeatures
		at := 0
		for _, n := range cut {
			parts = append(parts, featuresOf(t, trainedTiny(t, regadConfig(), nil), good[at:at+n])) // another machine
			at += n
		}
		_, err = r.Score(t.Context(), test...)
		require.ErrorIs(t, err, downstream.ErrNotFitted, "gathering leaves nothing")
		require.NoError(t, r.FitFeatures(t.Context(), parts...))
		got, err := r.Score(t.Context(), test...)
		require.NoError(t, err)
		require.Equal(t, want, got, cut)
		var merged bytes.Buffer
		_, err = r.WriteTo(&merged)
		require.NoError(t, err)
		require.True(t, bytes.Equal(file.Bytes(), merged.Bytes()), cut)
	}
}

func TestRegADFeaturesRefuse(t *testing.T) {
	noLeak(t)
	good := textures(4, 83, fakeSide)
	r := trainedTiny(t, regadConfig(), nil)
	a, b := featuresOf(t, r, good[:2]), featuresOf(t, r, good[2:])
	refuse := func(is error, r *downstream.RegAD, parts ...*downstream.RegADFeatures) {
		t.Helper()
		require.ErrorIs(t, r.FitFeatures(t.Context(), parts...), is)
	}
	refuse(downstream.ErrTooFewImages, r)
	refuse(downstream.ErrTooFewImages, r, a, nil)
	refuse(downstream.ErrTooFewImages, r, new(downstream.RegADFeatures))
	refuse(downstream.ErrConfig, r, a, a)
	refuse(downstream.ErrConfig, r, a, featuresOf(t, r, []image.Image{textures(1, 84, fakeSide)[0], good[1]}))
	more := regadConfig()
	more.Epochs++
	refuse(downstream.ErrExtractor, trainedTiny(t, more, nil), a, b)
	other := newTiny(t, &fake{}, regadConfig())
	refuse(downstream.ErrNotTrained, other, a)
	_, err := other.Features(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrNotTrained)
	_, err = r.Features(t.Context(), nil)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	seen, err := dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Class: "cloth", Label: dataset.LabelGood}, Image: good[0].(*image.RGBA)}})
	require.NoError(t, err)
	_, err = r.Features(t.Context(), seen)
	require.ErrorIs(t, err, downstream.ErrClass)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = r.Features(ctx, memory(t, good))
	require.ErrorIs(t, err, context.Canceled)
	many := make([]*downstream.RegADFeatures, 0, 33)
	for i := range 33 {
		f, err := r.Features(t.Context(), memory(t, textures(2, uint64(100+i), fakeSide)))
		require.NoError(t, err)
		many = append(many, f)
	}
	refuse(downstream.ErrConfig, r, many...)
	require.NoError(t, r.FitFeatures(t.Context(), a, b))
	require.NoError(t, r.Close())
	refuse(downstream.ErrClosed, r, a, b)
	_, err = r.Features(t.Context(), memory(t, good))
	require.ErrorIs(t, err, downstream.ErrClosed)
}

func TestRegADFeaturesOfDamagedFiles(t *testing.T) {
	f := featuresOf(t, trainedTiny(t, regadConfig(), nil), textures(1, 85, fakeSide))
	var b bytes.Buffer
	_, err := f.WriteTo(&b)
	require.NoError(t, err)
	for _, n := range []int{0, 7, 8, 100, b.Len() / 2, b.Len() - 1} {
		_, err := downstream.ReadRegADFeatures(bytes.NewReader(b.Bytes()[:n]))
		require.ErrorIs(t, err, downstream.ErrFile, n)
	}
	for from, to := range map[string]byte{`\"network\":\"`: 'x', `\"images\":`: '2', `\"maps\":[[`: '9', `\"arch\":\"`: '\n'} {
		data := bytes.Clone(b.Bytes())
		at := bytes.Index(data, []byte(from))
		require.Positive(t, at, from)
		data[at+len(from)] = to
		_, err := downstream.ReadRegADFeatures(bytes.NewReader(data))
		require.ErrorIs(t, err, downstream.ErrFile, from)
	}
	_, err = new(downstream.RegADFeatures).WriteTo(&b)
	require.ErrorIs(t, err, downstream.ErrTooFewImages)
	_, err = downstream.OpenRegADFeatures(t.Context(), t.TempDir()+"/none")
	require.Error(t, err)
}

func FuzzReadRegADFeatures(f *testing.F) {
	r := trainedTiny(f, regadConfig(), nil)
	ds, err := dataset.NewMemory([]dataset.Sample{{Item: dataset.Item{Label: dataset.LabelGood}, Image: textures(1, 86, fakeSide)[0].(*image.RGBA)}})
	require.NoError(f, err)
	features, err := r.Features(f.Context(), ds)
	require.NoError(f, err)
	var b bytes.Buffer
	_, err = features.WriteTo(&b)
	require.NoError(f, err)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		features, err := downstream.ReadRegADFeatures(bytes.NewReader(data))
		if err != nil {
			require.ErrorIs(t, err, downstream.ErrFile)
			return
		}
		require.Positive(t, features.Images())
		_, err = features.WriteTo(&bytes.Buffer{})
		require.NoError(t, err)
	})
}
