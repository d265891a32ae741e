package ycc

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func ratios() []image.YCbCrSubsampleRatio {
	return []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420,
		image.YCbCrSubsampleRatio440, image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410}
}

// defined is one difference of the pixel at (x,y), by the definition: of two
// samples in a direction the nearer weighs three quarters. It is slow.
func defined(src *image.YCbCr, plane []byte, x, y int) int {
	fx, fy := 1, 1
	switch src.SubsampleRatio {
	case image.YCbCrSubsampleRatio422:
		fx = 2
	case image.YCbCrSubsampleRatio420:
		fx, fy = 2, 2
	case image.YCbCrSubsampleRatio440:
		fy = 2
	case image.YCbCrSubsampleRatio411:
		fx = 4
	case image.YCbCrSubsampleRatio410:
		fx, fy = 4, 2
	}
	b := src.Rect
	left, right, top, bottom := b.Min.X/fx, (b.Max.X-1)/fx, b.Min.Y/fy, (b.Max.Y-1)/fy
	at := func(i, j int) int {
		i, j = max(left, min(i, right)), max(top, min(j, bottom))
		return int(plane[(j-top)*src.CStride+i-left])
	}
	i, j := x/fx, y/fy
	p, q := i+2*(x%2)-1, j+2*(y%2)-1 // the other samples near to it
	switch wide := right-left >= 2; {
	case fx == 2 && fy == 1 && wide:
		return (3*at(i, j) + at(p, j) + 1 + x%2) / 4
	case fx == 1 && fy == 2:
		return (3*at(i, j) + at(i, q) + 1 + y%2) / 4
	case fx == 2 && fy == 2 && wide:
		return (9*at(i, j) + 3*at(p, j) + 3*at(i, q) + at(p, q) + 8 - x%2) / 16
	}
	return at(i, j)
}

func definedColour(y, cb, cr int) color.RGBA {
	const half = 1 << 15
	clamp := func(v int) byte { return byte(max(0, min(v, 255))) }
	cb, cr = cb-128, cr-128
	return color.RGBA{clamp(y + (91881*cr+half)>>16), clamp(y + (half-22554*cb-46802*cr)>>16), clamp(y + (116130*cb+half)>>16), 255}
}

// Small pictures of all ratios, whole and as parts of others, beside the
// definition. What lies beyond the bounds of a part must not count: it is spoilt.
func TestRGBAEqualsTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, ratio := range ratios() {
		for _, w := range []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 33} {
			for _, h := range []int{1, 2, 3, 4, 7} {
				for _, corner := range []image.Point{{}, {1, 0}, {2, 1}, {3, 3}, {5, 2}} {
					whole := image.NewYCbCr(image.Rect(0, 0, 48, 16), ratio)
					for _, p := range [][]byte{whole.Y, whole.Cb, whole.Cr} {
						for i := range p {
							p[i] = byte(r.Uint32())
						}
					}
					src, ok := whole.SubImage(image.Rectangle{corner, corner.Add(image.Pt(w, h))}).(*image.YCbCr)
					require.True(t, ok)
					stride := 4*w + 3
					dst := bytes.Repeat([]byte{7}, stride*h)
					RGBA(dst, stride, src)
					for y := range h {
						for x := range w {
							px, py := corner.X+x, corner.Y+y
							want := definedColour(int(src.Y[src.YOffset(px, py)]), defined(src, src.Cb, px, py), defined(src, src.Cr, px, py))
							got := dst[y*stride+4*x:]
							if (color.RGBA{got[0], got[1], got[2], got[3]}) != want {
								require.Equal(t, want, color.RGBA{got[0], got[1], got[2], got[3]}, fmt.Sprintf("%v of %v at %d,%d", ratio, src.Rect, px, py))
							}
						}
						require.Equal(t, []byte{7, 7, 7}, dst[y*stride+4*w:][:3], "beyond the row")
					}
				}
			}
		}
	}
}

// All colours there are, every one once.
func TestEveryColourEqualsTheDefinition(t *testing.T) {
	src := image.NewYCbCr(image.Rect(0, 0, 256, 256), image.YCbCrSubsampleRatio444)
	dst := make([]byte, 4*256*256)
	for luma := range 256 {
		for i := range src.Y {
			src.Y[i], src.Cb[i], src.Cr[i] = byte(luma), byte(i), byte(i>>8)
		}
		RGBA(dst, 4*256, src)
		for i := range src.Y {
			if want := definedColour(luma, i&255, i>>8); (color.RGBA{dst[4*i], dst[4*i+1], dst[4*i+2], dst[4*i+3]}) != want {
				require.Equal(t, want, color.RGBA{dst[4*i], dst[4*i+1], dst[4*i+2], dst[4*i+3]}, "%d, %d, %d", luma, i&255, i>>8)
			}
		}
	}
}

// Bounds below zero are taken as the standard library takes them.
func TestBoundsBelowZero(t *testing.T) {
	src := image.NewYCbCr(image.Rect(-3, -1, 4, 3), image.YCbCrSubsampleRatio420)
	for i := range src.Y {
		src.Y[i] = 200
	}
	for i := range src.Cb {
		src.Cb[i], src.Cr[i] = 128, 128
	}
	dst := make([]byte, 4*7*4)
	RGBA(dst, 4*7, src)
	require.Equal(t, bytes.Repeat([]byte{200, 200, 200, 255}, 7*4), dst)
	RGBA(nil, 0, &image.YCbCr{})
	VP8(nil, 0, &image.YCbCr{})
}
