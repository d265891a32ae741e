package dataset_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
)

// Whatever the picture, its tiles are squares within it, cover every pixel, and have at
// least the share in common that was asked for.
func TestTilesCoverThePicture(t *testing.T) {
	for _, c := range []struct {
		tiles dataset.Tiles
		w, h  int
		n     int
	}{
		{dataset.DefaultTiles(), 100, 100, 1},
		{dataset.DefaultTiles(), 1, 1, 1},
		{dataset.DefaultTiles(), 101, 100, 2},
		{dataset.DefaultTiles(), 175, 100, 2},
		{dataset.DefaultTiles(), 176, 100, 3},
		{dataset.DefaultTiles(), 33, 401, 16}, // 1 + 368/24.75
		{dataset.Tiles{Side: 64, Overlap: 0.5, Most: 100}, 200, 130, 6 * 4},
		{dataset.Tiles{Side: 64, Overlap: 0, Most: 100}, 128, 64, 2},
		{dataset.Tiles{Side: 64, Overlap: 0.25, Most: 100}, 40, 90, 3}, // squares of 40
		{dataset.Tiles{Side: 1, Overlap: 0.9, Most: 100}, 9, 4, 36},
	} {
		what := fmt.Sprintf("%v on %dx%d", c.tiles, c.w, c.h)
		cut, err := c.tiles.Cut(c.w, c.h)
		require.NoError(t, err, what)
		require.Len(t, cut, c.n, what)
		n, err := c.tiles.Count(c.w, c.h)
		require.NoError(t, err)
		require.Equal(t, c.n, n)
		side := min(c.w, c.h)
		if c.tiles.Side > 0 {
			side = min(side, c.tiles.Side)
		}
		seen := make([]bool, c.w*c.h)
		for i, r := range cut {
			require.Equal(t, image.Pt(side, side), r.Size(), what)
			require.True(t, r.In(image.Rect(0, 0, c.w, c.h)), what)
			for y := r.Min.Y; y < r.Max.Y; y++ {
				for x := r.Min.X; x < r.Max.X; x++ {
					seen[y*c.w+x] = true
				}
			}
			if i > 0 && cut[i-1].Min.Y == r.Min.Y {
				common := cut[i-1].Max.X - r.Min.X
				require.GreaterOrEqual(t, float64(common)+1, c.tiles.Overlap*float64(side), what) // half a pixel each for rounding
				require.Greater(t, r.Min.X, cut[i-1].Min.X, what)
			}
		}
		require.NotContains(t, seen, false, what)
	}
}

func TestTilesRefuse(t *testing.T) {
	for _, tiles := range []dataset.Tiles{
		{}, {Side: -1, Most: 1}, {Side: 1 << 16, Most: 1}, {Overlap: -0.1, Most: 1}, {Overlap: 1, Most: 1}, {Overlap: 0.1, Most: -1}, {Most: 1<<20 + 1},
	} {
		require.ErrorIs(t, tiles.Validate(), dataset.ErrConfig, tiles)
		_, err := tiles.Cut(10, 10)
		require.ErrorIs(t, err, dataset.ErrConfig)
		_, err = dataset.NewTiled(t.Context(), &dataset.Memory{}, tiles)
		require.ErrorIs(t, err, dataset.ErrConfig)
	}
	tiles := dataset.DefaultTiles()
	_, err := tiles.Cut(0, 10)
	require.ErrorIs(t, err, dataset.ErrSize)
	// The number is found too large before anything is made of it.
	for _, size := range []image.Point{{1 << 30, 1}, {1, 1 << 30}, {1 << 62, 1 << 62}} {
		_, err = dataset.Tiles{Side: 1, Most: 1 << 20}.Cut(size.X, size.Y)
		require.ErrorIs(t, err, dataset.ErrSize)
	}
	_, err = tiles.Cut(10000, 10)
	require.ErrorContains(t, err, "an image of 10000x10 pixels is cut into 1333 tiles of 10, at most 1024 are allowed; a larger Side makes fewer")
	_, err = dataset.NewTiled(t.Context(), nil, tiles)
	require.ErrorIs(t, err, dataset.ErrConfig)
}

// numbered is a picture whose pixels tell their places.
func numbered(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			m.SetRGBA(x, y, color.RGBA{uint8(x), uint8(y), uint8(x >> 8), 255})
		}
	}
	return m
}

