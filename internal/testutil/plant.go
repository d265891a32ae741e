package testutil

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/internal/atomicfile"
)

// PlantClasses are the classes that [Plant] writes.
func PlantClasses() []string { return []string{"cloth", "steel"} }

// Plant writes a data set of two classes in MVTec AD's layout and returns its root: of
// each class so many good images of 64x64 for training, and so many good ones and ones
// with a dark square (the kind "hole") for the test, with masks where asked for.
func Plant(t testing.TB, good, tests int, masks bool) string {
	t.Helper()
	root := t.TempDir()
	PlantIn(t, root, good, tests, masks, PlantClasses()...)
	return root
}

// PlantIn is [Plant] with other classes in a folder.
func PlantIn(t testing.TB, root string, good, tests int, masks bool, classes ...string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 1))
	hole := image.Rect(21, 21, 34, 40)
	save := func(img image.Image, parts ...string) {
		path := filepath.Join(append([]string{root}, parts...)...)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, atomicfile.Write(path, func(w io.Writer) error { return png.Encode(w, img) }))
	}
	draw := func(class int, defect bool) *image.RGBA {
		img := image.NewRGBA(image.Rect(0, 0, 64, 64))
		for y := range 64 {
			for x := range 64 {
				v := uint8(90 + 50*(class%3) + 40*(((x*(1+class)+y)/5)%2) + rng.IntN(20))
				if defect && image.Pt(x, y).In(hole) {
					v = 5
				}
				img.SetRGBA(x, y, color.RGBA{v, v, 255 - v, 255})
			}
		}
		return img
	}
	mask := image.NewGray(image.Rect(0, 0, 64, 64))
	for y := hole.Min.Y; y < hole.Max.Y; y++ {
		for x := hole.Min.X; x < hole.Max.X; x++ {
			mask.SetGray(x, y, color.Gray{Y: 255})
		}
	}
	for k, c := range classes {
		for i := range good {
			save(draw(k, false), c, "train", "good", fmt.Sprintf("%03d.png", i))
		}
		for i := range tests {
			name := fmt.Sprintf("%03d", i)
			save(draw(k, false), c, "test", "good", name+".png")
			save(draw(k, true), c, "test", "hole", name+".png")
			if masks {
				save(mask, c, "ground_truth", "hole", name+"_mask.png")
			}
		}
	}
}
