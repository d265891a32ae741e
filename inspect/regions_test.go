package inspect_test

import (
	"context"
	"errors"
	"image"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/downstream"
	"github.com/gotab/gotab/inspect"
	"github.com/gotab/gotab/metrics"
)

func leftHalf() inspect.Regions {
	return inspect.Regions{Of: []dataset.Rect{{MaxX: 0.5, MaxY: 1}}}
}

func rightMasked() inspect.Regions {
	m := image.NewGray(image.Rect(3, 5, 7, 9)) // 4x4, not at the origin
	for y := range 4 {
		for x := 2; x < 4; x++ {
			m.Pix[y*m.Stride+x] = 255
		}
	}
	return inspect.Regions{Mask: m}
}

// greys are pictures with a bright right half, of which the left one rises.
func greys(n int) []image.Image {
	out := make([]image.Image, n)
	for i := range out {
		img := grey(0.1 + float64(i)/100)
		for y := range 12 {
			for x := 8; x < 16; x++ {
				img.Pix[y*img.Stride+x] = 250
			}
		}
		out[i] = img
	}
	return out
}

// Each way to say "the left half" looks there alone, from calibration to verdict.
func TestRegionsFromCalibrationToVerdict(t *testing.T) {
	for name, g := range map[string]inspect.Regions{
		"of": leftHalf(), "ignore": {Ignore: []dataset.Rect{{MinX: 0.5, MaxX: 1, MaxY: 1}}}, "mask": rightMasked(),
	} {
		t.Run(name, func(t *testing.T) {
			det, err := inspect.Within(&inspect.Fake{Gain: 1}, g)
			require.NoError(t, err)
			_, err = det.Calibration()
			require.ErrorIs(t, err, downstream.ErrNotCalibrated)
			require.NoError(t, det.Fit(t.Context(), nil))
			c, err := det.Calibrate(t.Context(), set(t, greys(20)), metrics.Overkill(0))
			require.NoError(t, err)
			require.InDelta(t, 0.29, c.Threshold(), 0.01, "the bright half does not count")

			path := filepath.Join(t.TempDir(), "nut")
			spec := fakeSpec()
			spec.Golden = []image.Image{greys(3)[2]}
			require.NoError(t, inspect.Create(t.Context(), path, det, spec))
			b, err := inspect.Open(t.Context(), path)
			require.NoError(t, err)
			defer func() { require.NoError(t, b.Close()) }()
			require.NoError(t, b.Verify(t.Context()))
			require.False(t, b.Regions().All())
			v, err := b.Decide(t.Context(), greys(1)[0], spotted(0.25, 0.5), spotted(0.75, 0.5))
			require.NoError(t, err)
			require.False(t, v[0].Reject)
			require.True(t, v[1].Reject, "a spot on the left")
			require.False(t, v[2].Reject, "a spot on the right")
			for y := range 12 {
				for x := range 16 {
					require.Equal(t, x >= 8, math.IsNaN(float64(v[0].Map.At(x, y))), "(%d, %d)", x, y)
				}
			}
			over, err := v[1].Overlay(spotted(0.25, 0.5)) // what is hidden is hatched, also where it is no frame
			require.NoError(t, err)
			require.Equal(t, image.Pt(16, 12), over.Rect.Size())
			inside := v[1]
			inside.Map.Data = slices.Clone(inside.Map.Data)
			inside.Map.Data[5*inside.Map.W+3] = float32(math.NaN())
			_, err = inside.Overlay(spotted(0.25, 0.5))
			require.NoError(t, err)

			// The same scores outside of a bundle, and in a set.
			r, err := det.Score(t.Context(), greys(1)[0])
			require.NoError(t, err)
			require.Equal(t, v[0].Score, r[0].Score)
			said, err := r[0].Verdict()
			require.NoError(t, err)
			require.Equal(t, v[0].Verdict, said)
			n := 0
			for s, err := range det.ScoreSet(t.Context(), set(t, greys(3))) {
				require.NoError(t, err)
				require.InDelta(t, 0.1+float64(n)/100, s.Score, 0.01)
				n++
			}
			require.Equal(t, 3, n)

			// A camera's pictures likewise, also of other sizes, and until one is missing.
			wide := image.NewGray(image.Rect(0, 0, 64, 12))
			come := []image.Image{greys(1)[0], wide, nil, greys(1)[0]}
			want, err := det.Score(t.Context(), come[:2]...)
			require.NoError(t, err)
			var got []downstream.Result
			err = nil
			for r, e := range det.ScoreSeq(t.Context(), slices.Values(come)) {
				if err = e; err == nil {
					got = append(got, r)
				}
			}
			require.Equal(t, want, got)
			require.ErrorIs(t, err, downstream.ErrImage)
		})
	}
}

