package feed

import (
	"image"
	"image/color"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// A model keeps the smallest digests, and no more than it may: what was kept is known
// again whatever came later.
func TestSightingsAreBounded(t *testing.T) {
	s := NewSightings(MaxSightings + 10)
	for i := range s.of {
		s.taken[i], s.of[i] = true, uint64(7*i+1)
	}
	s.taken[5] = false // not read
	kept := s.With([]uint64{3, 8})
	require.Len(t, kept, MaxSightings)
	require.True(t, slices.IsSorted(kept))
	require.Equal(t, []uint64{1, 3, 8, 15, 22, 29, 43}, kept[:7], "in order, each once, without what was not read")
	require.Equal(t, kept, s.With(kept))
	few := NewSightings(2)
	require.Empty(t, few.With(nil))
}

// A digest depends on pixels and size alone.
func TestDigests(t *testing.T) {
	big := image.NewRGBA(image.Rect(0, 0, 9, 8))
	for i := range big.Pix {
		big.Pix[i] = uint8(31 * i)
	}
	part := big.SubImage(image.Rect(2, 3, 6, 7)).(*image.RGBA)
	own := image.NewRGBA(image.Rect(0, 0, 4, 4))
	for y := range 4 {
		for x := range 4 {
			own.SetRGBA(x, y, part.RGBAAt(2+x, 3+y))
		}
	}
	require.Equal(t, Digest(own), Digest(part))
	wide := &image.RGBA{Pix: own.Pix, Stride: 32, Rect: image.Rect(0, 0, 8, 2)}
	require.NotEqual(t, Digest(own), Digest(wide))
	own.SetRGBA(3, 3, color.RGBA{1, 2, 3, 255})
	require.NotEqual(t, Digest(own), Digest(part))
}
