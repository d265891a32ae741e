package dataset_test

import (
	"image"
	"image/color"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// behind hides that a data set is of files.
type behind struct{ dataset.Dataset }

// Grey files, which a loader resizes in one channel, come out as they do where it sees them as colours: PNG, JPEG, 16 bits and palettes, resized,
// cropped and as they are.
func TestLoaderOfGreyFiles(t *testing.T) {
	grey := grayOf(smooth(70, 50, true))
	deep := image.NewGray16(image.Rect(0, 0, 70, 50))
	for i := range grey.Pix {
		deep.Pix[2*i] = grey.Pix[i]
	}
	rising, falling := image.NewPaletted(grey.Rect, nil), image.NewPaletted(grey.Rect, nil)
	for i := range 256 {
		rising.Palette = append(rising.Palette, color.Gray{Y: uint8(i)})
		falling.Palette = append(falling.Palette, color.Gray{Y: uint8(255 - i)})
	}
	copy(rising.Pix, grey.Pix)
	copy(falling.Pix, grey.Pix)
	fsys := fstest.MapFS{
		"part/5.png": {Data: pngBytes(t, rising)}, "part/6.png": {Data: pngBytes(t, falling)},
		"part/1.png": {Data: pngBytes(t, grey)}, "part/2.jpg": {Data: jpegBytes(t, grey)}, "part/3.png": {Data: pngBytes(t, deep)},
		"part/4.png": {Data: pngBytes(t, smooth(70, 50, false))},
	}
	ds, err := dataset.NewFolders(fsys, dataset.DefaultFolders())
	require.NoError(t, err)
	for _, tr := range []dataset.Transform{{}, dataset.Square(32), {Exact: image.Pt(90, 40), Filter: dataset.Nearest}, {Shorter: 40, Crop: image.Pt(32, 32)}, {Crop: image.Pt(20, 20)}} {
		cfg := dataset.DefaultLoader()
		cfg.Batch, cfg.Transform, cfg.Workers = 4, tr, 2
		read := func(ds dataset.Dataset) (out []float32) {
			l, err := dataset.NewLoader(ds, cfg)
			require.NoError(t, err)
			for b, err := range l.Batches(t.Context(), nil) {
				require.NoError(t, err)
				out = append(out, b.Pixels...)
			}
			return out
		}
		want := read(behind{ds})
		require.NotEmpty(t, want)
		require.Equal(t, want, read(ds), "%v", tr)
	}
}
