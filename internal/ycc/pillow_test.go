package ycc

import (
	"fmt"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Files of all ways in which colours are shared, of coarse and fine steps and with restarts, whole and reduced, beside
// Pillow's pixels: byte for byte. testdata/make.py has made them.
func TestEqualsPillow(t *testing.T) {
	names, err := filepath.Glob("testdata/*.jpg")
	require.NoError(t, err)
	require.Len(t, names, 14)
	for _, name := range names {
		data, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, shrink := range []int{1, 2, 4, 8} {
			f, err := os.Open(fmt.Sprintf("%s.%d.png", strings.TrimSuffix(name, ".jpg"), shrink))
			require.NoError(t, err)
			want, err := png.Decode(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			got, by, err := Reduced(data, shrink)
			require.NoError(t, err, name)
			require.Equal(t, shrink, by, name)
			require.Equal(t, want.Bounds(), got.Bounds(), name)
			for y := range want.Bounds().Dy() {
				for x := range want.Bounds().Dx() {
					a, b := color.RGBAModel.Convert(want.At(x, y)), color.RGBAModel.Convert(got.At(x, y))
					if a != b {
						require.Equal(t, a, b, "%s at 1/%d, (%d,%d)", name, shrink, x, y)
					}
				}
			}
		}
	}
	_, by, err := Reduced(photographBytes(t), 4)
	require.NoError(t, err)
	require.Equal(t, 4, by)
	_, _, err = Reduced(photographBytes(t)[:400], 2)
	require.Error(t, err)
}

func photographBytes(t *testing.T) []byte {
	data, err := os.ReadFile("testdata/420.jpg")
	require.NoError(t, err)
	return data
}
