package synth

import (
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/draw"
	"image/png"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// The formulas of testdata/parity/seamless.py, in the integers of both languages.

func hash32(n int) int {
	v := uint32(n)
	v ^= v >> 16
	v *= 0x85EBCA6B
	v ^= v >> 13
	v *= 0xC2B2AE35
	v ^= v >> 16
	return int(v)
}

func par(seed, i int) int { return hash32(seed*1000003 + i) }

func texture(seed, w, h, noise int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			for c := range 3 {
				v := 60 + par(seed, c)%130
				for k := range 3 {
					fx, fy := par(seed, 10+3*k)%97-48, par(seed, 11+3*k)%97-48
					t := (fx*x + fy*y + par(seed, 12+3*k) + 100*c) & 1023
					v += ((10 + par(seed, 30+k)%30) * (absInt(t-512) - 256)) >> 8
				}
				n := hash32(seed*7919 + x*73856093 + y*19349663 + c*83492791)
				v += n%(2*noise+1) - noise
				m.Pix[m.PixOffset(x, y)+c] = uint8(min(max(v, 0), 255))
			}
			m.Pix[m.PixOffset(x, y)+3] = 255
		}
	}
	return m
}

func formulaMask(seed int, kind string, w, h int) *image.Gray {
	m := image.NewGray(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := uint8(0)
			switch kind {
			case "full":
				v = 255
			case "ellipses", "weights":
				for k := range 3 {
					cx, cy := w/4+par(seed, 50+4*k)%(w/2), h/4+par(seed, 51+4*k)%(h/2)
					rx, ry := w/4+par(seed, 52+4*k)%(w/4+1), h/4+par(seed, 53+4*k)%(h/4+1)
					if (x-cx)*(x-cx)*ry*ry+(y-cy)*(y-cy)*rx*rx < rx*rx*ry*ry {
						v = 255
					}
				}
				if kind == "weights" && v > 0 && x%11 > 4 {
					v = 150
				}
			case "triangle":
				if x*h+y*w < w*h {
					v = 255
				}
			case "hole":
				if !(absInt(2*x-w) < w/3 && absInt(2*y-h) < h/3) {
					v = 255
				}
			}
			m.Pix[y*m.Stride+x] = v
		}
	}
	return m
}

// TestBlendEqualsSeamlessClone holds every pixel within one grey level of OpenCV's. OpenCV solves in float32 and truncates,
// so a value that is a whole number but for its error may come out one lower; more than that would be another equation.
func TestBlendEqualsSeamlessClone(t *testing.T) {
	const levels = 1
	type box [4]int
	var fixture struct {
		OpenCV string
		Cases  []struct {
			Seed, Width, Height, Noise, Sheet, Top int
			DstWidth                               int `json:"dst_width"`
			DstHeight                              int `json:"dst_height"`
			Mask, Mode                             string
			Centre                                 [2]int
			Box                                    box
		}
	}
	readJSON(t, "testdata/parity/seamless.json", &fixture)
	require.Len(t, fixture.Cases, 50)
	sheets := map[int]*image.RGBA{}
	var b Blender
	exact, total := 0, 0
	for _, c := range fixture.Cases {
		if sheets[c.Sheet] == nil {
			f, err := os.Open(fmt.Sprintf("testdata/parity/seamless_%d.png", c.Sheet))
			require.NoError(t, err)
			im, err := png.Decode(f)
			require.NoError(t, err)
			require.NoError(t, f.Close())
			s := image.NewRGBA(im.Bounds())
			draw.Draw(s, s.Rect, im, image.Point{}, draw.Src)
			sheets[c.Sheet] = s
		}
		dst, src := texture(2*c.Seed+1, c.DstWidth, c.DstHeight, c.Noise), texture(2*c.Seed+2, c.Width, c.Height, c.Noise)
		mask := formulaMask(c.Seed, c.Mask, c.Width, c.Height)
		mode := Normal
		if c.Mode == "mixed" {
			mode = Mixed
		}
		for _, truncate := range []bool{true, false} {
			got := cloneRGBA(dst)
			opt := OpenCVPoisson(mode)
			opt.Truncate = truncate
			at := SeamlessOrigin(src.Rect.Size(), mask, image.Pt(c.Centre[0], c.Centre[1]))
			r, err := b.Blend(got, src, mask, at, opt)
			require.NoError(t, err)
			area := image.Rect(c.Box[0], c.Box[1], c.Box[2], c.Box[3])
			require.True(t, r.In(area), "case %d", c.Seed)
			changed := 0
			for y := range c.DstHeight {
				for x := range c.DstWidth {
					for ch := range 3 {
						v := int(got.Pix[got.PixOffset(x, y)+ch])
						want := int(dst.Pix[dst.PixOffset(x, y)+ch])
						if image.Pt(x, y).In(area) {
							s := sheets[c.Sheet]
							w := int(s.Pix[s.PixOffset(x-area.Min.X, c.Top+y-area.Min.Y)+ch])
							if w != want {
								changed++
							}
							want = w
						}
						if truncate && image.Pt(x, y).In(r) {
							total++
							if v == want {
								exact++
							}
						}
						if absInt(v-want) > levels {
							t.Fatalf("case %d (%s %s %dx%d) at %d,%d,%d: %d, OpenCV has %d", c.Seed, c.Mode, c.Mask, c.Width, c.Height, x, y, ch, v, want)
						}
					}
				}
			}
			require.Positive(t, changed, "case %d shows nothing", c.Seed)
		}
	}
	t.Logf("OpenCV %s: %d of %d values equal, the rest one apart", fixture.OpenCV, exact, total)
}

