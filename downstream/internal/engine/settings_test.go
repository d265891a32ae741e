package engine

import (
	"image"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// The input of a file must be one that the file's own transform gives.
func TestSizesFitTheTransform(t *testing.T) {
	for name, c := range map[string]struct {
		transform dataset.Transform
		fits      [][4]int // input, and grid
		others    [][4]int
	}{
		"exact": {dataset.Square(224), [][4]int{{224, 224, 56, 56}, {224, 224, 1, 1}}, [][4]int{{4096, 4096, 56, 56}, {224, 223, 56, 56}}},
		"crop":  {dataset.PaDiM224(), [][4]int{{224, 224, 56, 56}}, [][4]int{{256, 256, 56, 56}}},
		"crop of exact": {dataset.Transform{Exact: image.Pt(300, 200), Crop: image.Pt(280, 160)},
			[][4]int{{280, 160, 35, 20}}, [][4]int{{300, 200, 35, 20}, {160, 280, 20, 35}}},
		"shorter": {dataset.Transform{Shorter: 64}, [][4]int{{64, 64, 2, 2}, {64, 90, 2, 3}, {4096, 64, 128, 2}},
			[][4]int{{63, 64, 2, 2}, {65, 90, 2, 3}, {64, 4096, 2, 3}}},
		"unchanged": {dataset.Transform{}, [][4]int{{33, 640, 2, 20}, {4096, 4096, 128, 128}},
			[][4]int{{4096, 4096, 56, 56}, {4096, 4097, 128, 129}}},
	} {
		v := ViewOf(0, c.transform, dataset.ImageNet(), 8)
		check := func(s [4]int) error {
			return v.Check(Sizes{Input: [2]int{s[0], s[1]}, Grid: [2]int{s[2], s[3]}, Images: 1})
		}
		for _, s := range c.fits {
			require.NoError(t, check(s), "%s %v", name, s)
		}
		for _, s := range c.others {
			require.Error(t, check(s), "%s %v", name, s)
		}
	}
}