type transformed struct{ dataset.Dataset }

func (transformed) Transform() (dataset.Transform, bool) { return dataset.Square(8), true }

func TestRegionsRefuse(t *testing.T) {
	nan := math.NaN()
	for _, g := range []inspect.Regions{
		{Of: []dataset.Rect{{MinX: 0.5, MaxX: 0.5, MaxY: 1}}},
		{Of: []dataset.Rect{{MinX: -0.1, MaxX: 0.5, MaxY: 1}}},
		{Ignore: []dataset.Rect{{MaxX: 1.1, MaxY: 1}}},
		{Ignore: []dataset.Rect{{MinY: nan, MaxX: 1, MaxY: 1}}},
		{Of: make([]dataset.Rect, 1025)},
		{Mask: &image.Gray{}},
		{Mask: &image.Gray{Pix: make([]byte, 3), Stride: 2, Rect: image.Rect(0, 0, 2, 2)}},
	} {
		_, err := inspect.Within(&inspect.Fake{}, g)
		require.ErrorIs(t, err, downstream.ErrConfig)
	}
	_, err := inspect.Within(nil, leftHalf())
	require.ErrorIs(t, err, downstream.ErrConfig)

	small, err := inspect.Within(&inspect.Fake{Gain: 1}, inspect.Regions{Of: []dataset.Rect{{MaxX: 0.01, MaxY: 0.01}}})
	require.NoError(t, err)
	_, err = small.Score(t.Context(), grey(0.1))
	require.ErrorIs(t, err, downstream.ErrConfig)
	require.ErrorContains(t, err, "larger")

	det, err := inspect.Within(&inspect.Fake{Gain: 1}, leftHalf())
	require.NoError(t, err)
	for _, ds := range []dataset.Dataset{nil, transformed{set(t, greys(2))}} {
		failed := false
		for _, err := range det.ScoreSet(t.Context(), ds) {
			failed = err != nil
			if ds != nil {
				require.ErrorIs(t, err, errors.ErrUnsupported)
			}
		}
		require.True(t, failed)
	}
	_, err = det.Calibrate(t.Context(), transformed{set(t, greys(20))}, metrics.Overkill(0.1))
	require.ErrorIs(t, err, errors.ErrUnsupported)
	for _, err := range det.ScoreSeq(t.Context(), slices.Values([]image.Image{(*image.RGBA)(nil)})) {
		require.Error(t, err)
	}
	_, err = det.Score(t.Context(), broken())
	require.ErrorIs(t, err, inspect.ErrBright)
	require.ErrorIs(t, det.Save(filepath.Join(t.TempDir(), "x")), errors.ErrUnsupported)
	require.NoError(t, det.Close())
}