// TestResizeEqualsOpenCV holds the bytes of OpenCV's resize.
func TestResizeEqualsOpenCV(t *testing.T) {
	var fixture struct {
		Cases []struct {
			Seed     int
			Src, Dst [2]int
			Factor   float64
			CRC      uint32
			Head     []int
		}
	}
	readJSON(t, "testdata/parity/resize.json", &fixture)
	require.Len(t, fixture.Cases, 60)
	for _, c := range fixture.Cases {
		sw, sh, dw, dh := c.Src[0], c.Src[1], c.Dst[0], c.Dst[1]
		src := make([]uint8, 3*sw*sh)
		for y := range sh {
			for x := range sw {
				for ch := range 3 {
					src[3*(y*sw+x)+ch] = uint8(hash32(c.Seed*7919 + x*73856093 + y*19349663 + ch*83492791))
				}
			}
		}
		sx, sy := float64(sw)/float64(dw), float64(sh)/float64(dh)
		if c.Factor > 0 {
			sx, sy = 1/c.Factor, 1/c.Factor
		}
		dst := make([]uint8, 3*dw*dh)
		resizeBilinear(dst, 3*dw, dw, dh, src, 3*sw, sw, sh, 3, sx, sy)
		for i, v := range c.Head {
			require.Equal(t, v, int(dst[i]), "case %d byte %d", c.Seed, i)
		}
		require.Equal(t, c.CRC, crc32.ChecksumIEEE(dst), "case %d: %v to %v", c.Seed, c.Src, c.Dst)
	}
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, v))
}

// TestResizeCut: a result below the full size is the full result's upper left part, also where that is the source's size.
func TestResizeCut(t *testing.T) {
	src := texture(5, 20, 18, 9)
	full, part := make([]uint8, 4*26*23), make([]uint8, 4*20*18)
	resizeBilinear(full, 4*26, 26, 23, src.Pix, src.Stride, 20, 18, 4, 1/1.3, 1/1.3)
	resizeBilinear(part, 4*20, 20, 18, src.Pix, src.Stride, 20, 18, 4, 1/1.3, 1/1.3)
	for y := range 18 {
		require.Equal(t, full[4*26*y:4*26*y+80], part[80*y:80*y+80])
	}
	require.NotEqual(t, src.Pix, part)
}
