package main

import (
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// picture writes a grey picture, or one with a dark square.
func picture(t *testing.T, path string, defect bool) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 40, 32))
	for i := range img.Pix {
		img.Pix[i] = uint8(140 + (i*7)%23)
		if defect && i%40 >= 14 && i%40 < 22 && i/40 >= 10 && i/40 < 18 {
			img.Pix[i] = 20
		}
	}
	write(t, path, img)
}

// maskOf writes the mask of such a picture.
func maskOf(t *testing.T, path string, defect bool) {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 40, 32))
	for y := 10; y < 18 && defect; y++ {
		for x := 14; x < 22; x++ {
			img.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	write(t, path, img)
}

func write(t *testing.T, path string, img image.Image) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
	f, err := os.Create(path)
	require.NoError(t, err)
	require.NoError(t, png.Encode(f, img))
	require.NoError(t, f.Close())
}

// Data sets in other layouts than MVTec AD's are evaluated as they lie.
func TestOtherLayouts(t *testing.T) {
	dir := t.TempDir()
	ksdd2 := filepath.Join(dir, "ksdd2") // the first picture of the training split has a defect, too
	for i, split := range []string{"train/10000", "train/10001", "train/10002", "test/20000", "test/20001", "test/20002", "test/20003"} {
		defect := i == 0 || i > 4
		picture(t, filepath.Join(ksdd2, split+".png"), defect)
		maskOf(t, filepath.Join(ksdd2, split+"_GT.png"), defect)
	}
	mvtec2 := filepath.Join(dir, "mvtec2")
	for _, class := range []string{"can", "rice"} {
		for _, n := range []string{"000", "001"} {
			picture(t, filepath.Join(mvtec2, class, "train", "good", n+"_regular.png"), false)
			picture(t, filepath.Join(mvtec2, class, "test_public", "good", n+"_regular.png"), false)
			picture(t, filepath.Join(mvtec2, class, "test_public", "bad", n+"_regular.png"), true)
			maskOf(t, filepath.Join(mvtec2, class, "test_public", "ground_truth", "bad", n+"_regular_mask.png"), true)
		}
	}
	path := filepath.Join(dir, "r.jsonl")
	_, stderr, err := evaluateDark(t, t.Context(), newDark(), "-data", ksdd2, "-data", mvtec2, "-json", path)
	require.NoError(t, err)
	require.Contains(t, stderr, "1 images with defects left out")
	records := recordsOf(t, path)
	require.Len(t, records, 3)
	for i, want := range []struct {
		data, class string
		fit, test   int
	}{{"ksdd2", dataset.KSDD2Class, 2, 4}, {"mvtec2", "can", 2, 4}, {"mvtec2", "rice", 2, 4}} {
		r := records[i]
		require.Equal(t, want, struct {
			data, class string
			fit, test   int
		}{r.Data, r.Class, r.FitImages, r.ScoreImages})
		require.Equal(t, 1.0, r.ImageAUROC)
		require.NotNil(t, r.AUPRO)
	}
	_, _, err = evaluateDark(t, t.Context(), newDark(), "-data", mvtec2, "-class", "rice,corn")
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "no class corn")

	plain := filepath.Join(dir, "plain")
	picture(t, filepath.Join(plain, "good", "0.png"), false)
	picture(t, filepath.Join(plain, "bad", "0.png"), true)
	_, _, err = evaluateDark(t, t.Context(), newDark(), "-data", plain)
	require.ErrorIs(t, err, dataset.ErrLayout)
	require.ErrorContains(t, err, "has no image of the split train")
}