// A tiled detector keeps its tiles in the bundle, and is calibrated on whole pictures.
func TestTiledBundle(t *testing.T) {
	noLeak(t)
	net := network(t)
	p, err := downstream.NewPaDiM(net, tinyConfig(), nil)
	require.NoError(t, err)
	tiled, err := downstream.NewTiled(p, downstream.DefaultTiled())
	require.NoError(t, err)
	defer func() { require.NoError(t, tiled.Close()) }()
	long := func(n int, seed uint64) (out []image.Image) {
		for _, img := range plates(2*n, seed) {
			if len(out) > 0 && out[len(out)-1].Bounds().Dx() == side {
				wide := image.NewRGBA(image.Rect(0, 0, 2*side, side))
				for y := range side {
					for x := range side {
						wide.Set(x, y, out[len(out)-1].At(x, y))
						wide.Set(side+x, y, img.At(x, y))
					}
				}
				out[len(out)-1] = wide
				continue
			}
			out = append(out, img)
		}
		return out
	}
	require.NoError(t, tiled.Fit(t.Context(), set(t, long(8, 1))))
	spec := realSpec(net)
	spec.Golden = long(1, 9)
	path := filepath.Join(t.TempDir(), "plate")
	require.ErrorIs(t, inspect.Create(t.Context(), path, tiled, spec), downstream.ErrNotCalibrated)
	_, err = tiled.Calibrate(t.Context(), set(t, long(10, 2)), metrics.Overkill(0.1))
	require.NoError(t, err)
	require.NoError(t, inspect.Create(t.Context(), path, tiled, spec))
	// The same detector without its tiles has no calibration for what it sees.
	require.ErrorIs(t, inspect.Create(t.Context(), path, p, spec), downstream.ErrNotCalibrated)
	b, err := inspect.Open(t.Context(), path)
	require.NoError(t, err)
	defer func() { require.NoError(t, b.Close()) }()
	img := long(1, 3)[0]
	want, err := tiled.Score(t.Context(), img)
	require.NoError(t, err)
	got, err := b.Decide(t.Context(), img)
	require.NoError(t, err)
	require.InEpsilon(t, want[0].Score, got[0].Score, 1e-5)
	require.Equal(t, 2*side*side, len(got[0].Map.Data))
	require.Equal(t, image.Pt(side, side), b.Info().Input)
	said, err := want[0].Verdict()
	require.NoError(t, err)
	require.Equal(t, said.Threshold, got[0].Threshold)
}

// Bundles of one backbone share it, and the last one closes it. Regions, and another
// network that does not fit, go through the whole.
func TestBundlesShareABackbone(t *testing.T) {
	noLeak(t)
	path, p := realBundle(t)
	within, err := inspect.Within(p, leftHalf())
	require.NoError(t, err)
	_, err = within.Calibrate(t.Context(), set(t, plates(20, 5)), metrics.Conformal(0.1))
	require.NoError(t, err)
	net := network(t)
	second := filepath.Join(t.TempDir(), "second")
	require.NoError(t, inspect.Create(t.Context(), second, within, realSpec(net)))
	require.Zero(t, inspect.SharedNets())
	type opened struct {
		b   *inspect.Bundle
		err error
	}
	got := make(chan opened)
	for k := range 6 {
		go func() {
			b, err := inspect.Open(t.Context(), []string{path, second}[k%2])
			got <- opened{b, err}
		}()
	}
	var all []*inspect.Bundle
	for range 6 {
		o := <-got
		require.NoError(t, o.err)
		all = append(all, o.b)
	}
	require.Equal(t, 1, inspect.SharedNets())
	for _, b := range all {
		require.Same(t, inspect.NetOf(all[0]), inspect.NetOf(b))
	}
	for i, b := range all {
		require.Equal(t, 1, inspect.SharedNets())
		require.NoError(t, b.Close())
		if i < len(all)-1 {
			require.NoError(t, all[len(all)-1].Verify(t.Context()), "what is left goes on")
		}
	}
	require.Zero(t, inspect.SharedNets())

	// A context that has ended, a backbone that was altered, one that is not the fit's.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = inspect.Open(ctx, path)
	require.ErrorIs(t, err, context.Canceled)
	file, err := os.ReadFile(path)
	require.NoError(t, err)
	bad, err := inspect.Reseal(file, nil, map[string][]byte{"backbone": make([]byte, 100)})
	require.NoError(t, err)
	_, err = inspect.OpenBytes(t.Context(), bad)
	require.ErrorIs(t, err, inspect.ErrBundle)
	file[len(file)/2] ^= 1
	_, err = inspect.OpenBytes(t.Context(), file)
	require.ErrorIs(t, err, inspect.ErrBundle)
	require.Zero(t, inspect.SharedNets())
	other := realSpec(otherNetwork(t))
	_, err = p.Calibrate(t.Context(), set(t, plates(20, 2)), metrics.Overkill(0.1))
	require.NoError(t, err)
	require.ErrorIs(t, inspect.Create(t.Context(), second, p, other), downstream.ErrExtractor)
	other.Backbone = nil
	require.ErrorIs(t, inspect.Create(t.Context(), second, p, other), downstream.ErrConfig)
}
