package dataset_test

import (
	"fmt"
	"image"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

func TestTransformZeroValueIsIdentity(t *testing.T) {
	var tr dataset.Transform
	require.Equal(t, "unchanged", tr.String())
	img := fromRGB(7, 5, pictureBytes(105, false))
	got, err := tr.Image(img)
	require.NoError(t, err)
	require.Equal(t, img, got)
	got.Pix[0]++
	require.NotEqual(t, img.Pix[0], got.Pix[0], "the result shares its pixels with the input")

	m := &image.Gray{Pix: pictureBytes(35, true), Stride: 7, Rect: image.Rect(0, 0, 7, 5)}
	gotMask, err := tr.Mask(m)
	require.NoError(t, err)
	require.Equal(t, m, gotMask)
	none, err := tr.Mask(nil)
	require.NoError(t, err)
	require.Nil(t, none)
}

// TestCropEqualsCroppingTheWhole holds the shortcut of computing only what
// remains against computing everything, over random sizes.
func TestCropEqualsCroppingTheWhole(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	shared := dataset.Transform{}.Shared() // 600 sizes: more tables than are remembered
	for range 600 {
		in := image.Pt(1+rng.IntN(60), 1+rng.IntN(60))
		out := image.Pt(1+rng.IntN(60), 1+rng.IntN(60))
		crop := image.Pt(1+rng.IntN(out.X), 1+rng.IntN(out.Y))
		tr := shared
		tr.Exact, tr.RowsFirst = out, rng.IntN(2) == 0
		tr.Filter = dataset.Kernel(rng.IntN(4))
		kind := []string{"noise", "hard", "grey"}[rng.IntN(3)]
		name := fmt.Sprintf("%v to %v crop %v %s %s", in, out, crop, tr.Filter, kind)
		img := picture(in.X, in.Y, kind)
		whole, err := tr.Image(img)
		require.NoError(t, err, name)
		tr.Crop = crop
		got, err := tr.Image(img)
		require.NoError(t, err, name)
		// Python's round: to even.
		half := func(n int) int {
			if n%2 == 0 {
				return n / 2
			}
			return (n/2 + 1) / 2 * 2
		}
		at := image.Pt(half(out.X-crop.X), half(out.Y-crop.Y))
		want := dataset.ToRGBA(whole.SubImage(image.Rectangle{Min: at, Max: at.Add(crop)}))
		require.Equal(t, want, got, name)
	}
}

func TestMaskEqualsNearestPicture(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	for range 100 {
		w, h := 1+rng.IntN(99), 1+rng.IntN(99)
		tr := dataset.Transform{Exact: image.Pt(1+rng.IntN(99), 1+rng.IntN(99)), Filter: dataset.Lanczos}
		m := &image.Gray{Pix: pictureBytes(w*h, true), Stride: w, Rect: image.Rect(0, 0, w, h)}
		got, err := tr.Mask(m)
		require.NoError(t, err)
		tr.Filter = dataset.Nearest
		want, err := tr.Image(m)
		require.NoError(t, err)
		require.Equal(t, red(rgb(t, want)), got.Pix)
	}
}

func TestTransformSizeAndRect(t *testing.T) {
	tr := dataset.PaDiM224()
	for _, c := range []struct {
		w, h int
		want dataset.Rect
	}{
		{256, 256, dataset.Rect{MinX: 16, MinY: 16, MaxX: 240, MaxY: 240}},
		{512, 512, dataset.Rect{MinX: 32, MinY: 32, MaxX: 480, MaxY: 480}},
		// 329x288 becomes 292x256; (292-224)/2 is 34.
		{329, 288, dataset.Rect{MinX: 34 * 329 / 292., MinY: 16 * 288 / 256., MaxX: 258 * 329 / 292., MaxY: 240 * 288 / 256.}},
	} {
		got, err := tr.Rect(c.w, c.h)
		require.NoError(t, err)
		require.InDelta(t, c.want.MinX, got.MinX, 1e-9)
		require.InDelta(t, c.want.MinY, got.MinY, 1e-9)
		require.InDelta(t, c.want.MaxX, got.MaxX, 1e-9)
		require.InDelta(t, c.want.MaxY, got.MaxY, 1e-9)
		size, err := tr.Size(c.w, c.h)
		require.NoError(t, err)
		require.Equal(t, image.Pt(224, 224), size)
	}
	size, err := dataset.Transform{Shorter: 256}.Size(329, 288)
	require.NoError(t, err)
	require.Equal(t, image.Pt(292, 256), size)
	size, err = dataset.Square(224).Size(10, 1000)
	require.NoError(t, err)
	require.Equal(t, image.Pt(224, 224), size)
	require.Equal(t, "shorter side 256 lanczos, centre 224x224", tr.String())
	require.Equal(t, "exactly 64x64 lanczos", dataset.Square(64).String())
}

func TestTransformErrors(t *testing.T) {
	img := smooth(10, 20, false)
	for name, tr := range map[string]dataset.Transform{
		"Shorter":            {Shorter: -1},
		"Shorter and Exact":  {Shorter: 5, Exact: image.Pt(5, 5)},
		"Exact":              {Exact: image.Pt(5, 0)},
		"Crop":               {Crop: image.Pt(-5, 5)},
		"Filter":             {Shorter: 5, Filter: 9},
		"Exact 5x5":          {Exact: image.Pt(5, 5), Crop: image.Pt(6, 5)},
		"shorter side of 5":  {Shorter: 5, Crop: image.Pt(6, 6)},
		"want sides of 1 to": {Exact: image.Pt(1<<20, 1<<20)},
	} {
		_, err := tr.Image(img)
		require.ErrorIs(t, err, dataset.ErrConfig, name)
		require.ErrorContains(t, err, name)
		_, err = tr.Mask(image.NewGray(image.Rect(0, 0, 3, 3)))
		require.ErrorIs(t, err, dataset.ErrConfig, name)
		_, err = tr.Rect(3, 3)
		require.ErrorIs(t, err, dataset.ErrConfig, name)
	}
	_, err := dataset.Transform{Crop: image.Pt(11, 5)}.Image(img)
	require.ErrorIs(t, err, dataset.ErrSize)
	require.ErrorContains(t, err, "11x5 does not fit into 10x20")
	_, err = dataset.Transform{}.Image(nil)
	require.ErrorIs(t, err, dataset.ErrSize)
	_, err = dataset.Transform{Shorter: 5}.Image(image.NewRGBA(image.Rectangle{}))
	require.ErrorIs(t, err, dataset.ErrSize)
	// One pixel wide and very long: the longer side would be beyond all measure.
	_, err = dataset.Transform{Shorter: 256}.Image(image.NewGray(image.Rect(0, 0, 1, 5000)))
	require.ErrorIs(t, err, dataset.ErrSize)
}

func TestTransformIsSafeForConcurrentUse(t *testing.T) {
	tr := dataset.PaDiM224()
	var want [6]*image.RGBA
	imgs := [6]image.Image{}
	for i := range want {
		imgs[i] = picture(230+7*i, 240, []string{"noise", "grey", "hard"}[i%3])
		var err error
		want[i], err = dataset.Transform{Shorter: 256, Crop: image.Pt(224, 224)}.Image(imgs[i])
		require.NoError(t, err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 6 {
				k := (i + g) % 6
				got, err := tr.Image(imgs[k])
				if err != nil || string(got.Pix) != string(want[k].Pix) {
					t.Errorf("image %d differs: %v", k, err)
				}
			}
		}()
	}
	wg.Wait()
}
