package synth_test

import (
	"image"
	"image/color"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gotab/gotab/synth"
)

func TestConstantIntoConstantIsIdentity(t *testing.T) {
	var b synth.Blender
	for _, side := range []int{9, 20, 33, 77, 131} {
		for _, mode := range []synth.Mode{synth.Normal, synth.Mixed} {
			for _, truncate := range []bool{false, true} {
				dst, src := flatImage(140, 131), flatImage(side, 17)
				_, err := b.Blend(dst, src, nil, image.Pt(3, 5), synth.Poisson{Mode: mode, Erode: 3, Truncate: truncate})
				require.NoError(t, err)
				require.Equal(t, flatImage(140, 131).Pix, dst.Pix)
			}
		}
	}
}

// TestShiftedCopyIsIdentity: a patch that is the image itself, brighter by a constant, has the same gradients.
func TestShiftedCopyIsIdentity(t *testing.T) {
	var b synth.Blender
	dst := material(90, 80, 1)
	want := append([]uint8(nil), dst.Pix...)
	src := image.NewRGBA(image.Rect(0, 0, 50, 41))
	for y := range 41 {
		for x := range 50 {
			c := dst.RGBAAt(20+x, 13+y)
			src.SetRGBA(x, y, color.RGBA{c.R + 20, c.G + 9, c.B + 31, 255})
		}
	}
	for _, mode := range []synth.Mode{synth.Normal, synth.Mixed} {
		r, err := b.Blend(dst, src, nil, image.Pt(20, 13), synth.OpenCVPoisson(mode))
		require.NoError(t, err)
		require.Equal(t, image.Rect(22, 15, 68, 52), r)
		require.Equal(t, want, dst.Pix)
	}
}

func TestBlendStaysInItsRectangle(t *testing.T) {
	var b synth.Blender
	whole := material(200, 180, 1)
	dst := whole.SubImage(image.Rect(30, 20, 170, 150)).(*image.RGBA) // not at the origin
	before := append([]uint8(nil), whole.Pix...)
	src := material(300, 300, 2).SubImage(image.Rect(55, 66, 106, 113)).(*image.RGBA)
	mask := image.NewGray(image.Rect(9, 9, 70, 90)).SubImage(image.Rect(10, 12, 61, 59)).(*image.Gray)
	for y := 20; y < 50; y++ {
		for x := 15; x < 50; x++ {
			mask.SetGray(x, y, color.Gray{255})
		}
	}
	r, err := b.Blend(dst, src, mask, image.Pt(40, 60), synth.OpenCVPoisson(synth.Normal))
	require.NoError(t, err)
	// The mask's box is (5,8)-(40,38) of the patch; its frame of one pixel stays.
	require.Equal(t, image.Rect(40+6, 60+9, 40+39, 60+37), r)
	changed := 0
	for y := range 180 {
		for x := range 200 {
			o := whole.PixOffset(x, y)
			if string(before[o:o+4]) != string(whole.Pix[o:o+4]) {
				require.True(t, image.Pt(x, y).In(r), "(%d,%d)", x, y)
				changed++
			}
		}
	}
	require.Positive(t, changed)
}

func TestBlendRefuses(t *testing.T) {
	var b synth.Blender
	dst, src := material(40, 40, 1), material(20, 20, 2)
	before := append([]uint8(nil), dst.Pix...)
	ok := synth.OpenCVPoisson(synth.Normal)
	empty, other := image.NewGray(src.Rect), image.NewGray(image.Rect(0, 0, 20, 19))
	for name, c := range map[string]struct {
		dst, src *image.RGBA
		mask     *image.Gray
		at       image.Point
		p        synth.Poisson
		want     error
	}{
		"nil":         {nil, src, nil, image.Point{}, ok, synth.ErrImage},
		"nil source":  {dst, nil, nil, image.Point{}, ok, synth.ErrImage},
		"empty":       {dst, image.NewRGBA(image.Rectangle{}), nil, image.Point{}, ok, synth.ErrImage},
		"outside":     {dst, src, nil, image.Pt(22, 3), ok, synth.ErrImage},
		"before":      {dst, src, nil, image.Pt(-2, 3), ok, synth.ErrImage},
		"mask size":   {dst, src, other, image.Pt(3, 3), ok, synth.ErrImage},
		"mask empty":  {dst, src, empty, image.Pt(3, 3), ok, synth.ErrNotPlaced},
		"small":       {dst, material(8, 8, 1), nil, image.Pt(3, 3), ok, synth.ErrNotPlaced},
		"coin":        {dst, src, nil, image.Pt(3, 3), synth.Poisson{Mode: synth.Coin}, synth.ErrSettings},
		"erode":       {dst, src, nil, image.Pt(3, 3), synth.Poisson{Erode: 65}, synth.ErrSettings},
		"erode all":   {dst, src, nil, image.Pt(3, 3), synth.Poisson{Erode: 64}, synth.ErrNotPlaced},
		"erode below": {dst, src, nil, image.Pt(3, 3), synth.Poisson{Erode: -1}, synth.ErrSettings},
	} {
		_, err := b.Blend(c.dst, c.src, c.mask, c.at, c.p)
		require.ErrorIs(t, err, c.want, name)
	}
	require.Equal(t, before, dst.Pix)
	// The frame of a patch is not pasted, so it may hang over by one pixel, as OpenCV allows.
	r, err := b.Blend(dst, src, nil, image.Pt(-1, 21), ok)
	require.NoError(t, err)
	require.Equal(t, image.Rect(1, 23, 17, 39), r)
}

func TestBlenderConcurrently(t *testing.T) {
	var cold, b synth.Blender
	run := func(b *synth.Blender, i int) []uint8 {
		dst := material(120, 100, 1)
		_, err := b.Blend(dst, material(20+3*i, 40+i, uint64(i)), nil, image.Pt(i, i), synth.OpenCVPoisson(synth.Mode(i%2)))
		if err != nil {
			return nil
		}
		return dst.Pix
	}
	var wg sync.WaitGroup
	got := make([][]uint8, 20)
	for i := range got {
		wg.Add(1)
		go func() {
			defer wg.Done()
			got[i] = run(&cold, i)
		}()
	}
	wg.Wait()
	for i := range got {
		require.NotNil(t, got[i])
		require.Equal(t, run(&b, i), got[i])
	}
}
