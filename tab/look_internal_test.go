package tab

import (
	"image"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/dataset"
	"github.com/gotab/gotab/synth"
)

// unchanged is a generator whose twins are copies; the mask must mark something.
type unchanged struct{ sizes map[image.Point]bool }

func (u unchanged) Generate(dst, src image.Image, _ *rand.Rand) (synth.Pair, error) {
	u.sizes[dst.Bounds().Size()], u.sizes[src.Bounds().Size()] = true, true
	d := dst.(*image.RGBA)
	p := synth.Pair{Image: image.NewRGBA(d.Rect), Mask: image.NewGray(d.Rect)}
	copy(p.Image.Pix, d.Pix)
	p.Mask.Pix[0] = 255
	return p, nil
}

// ramp is a picture in which red is the column and green the row.
func ramp(side int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, side, side))
	for y := range side {
		for x := range side {
			i := m.PixOffset(x, y)
			m.Pix[i], m.Pix[i+1], m.Pix[i+2], m.Pix[i+3] = uint8(x), uint8(y), uint8(200-x-y), 255
		}
	}
	return m
}

func TestTwinsAreCutAndChangedAlike(t *testing.T) {
	const full, side, pairs = 64, 32, 8
	ds, err := dataset.NewImages("cloth", ramp(full), ramp(full), ramp(full), ramp(full))
	require.NoError(t, err)
	c := DefaultConfig()
	c.Transform, c.Normalize = dataset.Square(full), dataset.Normalize{Std: [3]float32{1. / 255, 1. / 255, 1. / 255}}
	c.Batch, c.Repeat, c.Crop, c.Workers = pairs, 4, side, 3
	c.Jitter = Jitter{Share: 0.5, Brightness: 30, Contrast: 0.3}
	sizes := map[image.Point]bool{}
	c.Workers = 1
	p := &Pretrainer{parts: Parts{Synth: unchanged{sizes}}, cfg: c, classes: []string{"cloth"}, needs: Needs{Twin: true, Masks: true}}
	f, err := p.newFeed(ds, 0)
	require.NoError(t, err)
	plain, changed := 0, 0
	places := map[[2]int]bool{}
	for b, err := range f.run(t.Context(), 0) {
		require.NoError(t, err)
		require.Equal(t, side, b.W)
		require.Equal(t, b.Normal, b.Abnormal)
		for i := range pairs {
			px := b.Normal[i*3*side*side:]
			at := func(y, x, c int) int { return int(px[(y*side+x)*3+c] + 0.5) }
			x0, y0 := at(0, 0, 0), at(0, 0, 1)
			same := true
			for y := range side {
				for x := range side {
					same = same && at(y, x, 0) == x0+x && at(y, x, 1) == y0+y && at(y, x, 2) == 200-x0-x-y0-y
				}
			}
			if same {
				plain++
				places[[2]int{y0, x0}] = true
			} else {
				changed++
			}
		}
	}
	require.Equal(t, map[image.Point]bool{image.Pt(side, side): true}, sizes, "the source is cut too")
	require.Greater(t, plain, 2)
	require.Greater(t, changed, 2)
	require.Greater(t, len(places), plain/2)
}

func TestJitterRule(t *testing.T) {
	lk := &look{table: new([256]uint8)}
	for v := range lk.table {
		lk.table[v] = uint8(255 - v)
	}
	m := ramp(8)
	sub := m.SubImage(image.Rect(2, 3, 6, 7)).(*image.RGBA)
	out := lk.apply(sub)
	require.Equal(t, image.Rect(0, 0, 4, 4), out.Rect)
	require.EqualValues(t, 255-2-1, out.Pix[out.PixOffset(1, 2)])
	require.EqualValues(t, 255-3-2, out.Pix[out.PixOffset(1, 2)+1])
	require.EqualValues(t, 255, out.Pix[out.PixOffset(1, 2)+3])
	require.EqualValues(t, 0, m.Pix[0], "the operand stays")
	require.Same(t, m, (&look{}).apply(m))
}