// The tiles of pictures from files are their parts, good ones good, others unknown.
func TestTiled(t *testing.T) {
	root := t.TempDir()
	save := func(name string, m image.Image) {
		path := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		var b bytes.Buffer
		require.NoError(t, png.Encode(&b, m))
		require.NoError(t, os.WriteFile(path, b.Bytes(), 0o644))
	}
	save("part/train/good/0.png", numbered(300, 40))
	save("part/test/good/0.png", numbered(40, 40))
	save("part/test/dent/0.png", numbered(40, 100))
	mask := image.NewGray(image.Rect(0, 0, 40, 100))
	mask.SetGray(3, 97, color.Gray{Y: 255})
	save("part/ground_truth/dent/0_mask.png", mask)
	files, err := dataset.OpenMVTecAD(root, "", "")
	require.NoError(t, err)
	ds, err := dataset.NewTiled(t.Context(), files, dataset.DefaultTiles())
	require.NoError(t, err)
	require.Equal(t, files.Len(), ds.Images())
	require.Equal(t, files.Classes(), ds.Classes())
	require.Equal(t, 3+1+10, ds.Len())
	names := map[string]bool{}
	for i := range ds.Len() {
		s, err := ds.Sample(t.Context(), i)
		require.NoError(t, err)
		require.Equal(t, ds.Item(i), s.Item)
		require.Equal(t, image.Rect(0, 0, 40, 40), s.Image.Rect)
		require.False(t, names[s.Name])
		names[s.Name] = true
		var x0, y0 int
		_, err = fmt.Sscanf(filepath.Base(s.Name), "0.png#%d,%d", &x0, &y0)
		require.NoError(t, err)
		for y := range 40 {
			for x := range 40 {
				require.Equal(t, color.RGBA{uint8(x + x0), uint8(y + y0), uint8((x + x0) >> 8), 255}, s.Image.RGBAAt(x, y))
			}
		}
		require.Contains(t, s.Name, s.Group)
		if s.Split == dataset.Test && y0 > 0 || s.MaskName != "" {
			require.Equal(t, dataset.LabelUnknown, s.Label)
			require.Equal(t, dataset.Unknown, s.Defect)
			marked := 0
			for _, v := range s.Mask.Pix {
				if v != 0 {
					marked++
				}
			}
			if y0 == 60 {
				require.Equal(t, 1, marked)
				require.Equal(t, uint8(255), s.Mask.GrayAt(3, 37).Y)
			} else {
				require.Zero(t, marked)
			}
		} else {
			require.True(t, s.IsGood())
			require.Nil(t, s.Mask)
		}
	}
	require.Equal(t, dataset.Item{}, ds.Item(-1))
	require.Equal(t, dataset.Item{}, ds.Item(ds.Len()))
	_, err = ds.Sample(t.Context(), ds.Len())
	require.ErrorIs(t, err, dataset.ErrIndex)
	over, stop := context.WithCancel(t.Context())
	stop()
	_, err = ds.Sample(over, 0)
	require.ErrorIs(t, err, context.Canceled)

	// The files behind are known to what asks for their decoder.
	deep := files
	d := dataset.DefaultDecoder()
	d.Bits16 = 12
	deep, err = deep.WithDecoder(d)
	require.NoError(t, err)
	tiled, err := dataset.NewTiled(t.Context(), deep, dataset.DefaultTiles())
	require.NoError(t, err)
	require.ErrorIs(t, dataset.PaDiM224().Agrees(tiled), dataset.ErrConfig)

	// A broken picture and one of too many tiles are found at once.
	_, err = dataset.NewTiled(t.Context(), files, dataset.Tiles{Side: 4, Most: 50})
	require.ErrorIs(t, err, dataset.ErrSize)
	require.ErrorContains(t, err, "part/")
	require.NoError(t, os.WriteFile(filepath.Join(root, "part/test/good/0.png"), []byte("\x89PNG"), 0o644))
	_, err = dataset.NewTiled(t.Context(), files, dataset.DefaultTiles())
	require.ErrorIs(t, err, dataset.ErrDecode)
}

// counting counts what is read of a data set.
type counting struct {
	dataset.Dataset
	reads atomic.Int64
}

func (c *counting) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	c.reads.Add(1)
	return c.Dataset.Sample(ctx, i)
}

// A picture is read once for all of its tiles in a row, and to know its size where it is
// no file; pictures that a data set has cut or resized are those that count.
func TestTiledReadsAPictureOnce(t *testing.T) {
	mem, err := dataset.NewMemory([]dataset.Sample{
		dataset.Sample{Item: dataset.Item{Name: "a", Label: dataset.LabelGood}, Image: numbered(90, 30)},
		dataset.Sample{Item: dataset.Item{Name: "b", Label: dataset.LabelGood, Group: "part"}, Image: numbered(30, 60)},
	})
	require.NoError(t, err)
	c := &counting{Dataset: mem}
	ds, err := dataset.NewTiled(t.Context(), c, dataset.DefaultTiles())
	require.NoError(t, err)
	require.Equal(t, int64(2), c.reads.Load())
	require.Equal(t, "part", ds.Item(ds.Len()-1).Group)
	for i := range ds.Len() {
		_, err := ds.Sample(t.Context(), i)
		require.NoError(t, err)
	}
	require.Equal(t, int64(4), c.reads.Load())
	var wg sync.WaitGroup
	for i := range ds.Len() {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := ds.Sample(context.Background(), i)
			if err != nil || s.Image.Rect.Dx() != 30 {
				t.Error(s.Name, err)
			}
		}()
	}
	wg.Wait()
	require.Equal(t, int64(4), c.reads.Load())

	cached, err := dataset.NewCached(mem, dataset.Square(20), 1<<20)
	require.NoError(t, err)
	ds, err = dataset.NewTiled(t.Context(), cached, dataset.DefaultTiles())
	require.NoError(t, err)
	require.Equal(t, 2, ds.Len())

	// One that changes meanwhile is not cut where it ends.
	swapped := &changing{Dataset: mem}
	ds, err = dataset.NewTiled(t.Context(), swapped, dataset.DefaultTiles())
	require.NoError(t, err)
	swapped.small.Store(true)
	_, err = ds.Sample(t.Context(), 0)
	require.ErrorIs(t, err, dataset.ErrSize)
}

// changing is a data set whose pictures shrink.
type changing struct {
	dataset.Dataset
	small atomic.Bool
}

func (c *changing) Sample(ctx context.Context, i int) (dataset.Sample, error) {
	s, err := c.Dataset.Sample(ctx, i)
	if c.small.Load() {
		s.Image = numbered(10, 10)
	}
	return s, err
}
